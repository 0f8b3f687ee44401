//! The shared store: one database of a MongoDB server or replica set, for any number of processes that write.
//!
//! # Why there is never a gap, a fork, or an event lost that was acknowledged
//!
//! An event is one document of the collection `event`, and its `_id` is its seq. The unique `_id` is the only lock. An append
//! is one ordered insert behind a head that the process knows to be there for good: it was read with read concern `majority`
//! from the primary, or written with write concern `majority`, and its hash is the one that the batch builds on. From that:
//!
//! * **No fork.** Of two writers that build on the same head, one inserts the next `_id`; the other's insert stops at its
//!   first document with a duplicate key, and is a `Conflict`. A `_id` is never free again: an event that leaves hot storage
//!   leaves a stub with its `_id`, `hash` and key (below), so that a writer that slept through an archive run cannot write
//!   into the past either.
//! * **No gap.** An ordered insert goes on to a document only when the one before it is in. The first of a batch has its
//!   predecessor in the committed head. So on any server each seq was written after the one before it, and stands behind
//!   it in the oplog. The driver divides a large batch into several commands, the server into several groups; both stop at
//!   the first error, so what is in is always a prefix, `Appended { n }`.
//! * **Fail-over.** A new primary has all that was acknowledged by a majority. What was not, is rolled back as a suffix of
//!   the oplog, hence as a suffix of the log: still no gap. A primary that was deposed and does not know yet may take inserts,
//!   but no majority acknowledges them, so that no append reports them; and it can answer `majority` reads only with what is
//!   committed, which is an older head, on which the true primary refuses to build.
//! * **A process reads another's half-done batch.** It is a valid prefix: whoever appends behind it takes the next `_id` and
//!   stops the other there.
//! * **A standalone server** has one history. `j: true` makes a write durable before it is acknowledged; after a crash the
//!   journal holds a prefix of the writes. Read concern is left out there, since such a server does not always know it.
//!
//! # An answer that never came
//!
//! When a connection breaks, a server steps down or takes too long after an insert was sent, the insert may have been done,
//! be done later, or never. The same documents are then inserted again, at the same `_id`s, up to four times: a retry is
//! harmless, since a document is either not there yet, or there as ours, byte for byte, told by its hash, whoever of the two
//! attempts put it there; or another's is there, and then ours can never be. That also holds for the retries that the driver
//! makes by itself (`retryWrites`), and when a caller repeats a batch whose outcome was unknown: it learns how much of it is
//! there, never a `Conflict` with itself. Only when no server answers in all that time is the outcome unknown, and the caller
//! must look for the head and for its own events before it writes anything else.
//!
//! # What is derived
//!
//! The peaks of the log's tree are stored with every 256th event, those of a tenant's with every 64th of its events; the rest
//! is computed from the `hash` of the events since. Tiles are written some batches after they are complete, several at once, and
//! computed from hashes where they are missing, so they can be lost. Nothing else is kept that an event could contradict: head and tenant
//! heads are the highest `_id` and the highest `tenant.seq`.
//!
//! # Leaving hot storage
//!
//! An event that leaves becomes a stub: the line and the search copy go, `_id`, `hash`, `key`, `tenant` and `peaks` stay, some
//! 200 bytes. That keeps receipts, heads and tiles without copying anything, and lets one unique index guard the keys of all
//! events, old and new: with receipts in a collection of their own a key could slip through between the look there and the
//! insert here. Only a log that was begun elsewhere ([`Transfer::begin`](crate::Transfer::begin)) has receipts, tenant heads
//! and tiles in collections of their own; they never change.
//!
//! # Fences
//!
//! There are no transactions, for standalone servers have none. What an archiver changes under its lease (border, intent, the
//! list of batches, restored ranges) is one document of the collection `log`. A lease is handed out only after its token was
//! written into that document, and every fenced change names the token in its filter: a change by an older holder matches
//! nothing from then on, however late it arrives. Documents of batches are written first and count once they are in the list.
//!
//! # Searching
//!
//! The search copy is in the event's own document and therefore never behind. A question goes to the index of its most
//! telling field, and the rows are checked again here. One that the index does not answer whole (two fields, free text) is
//! asked in windows of index entries: the place where a window ends is read from the index first, so that a page can stop at
//! its time budget at a known place, even when nothing was found, and the next goes on from there. Free text is matched inside
//! the index (`at`, `_id`, `text`), without reading documents. Trigrams would find a rare text at once, but an array of some
//! forty entries for each event makes an insert several times as dear, for a question that is seldom asked; windows keep
//! every page within its budget and the writes cheap.

mod answers;
mod append;
mod archives;
mod chain;
mod connect;
mod copy;
mod directory;
mod document;
mod fault;
mod indexes;
mod leases;
pub mod legacy;
mod log;
mod plan;
mod records;
mod retention;
mod streams;
mod tiles;
mod transfer;
mod turns;
mod value;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::ids::Origin;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::{Client, Collection, Database};
use tokio::sync::Mutex;

use crate::error::StoreError;
use crate::identity::Identity;
use crate::{Gauges, Store};
use append::Side;

pub use indexes::IndexReport;

/// The most appends that are meant to wait; for the gauge only.
const QUEUE: usize = 256;

/// How long closing waits for what need not be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a database is opened. The default is right for a service.
#[derive(Debug, Clone)]
pub struct MongoOptions {
    /// The database; else the one that the URI names, else `dezky_audit`.
    pub database: Option<String>,
    /// How long a call waits for a server that can take it, where the URI does not say (`serverSelectionTimeoutMS`).
    pub server_selection: Duration,
    /// How long a call waits for its answer.
    pub answer: Duration,
}

impl Default for MongoOptions {
    /// 5 s for a server, 20 s for an answer.
    fn default() -> Self {
        Self { database: None, server_selection: Duration::from_secs(5), answer: Duration::from_secs(20) }
    }
}

/// A log in a MongoDB database.
#[derive(Debug)]
pub struct MongoStore {
    origin: Origin,
    client: Client,
    /// Reads and writes that must be certain: from the primary, by majority.
    primary: Database,
    /// Lists: as the URI's `readPreference` says.
    lists: Database,
    answer: Duration,
    closed: AtomicBool,
    waiting: AtomicUsize,
    /// The write concern of `primary`, for commands that name it themselves.
    concern: Document,
    /// Whether there are receipts of a log that was begun elsewhere.
    adopted: AtomicBool,
    turns: turns::Turns,
    streams: streams::Streams,
    /// Appends take turns, in the order in which they came.
    side: Mutex<Side>,
}

impl MongoStore {
    /// Connects, makes what is missing in the database (the log's own document, indexes), and checks whose log it is.
    ///
    /// # Errors
    /// `Unavailable` when no server answers; `Refused` when the URI is none, the user is not accepted or lacks a right, the
    /// server is too old, or an index is not as it must be; `OtherOrigin`, `NewerSchema`; `Corrupt` when there are events but
    /// no log.
    pub async fn open(uri: &str, identity: Identity, options: MongoOptions) -> Result<Self, StoreError> {
        connect::open(uri, identity, options).await
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        self.primary.name()
    }

    /// Waits for an answer of the server, as long as one is worth waiting for.
    async fn ask<T>(&self, question: impl Future<Output = mongodb::error::Result<T>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.answer, question).await {
            Ok(answer) => Ok(answer?),
            Err(elapsed) => {
                Err(StoreError::Unavailable { what: "MongoDB did not answer in time", source: Some(Box::new(elapsed)) })
            }
        }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable { what: "it was closed", source: None });
        }
        Ok(())
    }

    fn primary(&self) -> Result<&Database, StoreError> {
        self.alive()?;
        Ok(&self.primary)
    }

    fn events(&self) -> Result<Collection<RawDocumentBuf>, StoreError> {
        Ok(self.primary()?.collection("event"))
    }

    fn collection(&self, name: &str) -> Result<Collection<RawDocumentBuf>, StoreError> {
        Ok(self.primary()?.collection(name))
    }

    /// All documents of a question.
    async fn all(&self, question: mongodb::action::Find<'_, RawDocumentBuf>) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let mut cursor = self.ask(async { question.await }).await?;
        let mut found = Vec::new();
        while self.ask(cursor.advance()).await? {
            found.push(cursor.current().to_owned());
        }
        Ok(found)
    }

    /// The first document of a question.
    async fn first(&self, question: mongodb::action::Find<'_, RawDocumentBuf>) -> Result<Option<RawDocumentBuf>, StoreError> {
        Ok(self.all(question.limit(1)).await?.pop())
    }

    /// Changes one document; whether one was found.
    async fn update(&self, collection: &str, filter: Document, change: Document) -> Result<bool, StoreError> {
        let collection = self.collection(collection)?;
        Ok(self.ask(async { collection.update_one(filter, change).await }).await?.matched_count > 0)
    }

    /// Adds one document; false when its key is there already.
    async fn insert(&self, collection: &str, document: Document) -> Result<bool, StoreError> {
        self.alive()?;
        let collection: Collection<Document> = self.primary.collection(collection);
        let inserted = self
            .ask(async {
                match collection.insert_one(document).await {
                    Ok(_) => Ok(true),
                    Err(error) if fault::is_duplicate(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(inserted)
    }
}

#[async_trait]
impl Store for MongoStore {
    fn gauges(&self) -> Gauges {
        let write_queue = self.waiting.load(Ordering::Relaxed);
        Gauges { write_queue, write_queue_limit: QUEUE, uncopied_events: 0 }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let known = self.update("log", doc! { "_id": "log" }, doc! { "$currentDate": { "pinged": true } }).await?;
        if known { Ok(()) } else { Err(StoreError::corrupt("the document 'log' is gone")) }
    }

    async fn close(&self) {
        let tiles = std::mem::take(&mut self.side.lock().await.tiles);
        // They are computed where they are missing.
        drop(tokio::time::timeout(FAREWELL, self.put_tiles(tiles)).await);
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.client.clone().shutdown().immediate(true).await;
        }
    }
}
