//! Everything that the memory store holds, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;

use crate::archives::{BatchId, Intent};
use crate::batch::Trunk;
use crate::bookmarks::Bookmark;
use crate::checkpoints::CheckpointRecord;
use crate::directory::{Document, OutboxEntry};
use crate::log::{NewEvent, Receipt, TenantHead};
use crate::projection::SearchRow;
use crate::runs::VerificationRun;
use crate::search::CountBy;

/// The values of [`CountBy::COLUMNS`].
pub(super) type Kinds = [Option<Box<str>>; 4];

#[derive(Debug)]
pub(super) struct State {
    pub(super) closed: bool,
    pub(super) trunk: Trunk,
    pub(super) border: u64,
    pub(super) events: BTreeMap<u64, Entry>,
    /// The events in the order of lists.
    pub(super) order: BTreeSet<(Timestamp, u64)>,
    pub(super) restored: BTreeMap<(u64, u64), Timestamp>,
    pub(super) receipts: BTreeMap<(Source, ExternalId), Receipt>,
    pub(super) tenants: BTreeMap<TenantSlug, TenantHead>,
    pub(super) tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    /// By hour and kinds.
    pub(super) hourly: BTreeMap<(Timestamp, Kinds), u64>,
    /// In the order of being put.
    pub(super) checkpoints: Vec<CheckpointRecord>,
    pub(super) bookmarks: BTreeMap<String, Bookmark>,
    pub(super) batches: BTreeMap<BatchId, String>,
    pub(super) intent: Option<Intent>,
    pub(super) leases: BTreeMap<String, Holding>,
    pub(super) runs: Vec<VerificationRun>,
    pub(super) documents: BTreeMap<(String, String), Document>,
    pub(super) outbox: Vec<OutboxEntry>,
    pub(super) outbox_ids: u64,
    pub(super) settings: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: Vec<u8>,
    pub(super) row: SearchRow,
    /// `None` for restored events, which are never archived again.
    pub(super) recorded_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Holding {
    pub(super) token: u64,
    pub(super) holder: String,
    pub(super) until: Timestamp,
}

impl State {
    pub(super) const fn new(genesis: Hash) -> Self {
        Self {
            closed: false,
            trunk: Trunk::empty(genesis),
            border: 0,
            events: BTreeMap::new(),
            order: BTreeSet::new(),
            restored: BTreeMap::new(),
            receipts: BTreeMap::new(),
            tenants: BTreeMap::new(),
            tiles: BTreeMap::new(),
            hourly: BTreeMap::new(),
            checkpoints: Vec::new(),
            bookmarks: BTreeMap::new(),
            batches: BTreeMap::new(),
            intent: None,
            leases: BTreeMap::new(),
            runs: Vec::new(),
            documents: BTreeMap::new(),
            outbox: Vec::new(),
            outbox_ids: 0,
            settings: BTreeMap::new(),
        }
    }

    /// Adds an event that was checked.
    pub(super) fn add(&mut self, event: &NewEvent) {
        let seq = event.seq.get();
        let row = SearchRow::derive(seq, &event.line);
        let hour = Timestamp::from_unix_ms(row.at.unix_ms() / 3_600_000 * 3_600_000).unwrap_or(Timestamp::MIN);
        let by = CountBy::COLUMNS.map(|column| row.get(column).map(Into::into));
        *self.hourly.entry((hour, by)).or_default() += 1;
        if let Some(key) = &event.key {
            let receipt = Receipt { seq: event.seq, hash: event.hash, content_mac: key.content_mac };
            let old = self.receipts.insert((key.source.clone(), key.external_id.clone()), receipt);
            assert!(old.is_none(), "a receipt was replaced");
        }
        self.insert(seq, event.line.clone(), Some(event.recorded_at));
    }

    pub(super) fn insert(&mut self, seq: u64, line: Vec<u8>, recorded_at: Option<Timestamp>) {
        let row = SearchRow::derive(seq, &line);
        self.order.insert((row.at, seq));
        let old = self.events.insert(seq, Entry { line, row, recorded_at });
        assert!(old.is_none(), "an event was replaced");
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(entry) = self.events.remove(&seq) {
            self.order.remove(&(entry.row.at, seq));
        }
    }

    /// The events of a range, which may be empty or reversed.
    pub(super) fn range(&self, range: RangeInclusive<u64>) -> impl Iterator<Item = (&u64, &Entry)> {
        let (start, end) = range.into_inner();
        self.events.range(start..=end.max(start)).filter(move |_| start <= end)
    }

    pub(super) fn is_restored(&self, seq: u64) -> bool {
        self.restored.keys().any(|(start, end)| (*start..=*end).contains(&seq))
    }

    pub(super) fn assert_invariants(&self) {
        let size = self.trunk.tip().size;
        assert!(self.border <= size, "the border is behind the head");
        assert_eq!(self.events.len(), self.order.len(), "every event is listed once");
        assert_eq!(self.events.range(self.border + 1..).count() as u64, size - self.border, "no gap above the border");
    }
}
