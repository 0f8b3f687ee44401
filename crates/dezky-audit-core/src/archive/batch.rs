//! The events object of a batch: lines in one gzip member (RFC 1952), written and read in a stream.

use std::io::{self, Read, Write};

use crc32fast::Hasher as Crc;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use sha2::{Digest, Sha256};

use crate::hash::Hash;

/// An events object holds at most this many bytes unpacked.
pub const MAX_UNPACKED: u64 = 268_435_456;
/// FLG 0 and MTIME 0; XFL and OS (here: unknown) are free.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBatch {
    pub bytes: u64,
    pub sha256: Hash,
    pub gzip_bytes: u64,
    pub gzip_sha256: Hash,
}

/// Writes lines as one gzip member.
pub struct BatchWriter<W> {
    out: W,
    compress: Compress,
    crc: Crc,
    bytes: u64,
    plain: Sha256,
    packed: Sha256,
    packed_bytes: u64,
    buffer: Vec<u8>,
}

impl<W: Write> BatchWriter<W> {
    /// # Errors
    /// When `out` cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            compress: Compress::new(Compression::new(6), false),
            crc: Crc::new(),
            bytes: 0,
            plain: Sha256::new(),
            packed: Sha256::new(),
            packed_bytes: 0,
            buffer: Vec::with_capacity(64 << 10),
        };
        writer.emit(&HEADER)?;
        Ok(writer)
    }

    /// Appends a line, given without its LF.
    ///
    /// # Errors
    /// When `out` cannot be written, or the object would pass [`MAX_UNPACKED`].
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.pack(line)?;
        self.pack(b"\n")
    }

    /// Ends the object and returns `out`, which the caller still has to sync.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(mut self) -> io::Result<(W, WrittenBatch)> {
        loop {
            self.buffer.clear();
            let status = self.compress.compress_vec(&[], &mut self.buffer, FlushCompress::Finish)?;
            self.flush_buffer()?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&self.crc.finalize().to_le_bytes());
        // RFC 1952: the length modulo 2^32, which no object reaches.
        trailer[4..].copy_from_slice(&self.bytes.to_le_bytes()[..4]);
        self.packed.update(trailer);
        self.packed_bytes += trailer.len() as u64;
        self.out.write_all(&trailer)?;
        self.out.flush()?;
        let written = WrittenBatch {
            bytes: self.bytes,
            sha256: Hash::new(self.plain.finalize().into()),
            gzip_bytes: self.packed_bytes,
            gzip_sha256: Hash::new(self.packed.finalize().into()),
        };
        Ok((self.out, written))
    }

    fn pack(&mut self, mut input: &[u8]) -> io::Result<()> {
        self.bytes += input.len() as u64;
        if self.bytes > MAX_UNPACKED {
            return Err(io::Error::other("an events object holds at most 268,435,456 bytes"));
        }
        self.plain.update(input);
        self.crc.update(input);
        while !input.is_empty() {
            let before = self.compress.total_in();
            self.buffer.clear();
            self.compress.compress_vec(input, &mut self.buffer, FlushCompress::None)?;
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(usize::MAX);
            input = &input[taken.min(input.len())..];
            self.flush_buffer()?;
        }
        Ok(())
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.emit(&buffer)?;
        self.buffer = buffer;
        Ok(())
    }

    fn emit(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.packed.update(bytes);
        self.packed_bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// What was read, and whether it was one gzip member as the format has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatch {
    pub bytes: u64,
    pub sha256: Hash,
    pub gzip_bytes: u64,
    pub gzip_sha256: Hash,
    /// What is wrong with the gzip member, if anything.
    pub fault: Option<&'static str>,
}

/// What was unpacked, known by its packed bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedBatch {
    pub bytes: u64,
    pub gzip_bytes: u64,
    pub gzip_sha256: Hash,
    /// What is wrong with the gzip member, if anything.
    pub fault: Option<&'static str>,
}

/// Reads an events object line by line.
pub struct BatchReader;

impl BatchReader {
    /// Reads `object` to its end, calling `line` with every complete line (without LF), and `rest` once with an
    /// unterminated last line if there is one. Whatever is wrong with the packing is told in [`ReadBatch::fault`]; what
    /// could be unpacked before it was passed on.
    ///
    /// # Errors
    /// When `object` cannot be read.
    pub fn read(object: impl Read, mut line: impl FnMut(&[u8]), rest: impl FnOnce(&[u8])) -> io::Result<ReadBatch> {
        let mut lines = Lines { pending: Vec::new() };
        let mut plain = Sha256::new();
        let unpacked = unpack(object, |chunk| {
            plain.update(chunk);
            lines.push(chunk, &mut line);
        })?;
        if !lines.pending.is_empty() {
            rest(&lines.pending);
        }
        let UnpackedBatch { bytes, gzip_bytes, gzip_sha256, fault } = unpacked;
        Ok(ReadBatch { bytes, sha256: Hash::new(plain.finalize().into()), gzip_bytes, gzip_sha256, fault })
    }

    /// The same for whoever knows the digest of the packed bytes, which vouches for what comes out of them: the lines are not
    /// hashed again.
    ///
    /// # Errors
    /// When `object` cannot be read.
    pub fn unpack(object: impl Read, mut line: impl FnMut(&[u8])) -> io::Result<UnpackedBatch> {
        let mut lines = Lines { pending: Vec::new() };
        unpack(object, |chunk| lines.push(chunk, &mut line))
    }
}

fn unpack(mut object: impl Read, mut chunk: impl FnMut(&[u8])) -> io::Result<UnpackedBatch> {
    let (mut member, mut packed) = (Member::default(), Sha256::new());
    let (mut bytes, mut gzip_bytes) = (0, 0);
    let mut input = vec![0; 64 << 10];
    loop {
        let length = match object.read(&mut input) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        packed.update(&input[..length]);
        gzip_bytes += length as u64;
        member.unpack(&input[..length], |unpacked| {
            bytes += unpacked.len() as u64;
            chunk(unpacked);
        });
    }
    let gzip_sha256 = Hash::new(packed.finalize().into());
    Ok(UnpackedBatch { bytes, gzip_bytes, gzip_sha256, fault: member.end() })
}

/// Cuts a stream into lines.
struct Lines {
    pending: Vec<u8>,
}

/// A line is checked for its length by whoever reads it; this keeps one that never ends from filling memory.
const MAX_PENDING: usize = 2 * crate::event::MAX_LINE;

impl Lines {
    fn push(&mut self, mut chunk: &[u8], line: &mut impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            if self.pending.is_empty() {
                line(&chunk[..end]);
            } else {
                self.pending.extend_from_slice(&chunk[..end]);
                line(&self.pending);
                self.pending.clear();
            }
            chunk = &chunk[end + 1..];
        }
        let room = MAX_PENDING.saturating_sub(self.pending.len());
        self.pending.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

/// The state of one gzip member.
struct Member {
    header: Vec<u8>,
    inflate: Decompress,
    crc: Crc,
    trailer: Vec<u8>,
    deflated: bool,
    fault: Option<&'static str>,
    buffer: Vec<u8>,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            header: Vec::new(),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            trailer: Vec::new(),
            deflated: false,
            fault: None,
            buffer: Vec::with_capacity(64 << 10),
        }
    }
}

impl Member {
    fn unpack(&mut self, mut input: &[u8], mut unpacked: impl FnMut(&[u8])) {
        while self.fault.is_none() && (!input.is_empty() || self.may_hold_more()) {
            if self.header.len() < HEADER.len() {
                let taken = input.len().min(HEADER.len() - self.header.len());
                self.header.extend_from_slice(&input[..taken]);
                input = &input[taken..];
                self.check_header();
            } else if !self.deflated {
                input = self.inflate_some(input, &mut unpacked);
            } else if self.trailer.len() < 8 {
                let taken = input.len().min(8 - self.trailer.len());
                self.trailer.extend_from_slice(&input[..taken]);
                input = &input[taken..];
            } else {
                self.fault = Some("bytes follow the gzip member");
            }
        }
    }

    /// Whether more may come out although nothing more went in: the last output filled the buffer.
    fn may_hold_more(&self) -> bool {
        !self.deflated && self.buffer.len() == self.buffer.capacity()
    }

    fn inflate_some<'a>(&mut self, input: &'a [u8], unpacked: &mut impl FnMut(&[u8])) -> &'a [u8] {
        let before = self.inflate.total_in();
        self.buffer.clear();
        match self.inflate.decompress_vec(input, &mut self.buffer, FlushDecompress::None) {
            Ok(status) => self.deflated = status == Status::StreamEnd,
            Err(_) => self.fault = Some("the compressed data is broken"),
        }
        if self.inflate.total_out() > MAX_UNPACKED {
            self.fault = Some("it holds more than 268,435,456 bytes unpacked");
            return &[];
        }
        self.crc.update(&self.buffer);
        unpacked(&self.buffer);
        let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
        if taken == 0 && !input.is_empty() && self.buffer.is_empty() && !self.deflated {
            self.fault = Some("the compressed data is broken");
        }
        &input[taken.min(input.len())..]
    }

    fn check_header(&mut self) {
        if self.header.len() == HEADER.len() {
            self.fault = match self.header[..] {
                [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, ..] => None,
                [0x1F, 0x8B, 8, ..] => Some("its gzip header has flags or a time"),
                _ => Some("it is not a gzip file"),
            };
        }
    }

    fn end(&self) -> Option<&'static str> {
        if self.fault.is_some() {
            return self.fault;
        }
        let trailer = <[u8; 8]>::try_from(&self.trailer[..]).ok().filter(|_| self.deflated);
        let Some(trailer) = trailer else { return Some("it breaks off") };
        let expected = u64::from(self.crc.clone().finalize()) | (self.inflate.total_out() & 0xFFFF_FFFF) << 32;
        if u64::from_le_bytes(trailer) == expected { None } else { Some("its gzip checksum or length is wrong") }
    }
}
