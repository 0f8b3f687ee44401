//! A segment: a file of entries, appended and synced at its end, read from its beginning.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::frame::{SegmentKey, SpoolEntry};

pub(super) struct Segment {
    path: PathBuf,
    file: File,
    key: SegmentKey,
    size: u64,
    /// Up to here entries are synced.
    written: u64,
    /// Up to here entries are in the log.
    read: u64,
    /// The frame lengths of the entries between `read` and `written`.
    lengths: VecDeque<u64>,
    /// Takes no more.
    pub(super) sealed: bool,
}

impl Segment {
    /// An empty segment in a file of zeros.
    pub(super) fn new(path: PathBuf, file: File, key: SegmentKey, size: u64) -> Self {
        Self { path, file, key, size, written: 0, read: 0, lengths: VecDeque::new(), sealed: false }
    }

    /// What a process that is gone left in a file. The second value tells whether something unreadable follows: at the
    /// end of the newest segment a write that a crash cut off, elsewhere damage.
    pub(super) fn recover(path: PathBuf, key: SegmentKey) -> io::Result<(Self, bool)> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = std::fs::read(&path)?;
        let mut segment = Self::new(path, file, key, bytes.len() as u64);
        let mut rest = &bytes[..];
        while let Some(entry) = SpoolEntry::read(key, segment.written, rest) {
            let length = entry.frame_len();
            segment.lengths.push_back(length);
            segment.written += length;
            rest = usize::try_from(length).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
        }
        segment.sealed = true;
        Ok((segment, rest.iter().any(|byte| *byte != 0)))
    }

    pub(super) fn has_room(&self, entry: &SpoolEntry) -> bool {
        !self.sealed && self.written + entry.frame_len() <= self.size
    }

    /// Writes as many of `entries` as fit, and syncs them. After an error none of them counts, and the segment is sealed:
    /// what is beyond its end now nobody knows.
    pub(super) fn append(&mut self, entries: &[SpoolEntry]) -> io::Result<usize> {
        let (mut frames, mut lengths) = (Vec::new(), Vec::new());
        let mut end = self.written;
        for entry in entries {
            if end + entry.frame_len() > self.size {
                break;
            }
            entry.write(self.key, end, &mut frames);
            lengths.push(entry.frame_len());
            end += entry.frame_len();
        }
        let synced = self.file.write_all_at(&frames, self.written).and_then(|()| self.file.sync_data());
        synced.inspect_err(|_| self.sealed = true)?;
        self.written = end;
        let n = lengths.len();
        self.lengths.extend(lengths);
        Ok(n)
    }

    /// The oldest unread entries, at least one if there is one.
    pub(super) fn peek(&self, max_entries: usize, max_bytes: usize) -> io::Result<Vec<SpoolEntry>> {
        let mut total = 0;
        let mut count = 0;
        for length in self.lengths.iter().take(max_entries) {
            if count > 0 && total + length > max_bytes as u64 {
                break;
            }
            total += length;
            count += 1;
        }
        let mut bytes = vec![0; usize::try_from(total).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.read)?;
        let (mut entries, mut rest, mut offset) = (Vec::with_capacity(count), &bytes[..], self.read);
        while entries.len() < count {
            let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a spooled event has changed on the disk");
            let entry = SpoolEntry::read(self.key, offset, rest).ok_or_else(damaged)?;
            offset += entry.frame_len();
            rest = usize::try_from(entry.frame_len()).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The first so many unread entries are read now.
    pub(super) fn consume(&mut self, n: usize) {
        self.read += self.lengths.drain(..n.min(self.lengths.len())).sum::<u64>();
    }

    pub(super) fn entries(&self) -> usize {
        self.lengths.len()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.written
    }

    /// The file and its path, overwritten with zeros: what was spooled holds personal data. The space stays reserved.
    pub(super) fn wipe(self) -> io::Result<(PathBuf, File)> {
        zero(&self.file, self.size)?;
        Ok((self.path, self.file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A file of `size` zero bytes whose space is reserved.
pub(super) fn reserve(path: &Path, size: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(file),
        // Some file systems cannot reserve: there, writing is the reservation.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            write_zeros(&file, size)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

fn zero(file: &File, size: u64) -> io::Result<()> {
    if fallocate(file, FallocateFlags::ZERO_RANGE, 0, size).is_err() {
        write_zeros(file, size)?;
    }
    file.sync_data()
}

fn write_zeros(file: &File, size: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 16];
    let mut at = 0;
    while at < size {
        let n = usize::try_from(size - at).unwrap_or(zeros.len()).min(zeros.len());
        file.write_all_at(&zeros[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
