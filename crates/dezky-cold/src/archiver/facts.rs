//! What a batch's lines come to: its links, its root, its times, and the values that occur in it.

use std::collections::BTreeSet;

use dezky_audit_core::archive::{EventsObject, Manifest, ObjectKind, ObjectName};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Origin, Seq};
use dezky_audit_core::merkle::Frontier;
use dezky_audit_core::time::Timestamp;

/// The most spans of time that a batch's record has.
const MAX_SPANS: usize = 32;
/// The most tenants, actions or sources that a batch's record lists.
const MAX_VALUES: usize = 5_000;

/// Where a batch begins.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// Of the events before it.
    pub(crate) tree: Frontier,
    /// The `hash` of the last of them; the genesis value before the first.
    pub(crate) hash: Hash,
    /// [`Manifest::link`] of the batch before.
    pub(crate) link: Option<Hash>,
}

/// Collected line by line.
#[derive(Debug)]
pub(crate) struct Facts {
    before: Before,
    tree: Frontier,
    hash: Hash,
    /// `at`: the least and the greatest; then of `recordedAt`.
    times: Option<[Timestamp; 4]>,
    /// `at` of each event, in milliseconds since 1970.
    ats: Vec<u64>,
    pub(crate) tenants: Values,
    pub(crate) actions: Values,
    pub(crate) sources: Values,
    preimage: Vec<u8>,
}

/// Different values, unless they are too many.
#[derive(Debug, Default)]
pub(crate) struct Values {
    seen: BTreeSet<String>,
    over: bool,
}

impl Values {
    fn add(&mut self, value: &str) {
        if self.seen.contains(value) {
            return;
        }
        if self.seen.len() < MAX_VALUES {
            self.seen.insert(value.to_owned());
        } else {
            self.over = true;
        }
    }

    pub(crate) fn list(&self) -> Option<BTreeSet<String>> {
        (!self.over).then(|| self.seen.clone())
    }
}

/// The line of this event is not the intact event of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenLine {
    pub(crate) seq: u64,
}

impl Facts {
    pub(crate) fn new(before: Before) -> Self {
        Self {
            tree: before.tree.clone(),
            hash: before.hash,
            before,
            times: None,
            ats: Vec::new(),
            tenants: Values::default(),
            actions: Values::default(),
            sources: Values::default(),
            preimage: Vec::new(),
        }
    }

    /// The position of the last event.
    pub(crate) const fn end(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) const fn count(&self) -> u64 {
        self.tree.size() - self.before.tree.size()
    }

    /// The next line, which must be the intact event that follows.
    pub(crate) fn add(&mut self, line: &[u8]) -> Result<(), BrokenLine> {
        let seq = self.end() + 1;
        let LineCheck::Event(event) = check_line(line, &mut self.preimage) else { return Err(BrokenLine { seq }) };
        if event.seq.get() != seq || event.prev_hash != self.hash || event.stored_hash != event.computed_hash {
            return Err(BrokenLine { seq });
        }
        self.hash = event.stored_hash;
        self.tree.push_event(&event.stored_hash);
        let (at, recorded) = (event.at, event.recorded_at);
        self.times = Some(self.times.map_or([at, at, recorded, recorded], |[first, last, first_recorded, last_recorded]| {
            [first.min(at), last.max(at), first_recorded.min(recorded), last_recorded.max(recorded)]
        }));
        self.ats.push(at.unix_ms());
        if let Some(tenant) = event.tenant {
            self.tenants.add(tenant.slug);
        }
        self.actions.add(event.action);
        self.sources.add(event.source);
        Ok(())
    }

    /// The times of the events, parted at the largest gaps.
    pub(crate) fn spans(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut ats = self.ats.clone();
        ats.sort_unstable();
        let mut gaps: Vec<_> = ats.windows(2).enumerate().map(|(index, pair)| (pair[1] - pair[0], index + 1)).collect();
        gaps.sort_unstable_by(|a, b| b.cmp(a));
        let mut cuts: Vec<_> = gaps.into_iter().take(MAX_SPANS - 1).map(|(_, index)| index).collect();
        cuts.extend([0, ats.len()]);
        cuts.sort_unstable();
        let span = |pair: &[usize]| {
            let (first, last) = (ats.get(pair[0])?, ats.get(pair[1].checked_sub(1)?)?);
            Some((Timestamp::from_unix_ms(*first)?, Timestamp::from_unix_ms(*last)?))
        };
        cuts.windows(2).filter_map(span).collect()
    }

    /// Where the batch behind this one begins.
    pub(crate) fn after(self, link: Hash) -> Before {
        Before { tree: self.tree, hash: self.hash, link: Some(link) }
    }

    /// The manifest of these lines, not signed yet; `None` when there are none. `events` says what the object has.
    pub(crate) fn manifest(&self, origin: &Origin, created_at: Timestamp, revision: u64, packed: Packed) -> Option<Manifest> {
        let [min_at, max_at, min_recorded_at, max_recorded_at] = self.times?;
        let (start, end) = (Seq::new(self.before.tree.size() + 1)?, Seq::new(self.end())?);
        let Packed { bytes, sha256, gzip_bytes, gzip_sha256 } = packed;
        let key = ObjectName { kind: ObjectKind::Events, start, end, revision };
        Some(Manifest {
            origin: origin.clone(),
            created_at,
            revision,
            start,
            end,
            min_at,
            max_at,
            min_recorded_at,
            max_recorded_at,
            prev_hash: self.before.hash,
            head_hash: self.hash,
            prev_root: self.before.tree.root(),
            root: self.tree.root(),
            prev_peaks: self.before.tree.peaks().to_vec(),
            prev_batch: self.before.link,
            events: EventsObject { key, bytes, sha256, gzip_bytes, gzip_sha256 },
            signatures: Vec::new(),
        })
    }
}

/// The digests of an events object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
    pub(crate) gzip_bytes: u64,
    pub(crate) gzip_sha256: Hash,
}
