//! The way out of the spool: in order, again and again until the log has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::event::{Door, Draft};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{MAX_BATCH, MAX_BATCH_BYTES};
use crate::keys::IngestSecret;
use crate::metrics::Counters;
use crate::own::OwnEvents;
use crate::queue::Queue;
use crate::record::RecordError;
use crate::spool::{Spool, SpoolEntry, SpoolThread};
use crate::unit::{Answer, Entry, Preparing, Terms, Unit};
use crate::world::World;

/// Pauses after failures: the first, doubling up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How often folders are looked for that other processes have left behind.
const ADOPTION: Duration = Duration::from_secs(60);

pub(crate) struct Replay {
    pub(crate) spool: SpoolThread,
    pub(crate) queue: Arc<Queue>,
    pub(crate) secret: IngestSecret,
    pub(crate) world: World,
    pub(crate) own: OwnEvents,
    pub(crate) counters: Arc<Counters>,
    pub(crate) spooled: Arc<Notify>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What one round came to.
enum Round {
    /// There may be more.
    Moved,
    Empty,
    /// Nothing was moved; try later.
    Failed,
}

impl Replay {
    /// Runs until it is stopped, which it is between two rounds.
    pub(crate) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut adoption = Instant::now() + ADOPTION;
        loop {
            let wait = match self.round().await {
                Round::Moved => {
                    pause = FIRST_PAUSE;
                    Duration::ZERO
                }
                Round::Empty => ADOPTION,
                Round::Failed => {
                    let wait = pause;
                    pause = (pause * 2).min(LAST_PAUSE);
                    wait
                }
            };
            let failed = wait != ADOPTION;
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
                () = self.spooled.notified(), if !failed => {}
                () = tokio::time::sleep_until(adoption) => {}
            }
            if adoption <= Instant::now() {
                adoption = Instant::now() + ADOPTION;
                if self.spool.run(Spool::adopt).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn round(&self) -> Round {
        let Ok(peeked) = self.spool.run(|spool| spool.peek(MAX_BATCH, MAX_BATCH_BYTES)).await else { return Round::Failed };
        match peeked {
            Ok(entries) if entries.is_empty() => self.tell_losses().await,
            Ok(entries) => self.deliver(entries).await,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                tracing::error!(%error, "a part of the spool is damaged; what was in it counts as lost");
                let now = self.world.clock.now();
                self.spool.run(move |spool| spool.discard_damaged(now)).await.map_or(Round::Failed, |()| Round::Moved)
            }
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                Round::Failed
            }
        }
    }

    /// Records the entries up to the first key that repeats, and takes them out of the spool.
    async fn deliver(&self, spooled: Vec<SpoolEntry>) -> Round {
        let (mut keys, mut entries, mut taken) = (HashSet::new(), Vec::new(), 0);
        for (index, spooled) in spooled.into_iter().enumerate() {
            match self.entry(spooled, index) {
                Ok(Some(entry)) => {
                    let key = entry.key.as_ref().map(|key| (key.source.clone(), key.external_id.clone()));
                    if !keys.insert(key) {
                        break;
                    }
                    entries.push(entry);
                }
                Ok(None) => self.counters.refused.add(1),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "spooled events have to wait");
                    return Round::Failed;
                }
            }
            taken += 1;
        }
        if !entries.is_empty() {
            let (unit, answer) = Unit::new(entries, Terms::EachByItself);
            if self.queue.push(unit).is_err() {
                return Round::Failed;
            }
            let Ok(Ok(answers)) = answer.await else { return Round::Failed };
            let conflicts = answers.iter().filter(|answer| matches!(answer, Answer::Conflict(_))).count();
            if conflicts > 0 {
                self.counters.refused.add(conflicts as u64);
                tracing::warn!(conflicts, "spooled events were refused: their externalIds are taken by other events");
            }
        }
        self.spool.run(move |spool| spool.consume(taken)).await.map_or(Round::Failed, |()| Round::Moved)
    }

    /// `None` for what can never be recorded.
    fn entry(&self, spooled: SpoolEntry, index: usize) -> Result<Option<Entry>, RecordError> {
        let draft = match Draft::from_json(&spooled.content, Door::Internal) {
            Ok(draft) => draft,
            Err(error) => {
                tracing::error!(%error, "a spooled event cannot be read");
                return Ok(None);
            }
        };
        let preparing = Preparing { secret: &self.secret, random: &*self.world.random };
        match preparing.entry(draft, index, Door::Internal, Some(spooled.at))? {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => {
                tracing::error!(%error, "a spooled event cannot be recorded");
                Ok(None)
            }
        }
    }

    async fn tell_losses(&self) -> Round {
        match self.spool.run(Spool::pending_loss).await {
            Ok(Some((id, loss))) => {
                match self.own.events_lost(loss, &id).await {
                    // Refused: recorded before, by somebody who counted differently. It has been told.
                    Ok(_) | Err(RecordError::Refused(_)) => {}
                    Err(_) => return Round::Failed,
                }
                self.spool.run(move |spool| spool.loss_recorded(&id)).await.map_or(Round::Failed, |()| Round::Moved)
            }
            Ok(None) => self.spool.run(Spool::tidy).await.map_or(Round::Failed, |()| Round::Empty),
            Err(_) => Round::Failed,
        }
    }
}
