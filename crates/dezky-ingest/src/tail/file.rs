//! Reading a file that others write to, rename, copy and truncate.
//!
//! Each look reads at the place, and only then makes sure that it was still the same file: its head, its size. What was read
//! of a file that had changed meanwhile is thrown away.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use dezky_audit_core::source::{Mapped, SourceKey};

use super::place::{HEAD, Head, Place};

/// How much is read at once.
const CHUNK: usize = 2 << 20;
/// A longer line is not read to its end: an event says so.
const MAX_LINE: usize = 16 << 20;

/// What one look found.
pub(super) enum Look {
    /// Nothing stands at the path, and nothing was read before.
    NoFile,
    Nothing {
        /// Bytes of a line that is not finished.
        waiting: u64,
    },
    /// Another file has begun; `lost`: the rest of the one before is nowhere.
    Moved { place: Place, lost: bool },
    /// Whole lines, and the place behind them.
    Lines { bytes: Vec<u8>, from: Place, place: Place, waiting: u64 },
    /// The same, mapped.
    Mapped { mapped: Vec<Mapped>, place: Place, waiting: u64 },
}

pub(super) struct TailFile {
    path: PathBuf,
    place: Option<Place>,
    /// The file of the place: what stands at the path, or what stood there before.
    file: Option<File>,
    /// The file of the place had ended already at the last look, and another one stands at the path.
    had_ended: bool,
    key: SourceKey,
}

impl TailFile {
    pub(super) fn new(path: PathBuf, place: Option<Place>, key: SourceKey) -> Self {
        Self { path, place, file: None, had_ended: false, key }
    }

    pub(super) fn look(&mut self) -> io::Result<Look> {
        let Some(place) = self.place.clone() else { return self.begin() };
        let Some(file) = self.file.take() else { return self.find(&place) };
        let (bytes, line_end) = read_lines(&file, place.position)?;
        let metadata = file.metadata()?;
        let same = metadata.len() >= place.position + bytes.len() as u64 && self.head_of(&file, place.head.length)? == place.head;
        if !same {
            return self.truncated(&place, metadata.ino());
        }
        let end = place.position + bytes.len() as u64;
        let look = match line_end {
            _ if place.skipping => self.skip(&file, &place, &bytes)?,
            Some(line_end) => self.lines(&file, &place, bytes, line_end, metadata.len())?,
            None if bytes.len() >= MAX_LINE => self.too_long(&file, &place, bytes, metadata.len())?,
            None => self.ended(&place, bytes, &file)?,
        };
        if matches!(look, Look::Lines { .. }) && end < metadata.len() {
            self.had_ended = false;
        }
        // Unless the look has turned to another file.
        if self.file.is_none()
            && self.place.as_ref().is_some_and(|now| now.inode == place.inode && now.generation == place.generation)
        {
            self.file = Some(file);
        }
        Ok(look)
    }

    /// The very first look.
    fn begin(&mut self) -> io::Result<Look> {
        let Some(file) = open(&self.path)? else { return Ok(Look::NoFile) };
        let place = Place::start(file.metadata()?.ino(), 1);
        self.place = Some(place.clone());
        self.file = Some(file);
        Ok(Look::Moved { place, lost: false })
    }

    /// After a start: the file of the place may have another name by now, or be gone.
    fn find(&mut self, place: &Place) -> io::Result<Look> {
        let current = open(&self.path)?;
        if let Some(file) = current
            && file.metadata()?.ino() == place.inode
        {
            self.file = Some(file);
            return self.look();
        }
        if let Some((file, inode)) = self.rotated(place)? {
            self.place = Some(Place { inode, ..place.clone() });
            self.file = Some(file);
            return self.look();
        }
        self.turn(place, true)
    }

    /// The file has become shorter, or begins otherwise. If it was copied first, the rest stands in the copy.
    fn truncated(&mut self, place: &Place, inode: u64) -> io::Result<Look> {
        self.had_ended = false;
        if let Some((copy, copied)) = self.rotated(place)?
            && copied != inode
            && copy.metadata()?.len() > place.position
        {
            self.place = Some(Place { inode: copied, ..place.clone() });
            self.file = Some(copy);
            return self.look();
        }
        self.turn(place, false)
    }

    /// Goes on to the file that came after the place's own: one that was rotated away meanwhile, else the one at the path.
    fn turn(&mut self, place: &Place, lost: bool) -> io::Result<Look> {
        self.had_ended = false;
        let next = match self.next_rotated(place)? {
            Some(file) => file,
            None => match open(&self.path)? {
                Some(file) => file,
                None => return Ok(Look::Nothing { waiting: 0 }),
            },
        };
        let start = Place::start(next.metadata()?.ino(), place.generation + 1);
        self.place = Some(start.clone());
        self.file = Some(next);
        Ok(Look::Moved { place: start, lost })
    }

    fn lines(&mut self, file: &File, place: &Place, mut bytes: Vec<u8>, line_end: usize, length: u64) -> io::Result<Look> {
        bytes.truncate(line_end);
        let position = place.position + line_end as u64;
        let next = Place { position, head: self.head_of(file, position.min(HEAD))?, ..place.clone() };
        self.place = Some(next.clone());
        Ok(Look::Lines { bytes, from: place.clone(), place: next, waiting: length.saturating_sub(position) })
    }

    /// The line's beginning is kept as what cannot be read; the rest is passed over.
    fn too_long(&mut self, file: &File, place: &Place, bytes: Vec<u8>, length: u64) -> io::Result<Look> {
        let position = place.position + bytes.len() as u64;
        let next = Place { position, head: self.head_of(file, position.min(HEAD))?, skipping: true, ..place.clone() };
        self.place = Some(next.clone());
        Ok(Look::Lines { bytes, from: place.clone(), place: next, waiting: length.saturating_sub(position) })
    }

    fn skip(&mut self, file: &File, place: &Place, bytes: &[u8]) -> io::Result<Look> {
        let line_end = memchr::memchr(b'\n', bytes);
        if bytes.is_empty() {
            return self.ended(place, Vec::new(), file);
        }
        let position = place.position + line_end.map_or(bytes.len(), |at| at + 1) as u64;
        let next = Place { position, skipping: line_end.is_none(), ..place.clone() };
        self.place = Some(next.clone());
        Ok(Look::Moved { place: next, lost: false })
    }

    /// Nothing more, but perhaps an unfinished line. A file that was rotated away is left one look later: whoever had it open
    /// may still write a line.
    fn ended(&mut self, place: &Place, rest: Vec<u8>, file: &File) -> io::Result<Look> {
        let waiting = rest.len() as u64;
        let replaced = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.ino() != place.inode,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !replaced {
            self.had_ended = false;
            return Ok(Look::Nothing { waiting });
        }
        if !std::mem::replace(&mut self.had_ended, true) {
            return Ok(Look::Nothing { waiting });
        }
        if !rest.is_empty() && !place.skipping {
            // Nobody will finish it.
            let position = place.position + waiting;
            let next = Place { position, head: self.head_of(file, position.min(HEAD))?, ..place.clone() };
            self.place = Some(next.clone());
            return Ok(Look::Lines { bytes: rest, from: place.clone(), place: next, waiting: 0 });
        }
        self.turn(place, false)
    }

    fn head_of(&self, file: &File, length: u64) -> io::Result<Head> {
        if length == 0 {
            return Ok(Head::default());
        }
        let mut head = vec![0; usize::try_from(length.min(HEAD)).unwrap_or(0)];
        let read = read_at(file, &mut head, 0)?;
        Ok(Head::of(&head[..read], &self.key))
    }

    /// Files beside ours that bear its name and a suffix: `audit.log.1`, `audit.log-20261120`.
    fn siblings(&self) -> io::Result<Vec<PathBuf>> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name = self.path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let mut siblings = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let other = entry.file_name();
            let suffix = other.as_bytes().strip_prefix(name);
            let numbered = |suffix: &[u8]| {
                suffix.len() > 1
                    && matches!(suffix[0], b'.' | b'-')
                    && suffix.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'T' | b'_' | b':' | b'Z'))
            };
            if suffix.is_some_and(numbered) && entry.file_type()?.is_file() {
                siblings.push(entry.path());
            }
        }
        Ok(siblings)
    }

    /// The file of the place under another name, or a copy of it; the one with its inode first.
    fn rotated(&self, place: &Place) -> io::Result<Option<(File, u64)>> {
        let mut found = None;
        for path in self.siblings()? {
            let Some(file) = open(&path)? else { continue };
            let metadata = file.metadata()?;
            if metadata.len() < place.position || self.head_of(&file, place.head.length)? != place.head {
                continue;
            }
            if metadata.ino() == place.inode {
                return Ok(Some((file, place.inode)));
            }
            // Any file begins like one of which nothing was read.
            if place.head.length > 0 {
                found = Some((file, metadata.ino()));
            }
        }
        Ok(found)
    }

    /// The oldest file that was rotated away after the place's own was, when there was more than one rotation.
    fn next_rotated(&self, place: &Place) -> io::Result<Option<File>> {
        let age = |metadata: &fs::Metadata| (metadata.mtime(), metadata.mtime_nsec());
        let mut siblings = Vec::new();
        for path in self.siblings()? {
            if let Some(file) = open(&path)? {
                let metadata = file.metadata()?;
                siblings.push((age(&metadata), metadata.ino(), file));
            }
        }
        // Without it nobody knows which came after.
        let Some(own) = siblings.iter().find(|(_, inode, _)| *inode == place.inode).map(|(age, ..)| *age) else {
            return Ok(None);
        };
        siblings.retain(|(age, inode, _)| *age > own && *inode != place.inode);
        Ok(siblings.into_iter().min_by_key(|(age, ..)| *age).map(|(_, _, file)| file))
    }
}

/// `None` when nothing stands there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A chunk, longer only when a line is, and where its last whole line ends.
fn read_lines(file: &File, position: u64) -> io::Result<(Vec<u8>, Option<usize>)> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        bytes.resize((start + CHUNK).min(MAX_LINE), 0);
        let read = read_at(file, &mut bytes[start..], position + start as u64)?;
        bytes.truncate(start + read);
        let line_end = memchr::memrchr(b'\n', &bytes[start..]).map(|at| start + at + 1);
        if line_end.is_some() || read == 0 || start + read < (start + CHUNK).min(MAX_LINE) || bytes.len() >= MAX_LINE {
            return Ok((bytes, line_end));
        }
    }
}

/// Reads until `bytes` is full or the file ends.
fn read_at(file: &File, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], position + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
