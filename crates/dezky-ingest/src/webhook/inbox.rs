//! A folder in which verified bodies lie until they are mapped: one file each, synced before it is acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt;

use super::Refused;

/// A body that is no larger stays in memory until its signature is known to be right.
const IN_MEMORY: usize = 64 << 10;
const UNFINISHED: &str = ".part";

/// How much an inbox takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// Of one body, in bytes. Stalwart sends everything that it has at once, and sends it again if it is refused.
    pub body: u64,
    /// Of all bodies together.
    pub all: u64,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self { body: 64 << 20, all: 1 << 30 }
    }
}

/// The inbox. One process holds it.
pub struct Inbox {
    folder: PathBuf,
    limits: InboxLimits,
    next: AtomicU64,
    /// Bytes of what is there and of what is arriving.
    used: AtomicU64,
    /// What lies there, by its number, and its bytes.
    bodies: Mutex<BTreeMap<u64, u64>>,
}

impl Inbox {
    /// Opens the folder, making it if need be (mode 0700), and throws away what was never finished.
    ///
    /// # Errors
    /// When the folder cannot be read or written to.
    pub fn open(folder: impl Into<PathBuf>, limits: InboxLimits) -> io::Result<Arc<Self>> {
        let folder = folder.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut bodies = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            } else if let Some(number) = number_of(&name) {
                bodies.insert(number, entry.metadata()?.len());
            }
        }
        let next = bodies.last_key_value().map_or(1, |(number, _)| number + 1);
        let used = bodies.values().sum();
        Ok(Arc::new(Self { folder, limits, next: AtomicU64::new(next), used: AtomicU64::new(used), bodies: Mutex::new(bodies) }))
    }

    /// How many bodies wait.
    pub fn bodies(&self) -> u64 {
        self.held().len() as u64
    }

    /// How many bytes wait or arrive, and how many may.
    pub fn fullness(&self) -> (u64, u64) {
        (self.used.load(Ordering::Relaxed), self.limits.all)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Arriving {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Arriving { inbox: Arc::clone(self), number, memory: Vec::new(), file: None, bytes: 0, kept: false }
    }

    /// The oldest bodies and their names: at least one if there is one, no more than `bytes` of them otherwise.
    pub(super) async fn oldest(&self, bodies: usize, bytes: u64) -> io::Result<Vec<(String, Vec<u8>)>> {
        let numbers: Vec<u64> = {
            let held = self.held();
            let mut sum = 0;
            let fits = |(at, (number, length)): (usize, (&u64, &u64))| {
                sum += length;
                (at == 0 || sum <= bytes).then_some(*number)
            };
            held.iter().take(bodies).enumerate().map_while(fits).collect()
        };
        let mut read = Vec::with_capacity(numbers.len());
        for name in numbers.into_iter().map(name_of) {
            let body = tokio::fs::read(self.folder.join(&name)).await?;
            read.push((name, body));
        }
        Ok(read)
    }

    /// Throws a body away that is in the log. Should it come back after a crash, its events are known.
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        tokio::fs::remove_file(self.folder.join(name)).await?;
        if let Some(bytes) = number_of(name).and_then(|number| self.held().remove(&number)) {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is arriving. Dropped before it was kept, nothing of it stays.
pub(super) struct Arriving {
    inbox: Arc<Inbox>,
    number: u64,
    memory: Vec<u8>,
    file: Option<tokio::fs::File>,
    bytes: u64,
    kept: bool,
}

impl Arriving {
    pub(super) fn fits_in_memory(&self, piece: &[u8]) -> bool {
        self.file.is_none() && self.memory.len() + piece.len() <= IN_MEMORY
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), Refused> {
        let InboxLimits { body, all } = self.inbox.limits;
        let length = piece.len() as u64;
        if self.bytes + length > body {
            return Err(Refused::TooLarge { limit: body });
        }
        let before = self.inbox.used.fetch_add(length, Ordering::Relaxed);
        self.bytes += length;
        if before + length > all {
            return Err(Refused::Full { limit: all });
        }
        if self.fits_in_memory(piece) {
            self.memory.extend_from_slice(piece);
            return Ok(());
        }
        self.spill(piece).await.map_err(Refused::Disk)
    }

    async fn spill(&mut self, piece: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                let file = tokio::fs::OpenOptions::from(options).open(self.part()).await?;
                self.file.insert(file)
            }
        };
        if !self.memory.is_empty() {
            file.write_all(&std::mem::take(&mut self.memory)).await?;
        }
        file.write_all(piece).await
    }

    /// Durable under its name when it returns.
    pub(super) async fn keep(mut self) -> Result<u64, Refused> {
        self.write_down().await.map_err(Refused::Disk)?;
        self.kept = true;
        self.inbox.held().insert(self.number, self.bytes);
        Ok(self.bytes)
    }

    async fn write_down(&mut self) -> io::Result<()> {
        self.spill(b"").await?;
        if let Some(mut file) = self.file.take() {
            file.flush().await?;
            file.sync_all().await?;
        }
        tokio::fs::rename(self.part(), self.inbox.folder.join(name_of(self.number))).await?;
        let folder = tokio::fs::File::open(&self.inbox.folder).await?;
        folder.sync_all().await
    }

    fn part(&self) -> PathBuf {
        self.inbox.folder.join(format!("{:020}{UNFINISHED}", self.number))
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.kept {
            self.inbox.used.fetch_sub(self.bytes, Ordering::Relaxed);
            // Most were never written down.
            drop(fs::remove_file(self.part()));
        }
    }
}

fn name_of(number: u64) -> String {
    format!("{number:020}.json")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = Path::new(name).file_name()?.to_str()?.strip_suffix(".json")?;
    digits.parse().ok().filter(|_| digits.len() == 20)
}
