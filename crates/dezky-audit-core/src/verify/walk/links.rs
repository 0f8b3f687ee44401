//! How one event hangs on those before it: by its position and link in the log, and by those in its tenant's stream.

use super::Walk;
use crate::event::PartName;
use crate::hash::Hash;
use crate::ids::TenantSlug;
use crate::verify::finding::{At, Kind};
use crate::verify::step::EventStep;

/// The last event of a tenant's stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct TenantState {
    generation: u64,
    seq: u64,
    hash: Hash,
}

impl Walk {
    /// Checks `seq` and `prevHash`; whether the event's links are to be taken.
    pub(super) fn position(&mut self, seq: u64, prev_hash: Hash) -> bool {
        if seq < self.expected {
            let message = format!("event {seq} stands where {} was expected: it was repeated or moved", self.expected);
            self.report(Kind::EventPrevHashMismatch, At::Seq(seq), message, Some((self.expected.to_string(), seq.to_string())));
            return false;
        }
        if seq > self.expected {
            let missing = if seq - self.expected == 1 {
                format!("event {} is missing", self.expected)
            } else {
                format!("events {} to {} are missing", self.expected, seq - 1)
            };
            self.report(Kind::SeqGap, At::Seq(seq), missing, Some((self.expected.to_string(), seq.to_string())));
            self.break_off();
            self.expected = seq;
        }
        if let Some(expected) = self.prev_hash.filter(|expected| *expected != prev_hash) {
            let message =
                format!("event {seq} does not follow the event before it: events were inserted, removed, reordered or rewritten");
            self.report(Kind::EventPrevHashMismatch, At::Seq(seq), message, Some((expected.to_string(), prev_hash.to_string())));
        }
        true
    }

    pub(super) fn own_hash(&mut self, event: &EventStep) {
        let seq = event.seq.get();
        if event.stored_hash != event.computed_hash {
            let message = format!("event {seq} was changed after it was recorded: its content does not have its hash");
            let hashes = (event.stored_hash.to_string(), event.computed_hash.to_string());
            self.report(Kind::EventHashMismatch, At::Seq(seq), message, Some(hashes));
        }
        for part in PartName::ALL {
            if event.wrongly_sealed.contains(part) {
                let message = format!("the sealed {part} of event {seq} does not open to what its digest says");
                self.report(Kind::PartDigestMismatch, At::Seq(seq), message, None);
            }
        }
    }

    pub(super) fn tenant_link(&mut self, event: &EventStep) {
        let Some(link) = event.tenant else { return };
        let known = self.tenants.get(&link.slug).filter(|state| state.generation == self.generation);
        let expected = match known {
            Some(state) => Some((state.seq + 1, state.hash)),
            None if self.generation == 0 && self.from_beginning => {
                self.origin.as_ref().map(|origin| (1, origin.tenant_genesis(link.slug.as_str())))
            }
            None => None,
        };
        if let Some((seq, hash)) = expected.filter(|expected| *expected != (link.seq, link.prev_hash)) {
            let message =
                format!("event {} does not follow the event before it in the stream of tenant {}", event.seq, link.slug.as_str());
            let links = (format!("{seq} {hash}"), format!("{} {}", link.seq, link.prev_hash));
            self.report(Kind::TenantChainMismatch, At::Seq(event.seq.get()), message, Some(links));
        }
        let state = TenantState { generation: self.generation, seq: link.seq, hash: event.stored_hash };
        self.tenants.insert(link.slug, state);
    }

    /// Whether the event's links are to be taken.
    pub(super) fn tenant_event(&mut self, tenant: &TenantSlug, event: &EventStep) -> bool {
        let seq = event.seq.get();
        self.rises(seq);
        let link = event.tenant.filter(|link| link.slug.as_str() == tenant.as_str());
        let Some(link) = link else {
            self.own_hash(event);
            let message = format!("event {seq} is not of tenant {tenant}");
            self.report(Kind::TenantChainMismatch, At::Seq(seq), message, None);
            return false;
        };
        if link.seq > self.expected {
            let message =
                format!("events {} to {} of tenant {tenant} are missing before event {seq}", self.expected, link.seq - 1);
            self.report(Kind::SeqGap, At::Seq(seq), message, Some((self.expected.to_string(), link.seq.to_string())));
            self.break_off();
            self.expected = link.seq;
        }
        self.own_hash(event);
        let follows = link.seq == self.expected && self.prev_hash.is_none_or(|expected| expected == link.prev_hash);
        if !follows {
            let message = format!("event {seq} does not follow the event before it in the stream of tenant {tenant}");
            let expected = self.prev_hash.map_or_else(|| self.expected.to_string(), |hash| format!("{} {hash}", self.expected));
            let links = (expected, format!("{} {}", link.seq, link.prev_hash));
            self.report(Kind::TenantChainMismatch, At::Seq(seq), message, Some(links));
        }
        link.seq == self.expected
    }

    pub(super) fn rises(&mut self, seq: u64) {
        if let Some(last) = self.last_seq.filter(|last| *last >= seq) {
            let message = format!("event {seq} stands behind event {last}: it was repeated or moved");
            self.report(Kind::EventPrevHashMismatch, At::Seq(seq), message, None);
        }
    }
}
