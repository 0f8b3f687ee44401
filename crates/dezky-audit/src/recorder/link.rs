//! Giving events their places: the global chain and the tenants' own.

use std::collections::HashMap;
use std::sync::Arc;

use dezky_audit_core::event::Link;
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_audit_core::time::Timestamp;
use dezky_store::{DedupeKey, NewEvent, StoreError, TenantPlace, Tip};

use super::batch::{Batch, Place, Placed};
use super::tenants::{TenantTip, TenantTips};

/// A batch, linked behind a tip.
pub(super) struct Linked {
    pub(super) events: Arc<[NewEvent]>,
    /// Which event of the batch each of `events` is.
    pub(super) placed: Vec<Placed>,
    /// Where the log will end.
    pub(super) tip: Tip,
    /// Where the tenants' streams will end.
    pub(super) tenants: HashMap<TenantSlug, TenantTip>,
}

/// Links the events at `places` behind `tip`, in their order.
pub(super) fn link(
    origin: &Origin,
    mut tip: Tip,
    recorded_at: Timestamp,
    batch: &Batch,
    places: Vec<Place>,
    known: &TenantTips,
) -> Result<Linked, StoreError> {
    let mut tenants: HashMap<TenantSlug, TenantTip> = HashMap::new();
    let mut events = Vec::with_capacity(places.len());
    let mut placed = Vec::with_capacity(places.len());
    let mut preimage = Vec::new();
    for place in places {
        let Some(entry) = batch.entry(place) else { continue };
        let prepared = &entry.prepared;
        let full = || StoreError::Refused { reason: "the log has no number left for another event".to_owned() };
        let seq = Seq::new(tip.size + 1).ok_or_else(full)?;
        let tenant = prepared.tenant().map(|slug| {
            let tip = tenants.get(slug).copied().or_else(|| known.tip(slug));
            let tip = tip.unwrap_or_else(|| TenantTip { tenant_seq: 0, hash: origin.tenant_genesis(slug.as_str()) });
            (slug, tip.tenant_seq + 1, tip.hash)
        });
        let link = Link { seq, recorded_at, prev_hash: tip.hash, tenant: tenant.map(|(_, seq, prev)| (seq, prev)) };
        let mut line = Vec::new();
        let hash = prepared.link(&link, &mut line, &mut preimage);
        line.shrink_to_fit();
        if let Some((slug, tenant_seq, _)) = tenant {
            tenants.insert(slug.clone(), TenantTip { tenant_seq, hash });
        }
        events.push(NewEvent {
            seq,
            hash,
            line,
            recorded_at,
            tenant: tenant.map(|(slug, tenant_seq, _)| TenantPlace { slug: slug.clone(), tenant_seq }),
            key: entry.key.as_ref().map(|key| DedupeKey {
                source: key.source.clone(),
                external_id: key.external_id.clone(),
                content_mac: Some(key.mac),
            }),
        });
        placed.push(Placed { place, seq, hash });
        tip = Tip { size: seq.get(), hash };
    }
    Ok(Linked { events: events.into(), placed, tip, tenants })
}
