//! The spool: where best-effort events wait on the local disk while the store is away.
//!
//! ```text
//! spool/<16 hex>/lock            held by the process whose folder it is
//!                seg-<20 digits> events, oldest first; the name's number never comes again in a folder
//!                free-<n>        space that is reserved
//!                loss            how many were lost, and when
//! ```
//!
//! An event counts as kept when its file is synced. It stays until it is in the log; after a crash some come twice, and the
//! log knows them by their `externalId`. A folder whose process is gone belongs to whoever locks it first. The space is
//! reserved when the folder is made, so a full disk loses nothing until the spool itself is full.

mod folder;
mod frame;
mod loss;
mod segment;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dezky_audit_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::config::SpoolConfig;
use crate::open::OpenError;
use crate::own::Loss;
use crate::world::Randomness;
use folder::Folder;
pub(crate) use frame::SpoolEntry;

/// The folders that this process holds. Blocking; owned by one thread.
pub(crate) struct Spool {
    root: PathBuf,
    own: Folder,
    /// Folders of processes that are gone, to be emptied before our own and then removed.
    inherited: Vec<Folder>,
}

impl Spool {
    /// Reserves a folder of one's own, and takes over those that nobody holds.
    pub(crate) fn open(config: &SpoolConfig, random: &dyn Randomness) -> Result<Self, OpenError> {
        let failed = |what, source| OpenError::Spool { path: config.dir.clone(), what, source };
        folder::make_root(&config.dir).map_err(|error| failed("the spool folder cannot be made", error))?;
        let own = Folder::create(config, random)
            .map_err(|error| failed("the spool's space cannot be reserved; give it less, or make room", error))?;
        let mut spool = Self { root: config.dir.clone(), own, inherited: Vec::new() };
        spool.adopt();
        Ok(spool)
    }

    /// Takes over the folders that nobody holds. What cannot be read now is tried again the next time.
    pub(crate) fn adopt(&mut self) {
        let held: Vec<_> = self.inherited.iter().chain([&self.own]).map(Folder::id).collect();
        match folder::adopt_all(&self.root, &held) {
            Ok(folders) => self.inherited.extend(folders),
            Err(error) => tracing::warn!(path = %self.root.display(), %error, "the spool folder cannot be searched"),
        }
    }

    /// Appends entries in order and syncs them; the first so many are kept, the rest did not fit.
    pub(crate) fn append(&mut self, entries: &[SpoolEntry]) -> usize {
        self.own.append(entries)
    }

    /// The oldest entries, at most so many of at most so many bytes, at least one if there is one.
    ///
    /// # Errors
    /// When the disk cannot be read; the same call may succeed later.
    pub(crate) fn peek(&mut self, max_entries: usize, max_bytes: usize) -> io::Result<Vec<SpoolEntry>> {
        match self.front() {
            Some(folder) => folder.peek(max_entries, max_bytes),
            None => Ok(Vec::new()),
        }
    }

    /// The first `n` entries that were peeked at are in the log.
    pub(crate) fn consume(&mut self, n: usize) {
        if let Some(folder) = self.front() {
            folder.consume(n);
        }
    }

    /// What is left of the oldest segment cannot be read: it counts as lost.
    pub(crate) fn discard_damaged(&mut self, now: Timestamp) {
        if let Some(folder) = self.front() {
            folder.discard_segment(now);
        }
    }

    /// Counts events that could not be kept; durable on return, unless the disk refuses.
    pub(crate) fn lose(&mut self, loss: Loss) {
        self.own.loss().add(loss);
    }

    /// A loss that is to be recorded, with the id that makes it be recorded once.
    pub(crate) fn pending_loss(&mut self) -> Option<(String, Loss)> {
        self.inherited.iter_mut().chain([&mut self.own]).find_map(|folder| folder.loss().pending())
    }

    /// The loss of this id is in the log.
    pub(crate) fn loss_recorded(&mut self, id: &str) {
        for folder in self.inherited.iter_mut().chain([&mut self.own]) {
            folder.loss().recorded(id);
        }
    }

    /// Removes the inherited folders that are empty now.
    pub(crate) fn tidy(&mut self) {
        let (done, left) = std::mem::take(&mut self.inherited).into_iter().partition(Folder::is_done);
        self.inherited = left;
        let done: Vec<Folder> = done;
        done.into_iter().for_each(Folder::remove);
    }

    /// Entries that are not in the log yet.
    pub(crate) fn entries(&self) -> u64 {
        self.inherited.iter().chain([&self.own]).map(Folder::entries).sum()
    }

    /// Bytes of our own space that are in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.own.bytes()
    }

    /// Lets go of the folders; an empty one is removed.
    pub(crate) fn close(mut self) {
        self.tidy();
        if self.own.is_done() {
            self.own.remove();
        }
    }

    fn front(&mut self) -> Option<&mut Folder> {
        self.inherited.iter_mut().chain([&mut self.own]).find(|folder| folder.entries() > 0)
    }
}

/// The spool behind its thread: all disk access happens there, in the order of the calls.
#[derive(Clone)]
pub(crate) struct SpoolThread {
    jobs: mpsc::Sender<Job>,
    gauges: Arc<SpoolGauges>,
}

/// How full the spool is, as of the last call.
#[derive(Default)]
pub(crate) struct SpoolGauges {
    entries: AtomicU64,
    bytes: AtomicU64,
}

type Job = Box<dyn FnOnce(&mut Spool) + Send>;

/// The thread is gone: it panicked, or the log is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Calls that wait for the thread; each task has at most one.
const MAX_JOBS: usize = 16;

impl SpoolThread {
    /// Starts the thread; it ends, and closes the spool, when the last handle is dropped.
    pub(crate) fn start(mut spool: Spool) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(MAX_JOBS);
        let gauges = Arc::new(SpoolGauges::default());
        gauges.note(&spool);
        let thread = std::thread::Builder::new().name("audit-spool".to_owned()).spawn(move || {
            while let Some(job) = inbox.blocking_recv() {
                job(&mut spool);
            }
            spool.close();
        })?;
        Ok((Self { jobs, gauges }, thread))
    }

    /// Runs `job` on the thread. The gauges are up to date when it returns.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Spool) -> T + Send + 'static) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        let gauges = Arc::clone(&self.gauges);
        let job = move |spool: &mut Spool| {
            let result = job(spool);
            gauges.note(spool);
            drop(reply.send(result));
        };
        self.jobs.send(Box::new(job)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Entries that are not in the log yet.
    pub(crate) fn entries(&self) -> u64 {
        self.gauges.entries()
    }

    pub(crate) fn gauges(&self) -> Arc<SpoolGauges> {
        Arc::clone(&self.gauges)
    }
}

impl SpoolGauges {
    /// Entries that are not in the log yet.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Acquire)
    }

    /// Bytes of this process's space that are in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn note(&self, spool: &Spool) {
        self.entries.store(spool.entries(), Ordering::Release);
        self.bytes.store(spool.bytes(), Ordering::Relaxed);
    }
}
