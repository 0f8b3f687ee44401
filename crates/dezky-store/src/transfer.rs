//! Moving a log from one store to another when part of it is no longer hot: what cannot be computed from events again.

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Source, TenantSlug};

use crate::error::StoreError;
use crate::log::{Head, Receipt, TenantHead};

/// Something that an empty store takes over as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relic {
    Receipt { source: Source, external_id: ExternalId, receipt: Receipt },
    TenantHead { tenant: TenantSlug, head: TenantHead },
    Tile { level: u8, index: u64, hashes: Vec<Hash> },
}

/// What outlives the events, in and out.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// All tenants' heads in the order of their slugs, behind `after`, at most `limit`.
    async fn tenant_heads(&self, after: Option<&TenantSlug>, limit: usize) -> Result<Vec<(TenantSlug, TenantHead)>, StoreError>;

    /// All receipts in the order of source and external id, behind `after`, at most `limit`.
    async fn receipts(
        &self,
        after: Option<&(Source, ExternalId)>,
        limit: usize,
    ) -> Result<Vec<(Source, ExternalId, Receipt)>, StoreError>;

    /// Takes relics over into a store whose log is still empty. The same again changes nothing.
    ///
    /// Later only tenants' heads are taken, those that name the very end of their streams: their peaks replace the ones that
    /// are there. Whoever copies a log without its archived events knows a tenant's peaks only at the end, not at the border.
    ///
    /// # Errors
    /// `Refused` once the log has an event or has begun elsewhere, but for that.
    async fn adopt(&self, relics: Vec<Relic>) -> Result<(), StoreError>;

    /// Lets an empty log begin at `head`: what comes before is archived, the border is at its size.
    ///
    /// # Errors
    /// `Refused` once the log has an event or has begun elsewhere.
    async fn begin(&self, head: Head) -> Result<(), StoreError>;
}

/// Whether all of `relics` are heads of tenants at the very ends of their streams, which a log may take at any time.
pub(crate) fn ends_of_streams<E>(
    relics: &[Relic],
    mut stored: impl FnMut(&TenantSlug) -> Result<Option<TenantHead>, E>,
) -> Result<bool, E> {
    for relic in relics {
        let Relic::TenantHead { tenant, head } = relic else { return Ok(false) };
        let same = |stored: TenantHead| {
            (stored.tenant_seq, stored.seq, stored.hash, stored.peaks.len())
                == (head.tenant_seq, head.seq, head.hash, head.peaks.len())
        };
        if !stored(tenant)?.is_some_and(same) {
            return Ok(false);
        }
    }
    Ok(!relics.is_empty())
}
