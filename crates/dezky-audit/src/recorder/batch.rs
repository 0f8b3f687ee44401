//! The units that are being recorded together, and what is known about each of their events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_store::log::MAX_SEEN_KEYS;
use dezky_store::{EventLog, ReadLimit, Store, StoreError};

use crate::metrics::Counters;
use crate::queue::Load;
use crate::record::{Receipt, RecordError, Refusal, RefusalReason};
use crate::unit::{Answer, Entry, Terms, Unit};

#[derive(Default)]
pub(super) struct Batch {
    /// Answered units leave a `None`, so that places stay what they are.
    jobs: Vec<Option<Job>>,
    /// The keys that its screened units are about to write.
    claimed: HashSet<(Source, ExternalId)>,
    deferred: Vec<Unit>,
}

struct Job {
    unit: Unit,
    answers: Vec<Option<Answer>>,
    /// What the log knows of it was looked up.
    screened: bool,
}

/// Which event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    job: usize,
    entry: usize,
}

/// An event as it was linked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) place: Place,
    pub(super) seq: Seq,
    pub(super) hash: Hash,
}

impl Batch {
    pub(super) fn add(&mut self, units: Vec<Unit>) {
        let job = |unit: Unit| Some(Job { answers: vec![None; unit.entries.len()], unit, screened: false });
        self.jobs.extend(units.into_iter().map(job));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.iter().all(Option::is_none)
    }

    pub(super) fn load(&self) -> Load {
        self.jobs.iter().flatten().map(|job| Load::of(&job.unit)).fold(Load::default(), Load::plus)
    }

    /// What was looked up counts no longer.
    pub(super) fn forget(&mut self) {
        self.claimed.clear();
        for job in self.jobs.iter_mut().flatten() {
            job.screened = false;
        }
    }

    pub(super) fn entry(&self, place: Place) -> Option<&Entry> {
        self.jobs.get(place.job)?.as_ref()?.unit.entries.get(place.entry)
    }

    pub(super) fn tenant(&self, place: Place) -> Option<&TenantSlug> {
        self.entry(place)?.prepared.tenant()
    }

    /// The events without an answer, in order.
    pub(super) fn waiting(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (at, job) in self.jobs.iter().enumerate() {
            let answers = job.iter().flat_map(|job| job.answers.iter().enumerate());
            places.extend(answers.filter(|(_, answer)| answer.is_none()).map(|(entry, _)| Place { job: at, entry }));
        }
        places
    }

    /// Answers the events that the log has already; puts off a unit whose key an earlier one in this batch, or one of `busy`,
    /// is about to write: next time the log knows it. Dropping the future changes nothing.
    pub(super) async fn screen(&mut self, store: &dyn Store, busy: Option<&Self>, counters: &Counters) -> Result<(), StoreError> {
        let mut places = self.waiting();
        places.retain(|place| self.key(*place).is_some() && !self.is_screened(*place));
        let keys: Vec<_> = places.iter().filter_map(|place| self.key(*place)).collect();
        let mut known = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MAX_SEEN_KEYS) {
            known.extend(store.seen(keys).await?);
        }
        for job in self.jobs.iter_mut().flatten() {
            job.screened = true;
        }
        let mut fresh: HashMap<usize, Vec<(Source, ExternalId)>> = HashMap::new();
        for ((place, key), receipt) in places.into_iter().zip(keys).zip(known) {
            match receipt {
                Some(receipt) => {
                    let Some(entry) = self.entry(place) else { continue };
                    let mac = entry.key.as_ref().map(|key| key.mac);
                    // A memory without a MAC came from an archive: its content cannot be compared.
                    let same = receipt.content_mac.is_none() || receipt.content_mac == mac;
                    let answer = if same {
                        counters.duplicates.add(1);
                        Answer::Recorded(Receipt { seq: receipt.seq, hash: receipt.hash, duplicate: true })
                    } else {
                        counters.conflicts.add(1);
                        Answer::Conflict(receipt.seq)
                    };
                    self.set(place, answer);
                }
                None => fresh.entry(place.job).or_default().push(key),
            }
        }
        for at in 0..self.jobs.len() {
            let Some(keys) = fresh.remove(&at) else { continue };
            let taken = |key| self.claimed.contains(key) || busy.is_some_and(|busy| busy.claimed.contains(key));
            if keys.iter().any(taken) && self.is_untouched(at) {
                // It will be answered anew, also what was answered now.
                self.deferred.extend(self.jobs[at].take().map(|job| job.unit));
            } else {
                self.claimed.extend(keys);
            }
        }
        self.refuse_conflicting();
        Ok(())
    }

    /// The units that were put off.
    pub(super) fn take_deferred(&mut self) -> Vec<Unit> {
        std::mem::take(&mut self.deferred)
    }

    /// These events are durable.
    pub(super) fn recorded(&mut self, placed: &[Placed]) {
        for Placed { place, seq, hash } in placed {
            self.set(*place, Answer::Recorded(Receipt { seq: *seq, hash: *hash, duplicate: false }));
        }
    }

    /// Looks whether events whose append had an unknown outcome stand where they were sent. Those that lie beyond the head
    /// stay unsettled.
    pub(super) async fn settle(
        &mut self,
        store: &dyn Store,
        size: u64,
        unsettled: &mut Vec<Placed>,
        counters: &Counters,
    ) -> Result<(), StoreError> {
        let reached = |placed: &&Placed| placed.seq.get() <= size;
        let (Some(first), Some(last)) = (
            unsettled.iter().filter(reached).map(|placed| placed.seq.get()).min(),
            unsettled.iter().filter(reached).map(|placed| placed.seq.get()).max(),
        ) else {
            return Ok(());
        };
        let stored = stored_hashes(store, first, last).await?;
        let found: Vec<_> =
            unsettled.iter().filter(|placed| stored.get(&placed.seq.get()) == Some(&placed.hash)).copied().collect();
        counters.recorded.add(found.len() as u64);
        self.recorded(&found);
        unsettled.retain(|placed| placed.seq.get() > size);
        Ok(())
    }

    /// Answers the units of which every event has its answer.
    pub(super) fn answer_finished(&mut self) {
        for job in &mut self.jobs {
            if let Some(Job { unit, answers, .. }) = job.take_if(|job| job.answers.iter().all(Option::is_some)) {
                unit.reply(Ok(answers.into_iter().flatten().collect()));
            }
        }
    }

    /// Answers all that are left: the store would not take them.
    pub(super) fn fail(&mut self, error: &Arc<StoreError>) {
        self.fail_with(|| match error.is_temporary() {
            true => RecordError::Unavailable(Arc::clone(error)),
            false => RecordError::Store(Arc::clone(error)),
        });
    }

    pub(super) fn fail_with(&mut self, error: impl Fn() -> RecordError) {
        for job in self.jobs.iter_mut().filter_map(Option::take) {
            job.unit.reply(Err(error()));
        }
    }

    fn key(&self, place: Place) -> Option<(Source, ExternalId)> {
        let key = self.entry(place)?.key.as_ref()?;
        Some((key.source.clone(), key.external_id.clone()))
    }

    fn set(&mut self, place: Place, answer: Answer) {
        if let Some(Some(job)) = self.jobs.get_mut(place.job) {
            job.answers[place.entry] = Some(answer);
        }
    }

    fn is_screened(&self, place: Place) -> bool {
        matches!(self.jobs.get(place.job), Some(Some(job)) if job.screened)
    }

    /// Whether nothing of the unit has been written.
    fn is_untouched(&self, at: usize) -> bool {
        let written = |answer: &Option<Answer>| matches!(answer, Some(Answer::Recorded(receipt)) if !receipt.duplicate);
        !self.jobs[at].iter().any(|job| job.answers.iter().any(written))
    }

    fn refuse_conflicting(&mut self) {
        let conflicts = |job: &mut Job| {
            job.unit.terms == Terms::AllOrNothing && job.answers.iter().any(|answer| matches!(answer, Some(Answer::Conflict(_))))
        };
        for job in &mut self.jobs {
            let Some(Job { unit, answers, .. }) = job.take_if(conflicts) else { continue };
            let refusals = unit.entries.iter().zip(answers).filter_map(|(entry, answer)| match answer {
                Some(Answer::Conflict(seq)) => {
                    Some(Refusal { index: entry.index, reason: RefusalReason::ConflictingContent { seq } })
                }
                _ => None,
            });
            let refusals = refusals.collect();
            unit.reply(Err(RecordError::Refused(refusals)));
        }
    }
}

/// The hashes that the stored events of a range state, by seq.
async fn stored_hashes(store: &dyn Store, first: u64, last: u64) -> Result<HashMap<u64, Hash>, StoreError> {
    let mut hashes = HashMap::new();
    let mut from = first;
    while from <= last {
        let read = EventLog::read(store, from..=last, ReadLimit::default()).await?;
        let Some(end) = read.last().map(|stored| stored.seq) else { break };
        for stored in &read {
            if let LineCheck::Event(event) = check_line(&stored.line, &mut Vec::new()) {
                hashes.insert(stored.seq, event.stored_hash);
            }
        }
        from = end + 1;
    }
    Ok(hashes)
}
