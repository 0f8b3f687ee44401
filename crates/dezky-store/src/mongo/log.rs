//! The log itself.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dezky_audit_core::ids::{ExternalId, Origin, Source, TenantSlug};
use futures_util::future::try_join_all;
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::document::receipt;
use crate::batch::check;
use crate::error::StoreError;
use crate::log::{Append, EventLog, Head, MAX_SEEN_KEYS, NewEvent, ReadLimit, Receipt, Stored, TenantHead, Tip};

/// The most keys in one question.
const AT_ONCE: usize = 1_000;

#[async_trait]
impl EventLog for MongoStore {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.alive()?;
        let mut side = self.side.lock().await;
        let chain = self.caught_up(&mut side).await?;
        let head = chain.trunk.head();
        side.chain = Some(chain);
        Ok(head)
    }

    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        self.alive()?;
        let mut side = self.side.lock().await;
        let mut chain = self.caught_up(&mut side).await?;
        self.load_branches(&mut chain, std::iter::once(tenant)).await?;
        let head = chain.branches.get(tenant).and_then(crate::batch::Branch::head);
        side.chain = Some(chain);
        Ok(head)
    }

    /// Without another look at the log's end: each takes time in which nothing is appended.
    async fn heads_of(&self, tenants: &[TenantSlug]) -> Result<Vec<Option<TenantHead>>, StoreError> {
        self.alive()?;
        let mut side = self.side.lock().await;
        let mut chain = match side.chain.take() {
            Some(chain) => chain,
            None => self.caught_up(&mut side).await?,
        };
        self.load_branches(&mut chain, tenants.iter()).await?;
        let head = |tenant: &TenantSlug| chain.branches.get(tenant).and_then(crate::batch::Branch::head);
        let heads = tenants.iter().map(head).collect();
        side.chain = Some(chain);
        Ok(heads)
    }

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        check(expected, &batch)?;
        self.alive()?;
        let _waiting = Waiting::begin(&self.waiting);
        let waited = self.take_turn().await;
        let mut side = self.side.lock().await;
        self.append_to(&mut side, expected, &batch, !waited).await
    }

    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError> {
        let mut read = Vec::new();
        self.walk(&range, limit, |stored, _| read.push(stored)).await?;
        Ok(read)
    }

    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError> {
        if keys.len() > MAX_SEEN_KEYS {
            return Err(StoreError::refused(format!("at most {MAX_SEEN_KEYS} keys at once")));
        }
        let events = self.events()?;
        let questions = questions(keys.iter().map(|(source, id)| (source, id)));
        let receipts = questions.iter().map(|(source, ids)| {
            let found = events.find(keyed(source, ids)).projection(doc! { "hash": 1, "key": 1 });
            async { self.all(found).await?.iter().map(|found| receipt(found)).collect::<Result<Vec<_>, _>>() }
        });
        let mut known: HashMap<(Source, ExternalId), Receipt> = HashMap::new();
        for (source, id, receipt) in try_join_all(receipts).await?.into_iter().flatten() {
            known.insert((source, id), receipt);
        }
        if known.len() < keys.len() {
            known.extend(self.adopted_receipts(keys).await?);
        }
        Ok(keys.iter().map(|key| known.get(key).cloned()).collect())
    }
}

/// What to ask for, a source and ids of it at a time.
pub(super) fn questions<'a>(keys: impl Iterator<Item = (&'a Source, &'a ExternalId)>) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut by_source: HashMap<&str, Vec<&str>> = HashMap::new();
    for (source, id) in keys {
        by_source.entry(source.as_str()).or_default().push(id.as_str());
    }
    let portions = |(source, ids): (_, Vec<_>)| ids.chunks(AT_ONCE).map(|ids| (source, ids.to_vec())).collect::<Vec<_>>();
    by_source.into_iter().flat_map(portions).collect()
}

/// The keys of one source.
pub(super) fn keyed(source: &str, ids: &[&str]) -> Document {
    doc! { "key.source": source, "key.external_id": { "$in": ids.to_vec() } }
}

/// Counts an append as waiting as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
