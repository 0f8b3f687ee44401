//! The recorder: the one task of a process that appends. Everything that is recorded passes through here.
//!
//! It takes what waits, as much as a batch may hold and without waiting for more; answers what is known already; links
//! the rest to the head that it knows; and appends by compare-and-swap. While the store makes one batch durable, the next
//! one gathers and is linked behind it; when it turns out otherwise, it is linked anew. Nobody gets a receipt before the store has said that the event is durable. What a crash
//! at each step means:
//!
//! * before `append`: nothing was written, nobody was told anything;
//! * during `append`: the store keeps all, or with some stores a prefix, or nothing; nobody was told anything, and whoever
//!   sends the same events again with their `externalId`s gets the receipts of those that were kept;
//! * after `append`, before the answers: the same.

mod batch;
mod link;
mod tenants;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::{Origin, TenantSlug};
use dezky_store::{Append, Store, StoreError, Tip};
use tokio::sync::watch;

use crate::config::RecordLimits;
use crate::metrics::Counters;
use crate::queue::{Load, Queue};
use crate::record::RecordError;
use crate::world::Clock;
use batch::{Batch, Lookup, Placed};
use link::Chain;
use tenants::TenantTips;

/// Appends that are given up only because other writers are always quicker.
const MAX_RACES: u32 = 1_000;
/// The longest pause between two attempts: whoever pauses loses to whoever does not, and a store has its own ways to be fair.
const MAX_PAUSE_MS: u32 = 4;
/// Attempts after which keys are looked up, whatever seems to be the reason.
const MAX_UNSUSPECTED: u32 = 8;
/// Batches that are looked up first after one that repeated an event.
const SUSPICION: u32 = 64;

pub(crate) struct Recorder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    /// Tells the checkpointer how far the log is.
    size: watch::Sender<u64>,
    origin: Origin,
    /// Where the log ends, as far as is known; `None` when it has to be read again. Owned by this task.
    tip: Option<Tip>,
    /// Where tenants' streams end. Only as good as `tip`. Owned by this task.
    tenants: TenantTips,
    /// Batches that are still looked up first.
    suspicion: u32,
    /// Where an append stopped: if the log ends there, a key was the reason, else another writer.
    stopped_at: Option<u64>,
}

/// What became of one attempt.
enum Step {
    /// Every event has its answer.
    Done,
    /// The head or the outcome was not what was expected: look again.
    Again,
}

impl Recorder {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        queue: Arc<Queue>,
        counters: Arc<Counters>,
        size: watch::Sender<u64>,
        limits: RecordLimits,
    ) -> Self {
        let origin = store.origin().clone();
        let tenants = TenantTips::new(limits.tenant_heads);
        Self { store, clock, queue, counters, size, origin, tip: None, tenants, suspicion: SUSPICION, stopped_at: None }
    }

    /// Records until the queue is closed and empty. However it ends, nobody is left waiting.
    pub(crate) async fn run(mut self) {
        let queue = Abandon(Arc::clone(&self.queue));
        let mut ahead = Batch::default();
        loop {
            if ahead.is_empty() {
                match queue.0.next(Load::default()).await {
                    Some(units) => ahead.add(units),
                    None => break,
                }
            }
            let batch = std::mem::take(&mut ahead);
            queue.0.launched(batch.load());
            self.record(batch, &mut ahead).await;
            let deferred = ahead.take_deferred();
            queue.0.launched(deferred.iter().map(Load::of).fold(Load::default(), Load::plus));
            queue.0.give_back(deferred);
        }
    }

    /// Sees to it that each unit of the batch is answered, or goes back to the queue. What comes in meanwhile gathers in
    /// `ahead`.
    async fn record(&mut self, mut batch: Batch, ahead: &mut Batch) {
        let mut unsettled = Vec::new();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let step = self.attempt(&mut batch, &mut unsettled, ahead).await;
            batch.answer_finished();
            match step {
                Ok(Step::Done) => return,
                Ok(Step::Again) if attempts < MAX_RACES || !unsettled.is_empty() => {}
                Ok(Step::Again) => {
                    let error = StoreError::Unavailable { what: "other writers are always quicker", source: None };
                    return batch.fail(&Arc::new(error));
                }
                // Something may have been written: only the store can tell, so it is asked until it does.
                Err(error) if !unsettled.is_empty() && error.is_temporary() => {}
                Err(error) if !unsettled.is_empty() => {
                    tracing::error!(error = &error as &dyn std::error::Error, "it cannot be found out what was recorded");
                    return batch.fail_with(|| RecordError::OutcomeUnknown);
                }
                Err(error) => {
                    self.counters.unavailable.add(u64::from(error.is_temporary()));
                    return batch.fail(&Arc::new(error));
                }
            }
            // Among others who write, it cannot be told why each attempt fails.
            self.suspect(attempts > MAX_UNSUSPECTED);
            if attempts > 3 {
                tokio::time::sleep(Duration::from_millis(u64::from(attempts.min(MAX_PAUSE_MS)))).await;
            }
        }
    }

    /// Answers what is known, links and appends the rest.
    ///
    /// `unsettled` are places of events whose append had an unknown outcome and may still take effect: only when another
    /// event is known to stand there, or their own, is that over.
    async fn attempt(&mut self, batch: &mut Batch, unsettled: &mut Vec<Placed>, ahead: &mut Batch) -> Result<Step, StoreError> {
        let tip = match self.tip {
            Some(tip) => tip,
            None => {
                // Another writer may have been there: what was looked up before counts no longer.
                self.tenants.clear();
                batch.forget();
                ahead.forget();
                if unsettled.is_empty() {
                    // Before the head is read: behind it, every question gives the other writers time to be quicker again.
                    let repeated = batch.screen(&*self.store, self.lookup(), None, &self.counters).await?;
                    self.suspect(repeated);
                }
                let tip = self.store.head().await?.tip();
                if self.stopped_at.take().is_some_and(|at| at == tip.size) {
                    self.suspect(true);
                    batch.forget();
                }
                batch.settle(&*self.store, tip.size, unsettled, &self.counters).await?;
                self.size.send_replace(tip.size);
                tip
            }
        };
        if batch.base().is_some_and(|base| base != tip) {
            batch.forget();
        }
        let repeated = batch.screen(&*self.store, self.lookup(), None, &self.counters).await?;
        self.suspect(repeated);
        self.queue.give_back(batch.take_deferred());
        self.tenants.fetch(&*self.store, batch.tenants()).await?;
        batch.link(&self.origin, tip, || self.clock.now(), |slug| self.tenants.tip(slug))?;
        let Some(mut chain) = batch.take_chain().filter(|chain| !chain.placed().is_empty()) else {
            self.tip = Some(tip);
            return Ok(Step::Done);
        };

        self.counters.batch_events.observe(chain.placed().len() as f64);
        // Whatever happens in between, also if this future is dropped: the head is known again only after an answer.
        self.tip = None;
        let begun = Instant::now();
        let store = Arc::clone(&self.store);
        let events = chain.take_events();
        let appended = tokio::select! {
            biased;
            appended = store.append(tip, events) => appended,
            never = self.gather(ahead, batch, &chain) => match never {},
        };
        self.counters.commit_seconds.observe(begun.elapsed().as_secs_f64());

        let appended = appended?;
        if !matches!(appended, Append::Appended { n } if n == chain.placed().len()) {
            batch.forget();
        }
        match appended {
            Append::Appended { n } => {
                // These places are taken now, so nothing that was sent before can still come to stand there.
                unsettled.clear();
                self.counters.recorded.add(n as u64);
                let placed = chain.placed();
                batch.recorded(&placed[..n.min(placed.len())]);
                if n < placed.len() {
                    self.stopped_at = Some(tip.size + n as u64);
                    return Ok(Step::Again);
                }
                self.tip = Some(chain.tip());
                self.size.send_replace(chain.tip().size);
                self.tenants.advance(chain.into_tenants());
                Ok(Step::Done)
            }
            Append::Conflict => {
                self.counters.lost_races.add(1);
                self.stopped_at = Some(tip.size);
                Ok(Step::Again)
            }
            Append::OutcomeUnknown => {
                self.counters.outcome_unknown.add(1);
                self.suspect(true);
                unsettled.extend_from_slice(chain.placed());
                Ok(Step::Again)
            }
        }
    }

    /// Looking a key up costs a question, and writing one that is there an attempt: after a repetition, more are expected.
    const fn lookup(&self) -> Lookup {
        if self.suspicion > 0 { Lookup::Everyone } else { Lookup::Several }
    }

    fn suspect(&mut self, repeated: bool) {
        self.suspicion = if repeated { SUSPICION } else { self.suspicion.saturating_sub(1) };
    }
}

/// What is done while the store is busy with a batch.
impl Recorder {
    /// Takes in what comes, looks it up and links it behind the `chain` that the store has of `busy`, so that it is ready when
    /// its turn comes. May be dropped at any time: what it was about to look up is looked up later.
    async fn gather(&mut self, ahead: &mut Batch, busy: &Batch, chain: &Chain) -> Infallible {
        loop {
            match self.queue.next(ahead.load()).await {
                Some(units) => ahead.add(units),
                None => std::future::pending().await,
            }
            if self.prepare(ahead, busy, chain).await.is_err() {
                // The store is away. When its turn comes, the batch is told so.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn prepare(&mut self, ahead: &mut Batch, busy: &Batch, chain: &Chain) -> Result<(), StoreError> {
        if ahead.screen(&*self.store, self.lookup(), Some(busy), &self.counters).await? {
            self.suspect(true);
        }
        self.tenants.fetch(&*self.store, ahead.tenants()).await?;
        let stream = |slug: &TenantSlug| chain.tenant(slug).or_else(|| self.tenants.tip(slug));
        ahead.link(&self.origin, chain.tip(), || self.clock.now(), stream)
    }
}

/// Answers whoever still waits when the recorder ends, in whatever way.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
