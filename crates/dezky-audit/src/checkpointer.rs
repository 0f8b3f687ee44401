//! The checkpointer: the one task of a process that signs.
//!
//! It signs what the store returns, never what it remembers; before that it makes sure that the store still holds
//! everything that was signed before, with the same root. A checkpoint counts once it is in the store.
//!
//! Of all processes that share a store one signs by the clock, the one that holds the [lease](tenure); the others look on,
//! and one of them takes over when the lease has run out. Whoever is asked for a checkpoint makes it at once, holder or not.
//! That two sign at a time does no harm: both sign the store's one tree with the same keys, each after it has seen that
//! the tree extends what was signed before. The lease saves work, and keeps the heartbeat one.

mod cadence;
mod guard;
mod tenure;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use dezky_audit_core::checkpoint::{Checkpoint, Reason};
use dezky_audit_core::ids::Origin;
use dezky_store::{CheckpointRecord, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::checkpoint::CheckpointError;
use crate::config::CheckpointLimits;
use crate::keys::{Keys, Vouched, write_whole};
use crate::metrics::Counters;
use crate::own::OwnEvents;
use crate::tree;
use crate::world::World;
use cadence::{Cadence, Due};
use tenure::Tenure;

pub(crate) use guard::{Guard, GuardError, KnownHead};

/// Whoever asks for a checkpoint; more than this wait for their turn to ask.
const MAX_REQUESTS: usize = 64;

type Answer = Result<CheckpointRecord, CheckpointError>;

/// Asks the checkpointer.
#[derive(Clone)]
pub(crate) struct Requests(mpsc::Sender<Request>);

struct Request {
    reason: Reason,
    answer: oneshot::Sender<Answer>,
}

impl Requests {
    pub(crate) fn new() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
        (Self(sender), Inbox(receiver))
    }

    /// A checkpoint of the log as it is now, or later.
    pub(crate) async fn ask(&self, reason: Reason) -> Result<CheckpointRecord, CheckpointError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request { reason, answer }).await.map_err(|_| CheckpointError::Closed)?;
        answered.await.map_err(|_| CheckpointError::Closed)?
    }
}

pub(crate) struct Inbox(mpsc::Receiver<Request>);

/// What signing needs. Used by one task at a time: at start by the opening of the log, then by the checkpointer.
pub(crate) struct Signer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) origin: Origin,
    pub(crate) keys: Arc<Keys>,
    pub(crate) world: World,
    pub(crate) counters: Arc<Counters>,
    /// Where the newest note is kept beside the store.
    pub(crate) kept: Option<PathBuf>,
    /// The newest checkpoint that this process has seen, for all who want to know.
    pub(crate) newest: watch::Sender<Option<CheckpointRecord>>,
}

impl Signer {
    /// Signs the log as the store has it, or returns the newest checkpoint when nothing is new.
    pub(crate) async fn checkpoint(&self, reason: Reason) -> Result<CheckpointRecord, CheckpointError> {
        let made = self.make(reason).await;
        match &made {
            Ok(record) => {
                self.advance(record);
            }
            Err(error) => {
                self.counters.checkpoint_failures.add(1);
                tracing::error!(error = error as &dyn std::error::Error, "no checkpoint could be made");
            }
        }
        made
    }

    async fn make(&self, reason: Reason) -> Result<CheckpointRecord, CheckpointError> {
        let stored = self.store.latest_checkpoint().await?;
        self.vouch(stored.as_ref())?;
        let head = self.store.head().await?;
        let known = [stored.as_ref(), self.newest.borrow().as_ref()]
            .into_iter()
            .flatten()
            .map(|record| KnownHead { size: record.size, root: record.root })
            .collect::<Vec<_>>();
        let root = Guard { store: &*self.store }.admits(&head, &known).await?;
        if let Some(newest) = stored.filter(|newest| newest.size == head.size) {
            return Ok(newest);
        }
        let checkpoint = Checkpoint::of_log(&self.origin, head.size, root);
        let note = checkpoint.sign(self.keys.signing()).map_err(|error| {
            CheckpointError::Store(StoreError::Refused { reason: format!("the checkpoint cannot be signed: {error}") })
        })?;
        let record = CheckpointRecord {
            at: self.world.clock.now(),
            size: head.size,
            head_hash: head.hash,
            root,
            reason: reason_text(reason).to_owned(),
            note: note.to_string(),
        };
        // Another process may have signed more meanwhile: then that is the newest, and nothing goes back.
        if let Some(newest) = self.store.latest_checkpoint().await?.filter(|newest| newest.size > record.size) {
            self.vouch(Some(&newest))?;
            return Ok(newest);
        }
        self.store.put_checkpoint(&record).await?;
        self.counters.checkpoints.add(1);
        tracing::debug!(size = record.size, reason = record.reason, "checkpoint");
        self.keep(&record).await;
        Ok(record)
    }

    /// Makes sure that a checkpoint of the store is signed by a key of this process: one log is signed by one set of keys.
    fn vouch(&self, stored: Option<&CheckpointRecord>) -> Result<(), CheckpointError> {
        let Some(record) = stored.filter(|stored| self.newest.borrow().as_ref() != Some(stored)) else { return Ok(()) };
        match self.keys.vouch(&self.origin, &record.note) {
            Vouched::Known(_) => Ok(()),
            Vouched::Stranger { signers } => {
                Err(CheckpointError::OtherSigner { size: record.size, signers, ours: self.keys.names() })
            }
            Vouched::Broken(why) => Err(CheckpointError::BadCheckpoint { size: record.size, why }),
        }
    }

    /// Takes note of a checkpoint that another process made, and keeps it beside the store as if it were one's own.
    async fn learn(&self) -> Result<Option<CheckpointRecord>, CheckpointError> {
        let stored = self.store.latest_checkpoint().await?;
        self.vouch(stored.as_ref())?;
        if let Some(record) = &stored
            && self.advance(record)
        {
            self.keep(record).await;
        }
        Ok(stored)
    }

    /// The newest checkpoint is this one, unless a newer one is known; whether that is news.
    fn advance(&self, record: &CheckpointRecord) -> bool {
        self.newest.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| newest.size < record.size);
            let same = newest.as_ref().is_some_and(|newest| newest.size == record.size && newest != record);
            if newer || same {
                *newest = Some(record.clone());
            }
            newer
        })
    }

    /// Keeps the note beside the store. Only a guard against an old copy of the store, so a failure is told and no more.
    async fn keep(&self, record: &CheckpointRecord) {
        let Some(path) = self.kept.clone() else { return };
        let (note, random) = (record.note.clone(), Arc::clone(&self.world.random));
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || write_whole(&path, note.as_bytes(), &*random)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(path = shown, %error, "the newest checkpoint could not be kept beside the store");
        }
    }
}

/// How the format writes a reason.
pub(crate) const fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Startup => "startup",
        Reason::Interval => "interval",
        Reason::Threshold => "threshold",
        Reason::Manual => "manual",
        Reason::Heartbeat => "heartbeat",
    }
}

/// Signs when it is time, or when asked, from when it may until `stop` says so.
pub(crate) async fn run(
    signer: Signer,
    limits: CheckpointLimits,
    own: OwnEvents,
    mut inbox: Inbox,
    mut size: watch::Receiver<u64>,
    mut may_sign: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    if !*may_sign.borrow() {
        if !allowed(&mut inbox, &mut may_sign, &mut stop).await {
            return;
        }
        // What is new since the log was opened. A failure was told, and it is tried again.
        drop(signer.checkpoint(Reason::Startup).await);
    }
    let signed = signer.newest.borrow().as_ref().map_or(0, |record| record.size);
    let mut cadence = Cadence::new(limits, Instant::now(), signed);
    cadence.grown(Instant::now(), *size.borrow_and_update());
    let mut tenure = Tenure::new(&signer.world, limits.lease);
    // Those who wait for an answer.
    let mut requests: VecDeque<Request> = VecDeque::new();
    loop {
        let due = cadence.next();
        if requests.is_empty() {
            let at = if tenure.is_held() { due.at.min(tenure.next_look()) } else { tenure.next_look() };
            let look = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(request) = inbox.0.recv() => {
                    requests.push_back(request);
                    false
                }
                Ok(()) = size.changed() => {
                    cadence.grown(Instant::now(), *size.borrow_and_update());
                    continue;
                }
                () = tokio::time::sleep_until(at) => tenure.next_look() <= Instant::now(),
            };
            if look {
                tenure.look(&signer, &mut cadence).await;
                continue;
            }
        }
        // One checkpoint answers all who have asked before the head is read.
        while let Ok(request) = inbox.0.try_recv() {
            requests.push_back(request);
        }
        let reason = match (requests.front(), due.what) {
            (Some(request), _) => request.reason,
            (None, Due::Checkpoint(reason)) => reason,
            (None, Due::Heartbeat) => {
                if let Err(error) = own.heartbeat().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the heartbeat could not be recorded");
                    cadence.failed(Instant::now());
                    continue;
                }
                Reason::Heartbeat
            }
        };
        match signer.checkpoint(reason).await {
            Ok(record) => {
                cadence.signed(Instant::now(), record.size);
                for request in requests.drain(..) {
                    drop(request.answer.send(Ok(record.clone())));
                }
            }
            // An error has one owner; the others are tried for by themselves.
            Err(error) => {
                cadence.failed(Instant::now());
                if let Some(request) = requests.pop_front() {
                    drop(request.answer.send(Err(error)));
                }
            }
        }
    }
    tenure.end(&*signer.store).await;
}

/// Answers those who ask that nothing is signed yet, until it may be; false when it ends before.
async fn allowed(inbox: &mut Inbox, may_sign: &mut watch::Receiver<bool>, stop: &mut watch::Receiver<bool>) -> bool {
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return false,
            may = may_sign.wait_for(|may| *may) => return may.is_ok(),
            Some(request) = inbox.0.recv() => drop(request.answer.send(Err(CheckpointError::NotCompared))),
        }
    }
}

/// What a store says about itself, before it is believed.
async fn own_root(store: &dyn Store, head: &dezky_store::Head) -> Result<Option<dezky_audit_core::hash::Hash>, StoreError> {
    let folded = tree::root_of(head);
    let tiled = tree::root_at(store, head.size).await?;
    Ok(folded.ok().filter(|root| tiled == Ok(*root)))
}
