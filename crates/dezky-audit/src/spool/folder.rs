//! One process's folder in the spool: its lock, its segments, its reserved space.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dezky_audit_core::time::Timestamp;

use super::frame::{SegmentKey, SpoolEntry};
use super::loss::LossBook;
use super::segment::{Segment, reserve};
use crate::config::SpoolConfig;
use crate::own::Loss;
use crate::world::Randomness;

/// Every event fits into a segment.
const MIN_SEGMENT: u64 = 2 << 20;

pub(super) struct Folder {
    path: PathBuf,
    id: u64,
    /// Held as long as the folder is ours.
    lock: File,
    /// Oldest first; the last one takes what comes, unless it is sealed.
    segments: VecDeque<Segment>,
    free: Vec<(PathBuf, File)>,
    /// The number of the next segment.
    next: u64,
    segment_size: u64,
    loss: LossBook,
}

/// Makes the folder of folders.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(root)
}

/// Locks and reads every folder in `root` that nobody holds, but for those of `held`.
pub(super) fn adopt_all(root: &Path, held: &[u64]) -> io::Result<Vec<Folder>> {
    let mut adopted = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let Some(id) = folder_id(&path).filter(|id| !held.contains(id)) else { continue };
        match Folder::adopt(path.clone(), id) {
            Ok(folder) => adopted.extend(folder),
            Err(error) => tracing::error!(path = %path.display(), %error, "a spool that was left behind cannot be read"),
        }
    }
    Ok(adopted)
}

fn folder_id(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None }
}

impl Folder {
    /// Makes a folder that nobody else has, locks it, and reserves its space.
    pub(super) fn create(config: &SpoolConfig, random: &dyn Randomness) -> io::Result<Self> {
        let (path, id, lock) = Self::claim(&config.dir, random)?;
        let segment_size = config.segment.max(MIN_SEGMENT);
        let reserved = || {
            let mut free = Vec::new();
            for n in 0..(config.limit / segment_size).max(2) {
                let path = path.join(format!("free-{n}"));
                free.push((path.clone(), reserve(&path, segment_size)?));
            }
            let loss = LossBook::create(&path.join("loss"), id)?;
            sync_dir(&path)?;
            sync_dir(&config.dir)?;
            Ok((free, loss))
        };
        match reserved() {
            Ok((free, loss)) => Ok(Self { path, id, lock, segments: VecDeque::new(), free, next: 0, segment_size, loss }),
            Err(error) => {
                drop(fs::remove_dir_all(&path));
                Err(error)
            }
        }
    }

    /// A folder of a new name, and its lock. Another process may take an unlocked folder for one that was left behind, and
    /// remove it: then the next name.
    fn claim(root: &Path, random: &dyn Randomness) -> io::Result<(PathBuf, u64, File)> {
        for _ in 0..16 {
            let mut id = [0; 8];
            random.fill(&mut id).map_err(io::Error::other)?;
            let id = u64::from_be_bytes(id);
            let path = root.join(format!("{id:016x}"));
            DirBuilder::new().mode(0o700).create(&path)?;
            if let Some(lock) = lock_folder(&path, true)? {
                return Ok((path, id, lock));
            }
        }
        Err(io::Error::other("no folder in the spool could be locked"))
    }

    /// Takes over a folder that was left behind; `None` if somebody holds it.
    fn adopt(path: PathBuf, id: u64) -> io::Result<Option<Self>> {
        let Some(lock) = lock_folder(&path, false)? else { return Ok(None) };
        let mut numbers: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&path)? {
            let file = entry?.path();
            let number = file.file_name().and_then(|name| name.to_str()?.strip_prefix("seg-")?.parse().ok());
            numbers.extend(number.map(|number| (number, file)));
        }
        numbers.sort_unstable();
        let loss = match LossBook::recover(&path.join("loss"), id) {
            // The process died before it had made its folder whole: it never kept an event.
            Err(error) if error.kind() == io::ErrorKind::NotFound => LossBook::create(&path.join("loss"), id)?,
            other => other?,
        };
        let mut folder =
            Self { path, id, lock, segments: VecDeque::new(), free: Vec::new(), next: u64::MAX, segment_size: 0, loss };
        let newest = numbers.last().map(|(number, _)| *number);
        for (number, file) in numbers {
            let modified = modified(&file)?;
            let (segment, unreadable_rest) = Segment::recover(file.clone(), SegmentKey { folder: id, number })?;
            if unreadable_rest && newest != Some(number) {
                tracing::error!(path = %file.display(), "events behind a damaged place in the spool are lost");
                folder.loss.add(Loss { count: 1, since: modified, until: modified });
            }
            folder.segments.push_back(segment);
        }
        tracing::info!(path = %folder.path.display(), events = folder.entries(), "took over a spool that was left behind");
        Ok(Some(folder))
    }

    pub(super) fn append(&mut self, entries: &[SpoolEntry]) -> usize {
        let (mut kept, mut failures) = (0, 0);
        while let Some(entry) = entries.get(kept) {
            if !self.segments.back().is_some_and(|segment| segment.has_room(entry)) && !self.begin_segment() {
                break;
            }
            let Some(segment) = self.segments.back_mut() else { break };
            match segment.append(&entries[kept..]) {
                Ok(n) => kept += n,
                Err(error) => {
                    tracing::error!(path = %segment.path().display(), %error, "the spool cannot be written");
                    failures += 1;
                    if failures == 2 {
                        break;
                    }
                }
            }
        }
        kept
    }

    pub(super) fn peek(&self, max_entries: usize, max_bytes: usize) -> io::Result<Vec<SpoolEntry>> {
        let Some(segment) = self.segments.iter().find(|segment| segment.entries() > 0) else { return Ok(Vec::new()) };
        segment.peek(max_entries, max_bytes)
    }

    pub(super) fn consume(&mut self, n: usize) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.entries() > 0) {
            segment.consume(n);
        }
        // With nothing left to read, the newest segment is wiped too.
        while self.segments.front().is_some_and(|segment| segment.entries() == 0 && (segment.sealed || self.entries() == 0)) {
            if let Some(segment) = self.segments.pop_front() {
                self.recycle(segment);
            }
        }
    }

    /// Gives up what is unread in the oldest segment, and counts it as lost: the disk has changed it.
    pub(super) fn discard_segment(&mut self, at: Timestamp) {
        let damaged = self.segments.iter().find(|segment| segment.entries() > 0).map(Segment::entries);
        if let Some(count) = damaged {
            self.loss.add(Loss { count: count as u64, since: at, until: at });
            self.consume(count);
        }
    }

    pub(super) const fn loss(&mut self) -> &mut LossBook {
        &mut self.loss
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn entries(&self) -> u64 {
        self.segments.iter().map(|segment| segment.entries() as u64).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// Nothing in it has to go into the log.
    pub(super) fn is_done(&self) -> bool {
        self.entries() == 0 && self.loss.is_empty()
    }

    /// Removes the folder and gives its space back.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "an empty spool could not be removed");
        }
        drop(self.lock);
    }

    /// Turns reserved space into the segment that takes what comes; `false` when there is none left.
    fn begin_segment(&mut self) -> bool {
        while let Some((free, file)) = self.free.pop() {
            let path = self.path.join(format!("seg-{:020}", self.next));
            let renamed = fs::rename(&free, &path).and_then(|()| sync_dir(&self.path));
            let key = SegmentKey { folder: self.id, number: self.next };
            self.next += 1;
            match renamed {
                Ok(()) => {
                    self.segments.push_back(Segment::new(path, file, key, self.segment_size));
                    return true;
                }
                Err(error) => tracing::error!(path = %free.display(), %error, "a part of the spool cannot be used"),
            }
        }
        false
    }

    /// Wipes a segment and reserves its space again.
    fn recycle(&mut self, segment: Segment) {
        if self.segment_size == 0 {
            // Of a folder that was left behind nothing is used again.
            drop(fs::remove_file(segment.path()));
            return;
        }
        let free = self.path.join(format!("free-{}", self.next));
        self.next += 1;
        let path = segment.path().to_owned();
        let wiped = segment.wipe().and_then(|(path, file)| {
            fs::rename(path, &free)?;
            sync_dir(&self.path)?;
            Ok(file)
        });
        match wiped {
            Ok(file) => self.free.push((free, file)),
            Err(error) => tracing::error!(path = %path.display(), %error, "a part of the spool cannot be used again"),
        }
    }
}

/// Locks a folder; `None` if somebody else holds it, or it is not there any more.
fn lock_folder(path: &Path, create: bool) -> io::Result<Option<File>> {
    let lock_path = path.join("lock");
    let opened = OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(&lock_path);
    let lock = match opened {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Somebody died, or is busy, between making the folder and its lock: an empty folder is nothing to keep.
            drop(fs::remove_dir(path));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    // Whoever held it may have removed it before we got the lock.
    let same = fs::metadata(&lock_path).and_then(|there| {
        let ours = lock.metadata()?;
        Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino()))
    });
    Ok(same.unwrap_or(false).then_some(lock))
}

/// When a file was last written, in the log's time.
fn modified(path: &Path) -> io::Result<Timestamp> {
    let seconds = u64::try_from(fs::metadata(path)?.mtime()).unwrap_or_default();
    Ok(Timestamp::from_unix_ms(seconds.saturating_mul(1_000)).unwrap_or(Timestamp::MAX))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
