//! The embedded store: one SQLite file in WAL mode, `synchronous = FULL`.
//!
//! One thread owns the connection that writes and does one transaction after the other; a few threads read beside it; one
//! lets the search copy follow. Other processes may have the same file open: every write takes the lock before it looks, so
//! that the compare-and-swap of an append holds against them too. Whatever SQLite cannot do now (locked, disk full, I/O) is
//! `Unavailable`, and the same store goes on when it can again.
//!
//! # Searching
//!
//! The table `search` holds a readable copy of what events are looked for by. Its index is our own, in segments of up to
//! 30,720 events: the order of the segment's events by (`at`, `seq`), and for each hashed term the events that have it. Terms
//! are the fields' values, alone and together with the tenant, the action's prefixes, and every three characters in a row of
//! the texts. A page is the rows that have all terms of the question, in order, each checked again. A segment is written once,
//! from the rows, and several are replaced by a larger one, so that indexing an event costs some ten microseconds however
//! large the log is: a full-text index (FTS5) of the same terms took more than ten times as long and four times the space.

mod answers;
mod append;
mod copy;
mod fault;
mod index;
mod indexer;
mod lane;
mod log;
mod plan;
#[cfg(test)]
mod plans;
mod records;
mod retention;
mod schema;
mod segment;
mod shelf;
mod tally;
mod terms;
mod transfer;
mod value;
mod walk;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::ids::Origin;
use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::identity::Identity;
use crate::{Gauges, Store};
use append::WriteSide;
use fault::{Fault, unavailable};
use indexer::Bell;
use lane::Lane;
use schema::Setup;

/// How a file is opened. The default is right for a service.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Threads that read.
    pub readers: usize,
    /// The most writes that wait, and the most reads; further callers wait for their turn.
    pub queue: usize,
    /// How long a write waits for a lock of another process.
    pub busy_timeout: Duration,
    /// The most pages that the file may have; `None` for as many as the disk has room for.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, queue: 256, busy_timeout: Duration::from_millis(250), max_pages: None }
    }
}

/// A log in a SQLite file.
pub struct SqliteStore {
    origin: Origin,
    writer: Arc<Lane<WriteSide>>,
    readers: Lane<Connection>,
    bell: Arc<Bell>,
    /// Resolves as the thread ends that the bell stops.
    indexer: Mutex<Option<oneshot::Receiver<()>>>,
}

impl SqliteStore {
    /// Opens the file, makes it where there is none (readable for its owner only), and brings it to the newest schema.
    ///
    /// # Errors
    /// `OtherOrigin`, `NewerSchema`; `Corrupt` when it is no database of ours; `Unavailable` when it cannot be opened or is
    /// locked.
    pub async fn open(path: impl Into<PathBuf>, identity: Identity, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path.into();
        let (reply, answer) = oneshot::channel();
        lane::spawn("audit-open", move || {
            drop(reply.send(Self::open_blocking(&path, identity, &options).map_err(StoreError::from)));
        })?;
        answer.await.map_err(|_| unavailable("it could not be opened"))?
    }

    fn open_blocking(path: &Path, identity: Identity, options: &SqliteOptions) -> Result<Self, Fault> {
        create(path)?;
        let setup = Setup { busy_timeout: options.busy_timeout, max_pages: options.max_pages };
        let mut connection = schema::writer(path, &setup)?;
        let origin = schema::prepare(&mut connection, identity)?;
        let readers = (0..options.readers.max(1)).map(|_| schema::reader(path, &setup)).collect::<Result<_, _>>()?;
        let queue = options.queue.max(1);
        let writer = Arc::new(Lane::start("audit-write", queue, vec![WriteSide::new(connection, options.busy_timeout)])?);
        let readers = Lane::start("audit-read", queue, readers)?;
        let bell = Arc::new(Bell::default());
        let indexer = indexer::start(schema::reader(path, &setup)?, Arc::clone(&writer), Arc::clone(&bell))?;
        Ok(Self { origin, writer, readers, bell, indexer: Mutex::new(Some(indexer)) })
    }

    async fn read_side<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(move |connection| job(connection)).await
    }

    async fn write_side<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(move |side| side.write(job)).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.bell.stop();
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn gauges(&self) -> Gauges {
        let (write_queue, write_queue_limit) = self.writer.load();
        Gauges { write_queue, write_queue_limit, uncopied_events: self.bell.behind() }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write_side(|transaction| {
            transaction.prepare_cached("UPDATE log SET border = border WHERE id = 1")?.execute(())?;
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        self.bell.stop();
        let indexer = self.indexer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = indexer {
            lane::ended(end).await;
        }
        self.readers.close().await;
        // The last connection takes the write-ahead log into the file, which is whole by itself from then on.
        self.writer.close().await;
    }
}

/// Makes the file if there is none, for nobody else to read.
fn create(path: &Path) -> Result<(), Fault> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) => {
            drop(file);
            Ok(())
        }
        Err(e) => Err(StoreError::Unavailable { what: "its file cannot be opened", source: Some(Box::new(e)) }.into()),
    }
}
