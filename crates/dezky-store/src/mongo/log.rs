//! The log itself.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dezky_audit_core::ids::{ExternalId, MAX_SAFE_INTEGER, Origin, Source, TenantSlug};
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::document::{receipt, stored};
use super::value::{integer, number};
use crate::batch::check;
use crate::error::StoreError;
use crate::log::{Append, EventLog, Head, MAX_SEEN_KEYS, NewEvent, ReadLimit, Receipt, Stored, TenantHead, Tip};

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

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        check(expected, &batch)?;
        self.alive()?;
        let _waiting = Waiting::begin(&self.waiting);
        let mut side = self.side.lock().await;
        self.append_to(&mut side, expected, &batch).await
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
        let mut known: HashMap<(Source, ExternalId), Receipt> = HashMap::new();
        for (source, ids) in by_source(keys.iter().map(|(source, id)| (source, id))) {
            for ids in ids.chunks(1_000) {
                let members = doc! { "hash": 1, "key": 1 };
                for document in self.all(events.find(keyed(source, ids)).projection(members)).await? {
                    let (source, id, receipt) = receipt(&document)?;
                    known.insert((source, id), receipt);
                }
            }
        }
        if known.len() < keys.len() {
            known.extend(self.adopted_receipts(keys).await?);
        }
        Ok(keys.iter().map(|key| known.get(key).cloned()).collect())
    }
}

/// The ids that are asked for, source by source.
pub(super) fn by_source<'a>(keys: impl Iterator<Item = (&'a Source, &'a ExternalId)>) -> HashMap<&'a str, Vec<&'a str>> {
    let mut by_source: HashMap<&str, Vec<&str>> = HashMap::new();
    for (source, id) in keys {
        by_source.entry(source.as_str()).or_default().push(id.as_str());
    }
    by_source
}

/// The keys of one source.
pub(super) fn keyed(source: &str, ids: &[&str]) -> Document {
    doc! { "key.source": source, "key.external_id": { "$in": ids.to_vec() } }
}

impl MongoStore {
    /// Visits the hot events of a range with their documents, in order, as many as the limit allows.
    pub(super) async fn walk(
        &self,
        range: &RangeInclusive<u64>,
        limit: ReadLimit,
        mut visit: impl FnMut(Stored, &mongodb::bson::RawDocument) + Send,
    ) -> Result<(), StoreError> {
        let events = self.events()?;
        if range.is_empty() || *range.start() > MAX_SAFE_INTEGER || limit.events == 0 {
            return Ok(());
        }
        let last = integer((*range.end()).min(MAX_SAFE_INTEGER));
        // Stubs have no line. Their part of the range is not walked over: it ends at the border.
        let hot = crate::Retention::hot(self).await?;
        let below = hot.restored.iter().map(|restored| restored.range.clone());
        let mut parts: Vec<(u64, u64)> = below.map(|range| range.into_inner()).chain([(hot.border + 1, u64::MAX)]).collect();
        parts.sort_unstable();
        let (mut n, mut bytes, mut next) = (0, 0, *range.start());
        for (first, end) in parts {
            let (first, end) = (first.max(next), integer(end).min(last));
            if integer(first) > end {
                continue;
            }
            let asked = doc! { "_id": { "$gte": integer(first), "$lte": end }, "line": { "$exists": true } };
            let most = i64::try_from(limit.events - n).unwrap_or(i64::MAX);
            let question = events.find(asked).sort(doc! { "_id": 1 }).limit(most);
            let mut cursor = self.ask(async { question.await }).await?;
            while self.ask(cursor.advance()).await? {
                let document = cursor.current();
                let Some(stored) = stored(document)? else { continue };
                bytes += stored.line.len();
                if n > 0 && bytes > limit.bytes {
                    return Ok(());
                }
                next = number(document, "_id")? + 1;
                visit(stored, document);
                n += 1;
                if n == limit.events {
                    return Ok(());
                }
            }
            next = next.max(u64::try_from(end).unwrap_or_default().saturating_add(1));
        }
        Ok(())
    }
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
