//! The way in: to the recorder while all is well, to the spool while it is not.

use std::sync::Arc;

use dezky_audit_core::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::{Item, Lane, PATIENCE};
use crate::metrics::Counters;
use crate::own::Loss;
use crate::queue::Queue;
use crate::record::{Kept, RefusalReason};
use crate::spool::{SpoolEntry, SpoolThread};
use crate::unit::{Answer, Terms, Unit};

pub(crate) struct Intake {
    pub(crate) lane: Arc<Lane>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) spool: SpoolThread,
    pub(crate) counters: Arc<Counters>,
    /// Tells the replay that there is something to do.
    pub(crate) spooled: Arc<Notify>,
}

/// An item whose event is in the recorder's hands, or was.
struct Sent {
    content: Vec<u8>,
    at: Timestamp,
    fate: oneshot::Sender<Kept>,
}

impl Intake {
    /// Runs until the lane is closed and empty.
    pub(crate) async fn run(self) {
        while let Some(items) = self.lane.next().await {
            // Only this task adds to the spool, so an empty one stays empty here.
            let left = if self.spool.entries() == 0 { self.send(items).await } else { sent(items).1 };
            self.keep(left).await;
            if let Some(loss) = self.lane.take_lost() {
                self.lose(loss).await;
            }
        }
        if let Some(loss) = self.lane.take_lost() {
            self.lose(loss).await;
        }
    }

    /// Gives the events to the recorder; returns those that are not known to be in the log.
    async fn send(&self, items: Vec<Item>) -> Vec<Sent> {
        let (entries, sent) = sent(items);
        let (unit, answer) = Unit::new(entries, Terms::EachByItself);
        if self.queue.push(unit).is_err() {
            return sent;
        }
        // The lane has room for what comes in while the recorder works; before it is full, the spool takes over. The recorder
        // may still record what it has: the spool's copy is then known by its externalId.
        let answers = tokio::select! {
            biased;
            answers = answer => answers,
            () = tokio::time::sleep(PATIENCE) => return sent,
            () = self.lane.pressed() => return sent,
        };
        let Ok(Ok(answers)) = answers else { return sent };
        for (sent, answer) in sent.into_iter().zip(answers) {
            drop(sent.fate.send(kept(answer, &self.counters)));
        }
        Vec::new()
    }

    async fn keep(&self, items: Vec<Sent>) {
        if items.is_empty() {
            return;
        }
        let (entries, fates): (Vec<_>, Vec<_>) =
            items.into_iter().map(|item| (SpoolEntry { at: item.at, content: item.content }, (item.fate, item.at))).unzip();
        let kept = self.spool.run(move |spool| spool.append(&entries)).await.unwrap_or(0);
        self.counters.spooled.add(kept as u64);
        self.spooled.notify_one();
        let lost = fates.get(kept..).unwrap_or_default();
        let times = || lost.iter().map(|(_, at)| *at);
        if let (Some(since), Some(until)) = (times().min(), times().max()) {
            self.counters.lost.add(lost.len() as u64);
            self.lose(Loss { count: lost.len() as u64, since, until }).await;
        }
        for (at, (fate, _)) in fates.into_iter().enumerate() {
            drop(fate.send(if at < kept { Kept::Spooled } else { Kept::Lost }));
        }
    }

    async fn lose(&self, loss: Loss) {
        tracing::error!(count = loss.count, "best-effort events are lost: neither the store nor the spool can take them");
        if self.spool.run(move |spool| spool.lose(loss)).await.is_err() {
            tracing::error!("the spool's thread is gone: the loss is counted in the metrics only");
        }
        self.spooled.notify_one();
    }
}

fn sent(items: Vec<Item>) -> (Vec<crate::unit::Entry>, Vec<Sent>) {
    items.into_iter().map(|item| (item.entry, Sent { content: item.content, at: item.at, fate: item.fate })).unzip()
}

fn kept(answer: Answer, counters: &Counters) -> Kept {
    match answer {
        Answer::Recorded(receipt) => Kept::Recorded(receipt),
        Answer::Conflict(seq) => {
            counters.refused.add(1);
            Kept::Refused(RefusalReason::ConflictingContent { seq })
        }
    }
}
