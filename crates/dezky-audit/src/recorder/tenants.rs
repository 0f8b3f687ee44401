//! Where tenants' streams end, kept for the tenants that had events lately.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::TenantSlug;
use dezky_store::{EventLog, Store, StoreError};
use lru::LruCache;

/// The end of one tenant's stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct TenantTip {
    pub(super) tenant_seq: u64,
    pub(super) hash: Hash,
}

pub(super) struct TenantTips {
    /// `None`: the tenant has no event yet.
    recent: LruCache<TenantSlug, Option<TenantTip>>,
    limit: NonZeroUsize,
}

impl TenantTips {
    pub(super) fn new(limit: usize) -> Self {
        let limit = NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        Self { recent: LruCache::unbounded(), limit }
    }

    /// Forgets everything: another writer may have been there.
    pub(super) fn clear(&mut self) {
        self.recent.clear();
    }

    /// Learns the tips of all `tenants` that it does not know; they stay until the next fetch, however many they are.
    pub(super) async fn fetch<'a>(
        &mut self,
        store: &dyn Store,
        tenants: impl Iterator<Item = &'a TenantSlug>,
    ) -> Result<(), StoreError> {
        while self.recent.len() > self.limit.get() {
            self.recent.pop_lru();
        }
        let mut missing = Vec::new();
        for tenant in tenants {
            if self.recent.get(tenant).is_none() && !missing.contains(tenant) {
                missing.push(tenant.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let heads = EventLog::heads_of(store, &missing).await?;
        for (tenant, head) in missing.into_iter().zip(heads) {
            let tip = head.map(|head| TenantTip { tenant_seq: head.tenant_seq, hash: head.hash });
            self.recent.put(tenant, tip);
        }
        Ok(())
    }

    pub(super) fn tip(&self, tenant: &TenantSlug) -> Option<TenantTip> {
        self.recent.peek(tenant).copied().flatten()
    }

    /// Takes over what an append has made of them.
    pub(super) fn advance(&mut self, tips: HashMap<TenantSlug, TenantTip>) {
        for (tenant, tip) in tips {
            self.recent.put(tenant, Some(tip));
        }
    }
}
