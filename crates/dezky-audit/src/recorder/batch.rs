//! The units that are being recorded together, and what is known about each of their events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use dezky_store::log::MAX_SEEN_KEYS;
use dezky_store::{EventLog, ReadLimit, Store, StoreError, Tip};

use super::link::Chain;
use super::tenants::TenantTip;
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
    /// Its screened events, linked, as far as that has been done.
    chain: Option<Chain>,
}

struct Job {
    unit: Unit,
    answers: Vec<Option<Answer>>,
    /// Its keys are claimed, and what the log knows of them was looked up where that is done first.
    screened: bool,
    /// Its events are in the chain.
    linked: bool,
}

/// Whose keys are looked up before they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Everyone,
    /// A single event with a known key is refused by the store, and looked up then; of several, some would stand already.
    Several,
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
        let job = |unit: Unit| {
            let answers = vec![None; unit.entries.len()];
            Some(Job { answers, unit, screened: false, linked: false })
        };
        self.jobs.extend(units.into_iter().map(job));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.iter().all(Option::is_none)
    }

    pub(super) fn load(&self) -> Load {
        self.jobs.iter().flatten().map(|job| Load::of(&job.unit)).fold(Load::default(), Load::plus)
    }

    /// What was looked up counts no longer, nor what was linked.
    pub(super) fn forget(&mut self) {
        self.claimed.clear();
        self.chain = None;
        for job in self.jobs.iter_mut().flatten() {
            (job.screened, job.linked) = (false, false);
        }
    }

    /// Links what is screened and not linked yet, behind what is, or behind `tip`. `stream` tells where a tenant's stream
    /// ends there.
    pub(super) fn link(
        &mut self,
        origin: &Origin,
        tip: Tip,
        now: impl FnOnce() -> Timestamp,
        stream: impl Fn(&TenantSlug) -> Option<TenantTip>,
    ) -> Result<(), StoreError> {
        let mut chain = self.chain.take().unwrap_or_else(|| Chain::new(tip, now()));
        for (at, job) in self.jobs.iter_mut().enumerate() {
            let Some(job) = job.as_mut().filter(|job| job.screened && !job.linked) else { continue };
            job.linked = true;
            let unanswered = job.answers.iter().zip(&job.unit.entries).enumerate().filter(|(_, (answer, _))| answer.is_none());
            let mut first = true;
            for (nth, (_, entry)) in unanswered {
                let place = Place { job: at, entry: nth };
                chain.push(origin, place, entry, first, entry.prepared.tenant().and_then(&stream))?;
                first = false;
            }
        }
        self.chain = Some(chain);
        Ok(())
    }

    /// The tip behind which it is linked.
    pub(super) fn base(&self) -> Option<Tip> {
        self.chain.as_ref().map(Chain::base)
    }

    /// Its linked events, to be appended.
    pub(super) fn take_chain(&mut self) -> Option<Chain> {
        self.chain.take()
    }

    /// The tenants of the events that are not linked yet.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantSlug> {
        let unlinked = self.jobs.iter().flatten().filter(|job| !job.linked);
        unlinked.flat_map(|job| &job.unit.entries).filter_map(|entry| entry.prepared.tenant())
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        self.jobs.get(place.job)?.as_ref()?.unit.entries.get(place.entry)
    }

    /// The events without an answer, in order.
    fn waiting(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (at, job) in self.jobs.iter().enumerate() {
            let answers = job.iter().flat_map(|job| job.answers.iter().enumerate());
            places.extend(answers.filter(|(_, answer)| answer.is_none()).map(|(entry, _)| Place { job: at, entry }));
        }
        places
    }

    /// Answers the events of which the log is found to have them already; puts off a unit whose key an earlier one in this
    /// batch, or one of `busy`, is about to write: next time the log knows it. Tells whether there was any of either.
    /// Dropping the future changes nothing.
    pub(super) async fn screen(
        &mut self,
        store: &dyn Store,
        lookup: Lookup,
        busy: Option<&Self>,
        counters: &Counters,
    ) -> Result<bool, StoreError> {
        let mut places = self.waiting();
        places.retain(|place| !self.is_screened(*place) && self.entry(*place).is_some_and(|entry| entry.key.is_some()));
        // Those to be looked up in front.
        places.sort_by_key(|place| lookup == Lookup::Several && self.is_alone(*place));
        let keys: Vec<_> = places.iter().filter_map(|place| self.key(*place)).collect();
        let looked_up = places.iter().take_while(|place| lookup == Lookup::Everyone || !self.is_alone(**place)).count();
        let mut known = Vec::with_capacity(keys.len());
        for keys in keys[..looked_up].chunks(MAX_SEEN_KEYS) {
            known.extend(store.seen(keys).await?);
        }
        known.resize(keys.len(), None);
        let mut repeated = known.iter().any(Option::is_some);
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
                repeated = true;
                self.deferred.extend(self.jobs[at].take().map(|job| job.unit));
            } else {
                self.claimed.extend(keys);
            }
        }
        self.refuse_conflicting();
        Ok(repeated)
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

    /// Whether its unit has no other event.
    fn is_alone(&self, place: Place) -> bool {
        matches!(self.jobs.get(place.job), Some(Some(job)) if job.unit.entries.len() == 1)
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
