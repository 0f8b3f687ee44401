//! Giving events their places: the global chain and the tenants' own.

use std::collections::HashMap;
use std::sync::Arc;

use dezky_audit_core::event::Link;
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_audit_core::time::Timestamp;
use dezky_store::{DedupeKey, NewEvent, StoreError, TenantPlace, Tip};

use super::batch::{Place, Placed};
use super::tenants::TenantTip;
use crate::unit::Entry;

/// Events linked one behind the other, from a tip on.
pub(super) struct Chain {
    base: Tip,
    tip: Tip,
    recorded_at: Timestamp,
    /// Where the tenants' streams end.
    tenants: HashMap<TenantSlug, TenantTip>,
    events: Vec<NewEvent>,
    placed: Vec<Placed>,
    preimage: Vec<u8>,
}

impl Chain {
    pub(super) fn new(base: Tip, recorded_at: Timestamp) -> Self {
        let (events, placed, preimage) = Default::default();
        Self { base, tip: base, recorded_at, tenants: HashMap::new(), events, placed, preimage }
    }

    /// What it begins behind.
    pub(super) const fn base(&self) -> Tip {
        self.base
    }

    /// Where the log will end.
    pub(super) const fn tip(&self) -> Tip {
        self.tip
    }

    /// Where the stream of a tenant will end, if it is longer then.
    pub(super) fn tenant(&self, slug: &TenantSlug) -> Option<TenantTip> {
        self.tenants.get(slug).copied()
    }

    pub(super) fn into_tenants(self) -> HashMap<TenantSlug, TenantTip> {
        self.tenants
    }

    /// Which event of the batch each of the linked ones is.
    pub(super) fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// The events, for the store; the chain keeps the rest.
    pub(super) fn take_events(&mut self) -> Arc<[NewEvent]> {
        std::mem::take(&mut self.events).into()
    }

    /// Links one more, the `first` of its unit or not; `stream` is where its tenant's stream ended before this chain.
    pub(super) fn push(
        &mut self,
        origin: &Origin,
        place: Place,
        entry: &Entry,
        first: bool,
        stream: Option<TenantTip>,
    ) -> Result<(), StoreError> {
        let prepared = &entry.prepared;
        let full = || StoreError::Refused { reason: "the log has no number left for another event".to_owned() };
        let seq = Seq::new(self.tip.size + 1).ok_or_else(full)?;
        let tenant = prepared.tenant().map(|slug| {
            let tip = self.tenants.get(slug).copied().or(stream);
            let tip = tip.unwrap_or_else(|| TenantTip { tenant_seq: 0, hash: origin.tenant_genesis(slug.as_str()) });
            (slug, tip.tenant_seq + 1, tip.hash)
        });
        let recorded_at = self.recorded_at;
        let link = Link { seq, recorded_at, prev_hash: self.tip.hash, tenant: tenant.map(|(_, seq, prev)| (seq, prev)) };
        let mut line = Vec::new();
        let hash = prepared.link(&link, &mut line, &mut self.preimage);
        if let Some((slug, tenant_seq, _)) = tenant {
            self.tenants.insert(slug.clone(), TenantTip { tenant_seq, hash });
        }
        self.events.push(NewEvent {
            seq,
            hash,
            line,
            recorded_at,
            tenant: tenant.map(|(slug, tenant_seq, _)| TenantPlace { slug: slug.clone(), tenant_seq }),
            key: entry.key.as_ref().map(|key| DedupeKey {
                source: key.source.clone(),
                external_id: key.external_id.clone(),
                content_mac: Some(key.mac),
                stands_alone: first,
            }),
        });
        self.placed.push(Placed { place, seq, hash });
        self.tip = Tip { size: seq.get(), hash };
        Ok(())
    }
}
