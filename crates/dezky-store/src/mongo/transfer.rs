//! What outlives the events, in and out. What an empty log took over lies in collections of its own, and never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Source, TenantSlug};
use dezky_audit_core::merkle::tile::{entries_at, partial_width};
use futures_util::future::try_join_all;
use mongodb::bson::{Document, RawDocument, doc};

use super::MongoStore;
use super::chain::hint;
use super::document::receipt;
use super::indexes::{KEY, STREAM};
use super::log::{keyed, questions};
use super::tiles::Pending;
use super::value::{blob, damaged, hash, hashes, integer, joined, number, optional_hash, part, seq, text};
use crate::batch::Trunk;
use crate::error::StoreError;
use crate::log::{EventLog, Head, NewEvent, Receipt, TenantHead};
use crate::transfer::{Relic, Transfer, ends_of_streams};

/// The most relics in one command.
const SLICE: usize = 1_000;

type Keyed = (Source, ExternalId, Receipt);

#[async_trait]
impl Transfer for MongoStore {
    async fn tenant_heads(&self, after: Option<&TenantSlug>, limit: usize) -> Result<Vec<(TenantSlug, TenantHead)>, StoreError> {
        let events = self.events()?;
        let mut last = after.map_or(String::new(), |slug| slug.as_str().to_owned());
        let adopted = self.collection("tenant_head")?;
        let behind = adopted.find(doc! { "_id": { "$gt": &last } }).sort(doc! { "_id": 1 }).limit(most(limit));
        let mut slugs: BTreeSet<String> =
            self.all(behind).await?.iter().map(|head| text(head, "_id")).collect::<Result<_, _>>()?;
        // From one tenant's first event to the next tenant's.
        for _ in 0..limit {
            let next = events.find(doc! { "tenant.slug": { "$gt": &last } }).hint(hint(STREAM));
            let next = self.first(next.sort(doc! { "tenant.slug": 1 }).projection(doc! { "tenant": 1 })).await?;
            let Some(slug) = next.as_deref().and_then(|found| part(found, "tenant")).map(|tenant| text(tenant, "slug")) else {
                break;
            };
            last = slug?;
            slugs.insert(last.clone());
        }
        let size = self.head().await?.size;
        let mut heads = Vec::new();
        for slug in slugs.into_iter().take(limit) {
            let slug = TenantSlug::new(slug).map_err(|_| damaged("a tenant's slug", "tenant"))?;
            if let Some(head) = self.read_tenant_head(&slug, size).await? {
                heads.push((slug, head));
            }
        }
        Ok(heads)
    }

    async fn receipts(
        &self,
        after: Option<&(Source, ExternalId)>,
        limit: usize,
    ) -> Result<Vec<(Source, ExternalId, Receipt)>, StoreError> {
        let behind = |source: &str, id: &str| match after {
            Some((s, i)) => {
                doc! { "$or": [{ source: { "$gt": s.as_str() } }, { source: s.as_str(), id: { "$gt": i.as_str() } }] }
            }
            None => doc! {},
        };
        let there = doc! { "$exists": true };
        let mut own = doc! { "key.source": there.clone(), "key.external_id": there };
        own.extend(behind("key.source", "key.external_id"));
        let events = self.events()?;
        let order = doc! { "key.source": 1, "key.external_id": 1 };
        let members = doc! { "key": 1, "hash": 1 };
        let own = events.find(own).hint(hint(KEY)).sort(order).projection(members).limit(most(limit));
        let adopted = self.collection("receipt")?;
        let order = doc! { "source": 1, "external_id": 1 };
        let adopted = adopted.find(behind("source", "external_id")).sort(order).limit(most(limit));
        let mut found = BTreeMap::new();
        if limit > 0 {
            let own = self.all(own).await?.iter().map(|event| receipt(event)).collect::<Result<Vec<Keyed>, _>>()?;
            let adopted = self.all(adopted).await?.iter().map(|found| adopted_receipt(found)).collect::<Result<Vec<_>, _>>()?;
            found.extend(own.into_iter().chain(adopted).map(|(source, id, receipt)| ((source, id), receipt)));
        }
        Ok(found.into_iter().take(limit).map(|((source, id), receipt)| (source, id, receipt)).collect())
    }

    async fn adopt(&self, relics: Vec<Relic>) -> Result<(), StoreError> {
        match self.must_be_empty().await {
            Err(StoreError::Refused { .. }) => return self.adopt_ends(&relics).await,
            empty => empty?,
        }
        let mut by_collection: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
        for relic in &relics {
            let (collection, q, values) = encode(relic);
            let update = doc! { "q": q, "u": { "$set": values }, "upsert": true };
            by_collection.entry(collection).or_default().push(update);
        }
        for (collection, updates) in by_collection {
            for slice in updates.chunks(SLICE) {
                self.update_each(collection, slice.to_vec()).await?;
            }
        }
        self.look_for_adopted().await
    }

    async fn begin(&self, head: Head) -> Result<(), StoreError> {
        self.must_be_empty().await?;
        let mut tiles = Pending::new();
        for level in (0..).take_while(|level| entries_at(*level, head.size) > 0) {
            if partial_width(level, head.size).is_some() {
                let index = entries_at(level, head.size) / 256;
                tiles.insert((level, index), self.stored_tile(level, index).await?);
            }
        }
        Trunk::load(&head, |level, index| Ok(tiles.get(&(level, index)).cloned()))
            .map_err(|_| StoreError::refused("the head's peaks or the tiles at its edge are missing or too few"))?;
        if head.size == 0 {
            return Ok(());
        }
        // The border first: as long as there is no event, this can be done again.
        let size = integer(head.size);
        self.update("log", doc! { "_id": "log" }, doc! { "$set": { "border": size, "begun": size } }).await?;
        let stub = doc! { "_id": size, "hash": blob(*head.hash.as_bytes()), "peaks": joined(&head.peaks) };
        if self.insert("event", stub).await? { Ok(()) } else { Err(not_empty()) }
    }
}

impl MongoStore {
    /// Takes the peaks of streams at their very ends, in place of those that were computed from others.
    async fn adopt_ends(&self, relics: &[Relic]) -> Result<(), StoreError> {
        // Nothing is appended meanwhile, and what was computed before is forgotten.
        let mut side = self.side.lock().await;
        let size = self.caught_up(&mut side).await?.trunk.tip().size;
        let mut ends = BTreeMap::new();
        for relic in relics {
            if let Relic::TenantHead { tenant, .. } = relic {
                ends.insert(tenant.clone(), self.read_tenant_head(tenant, size).await?);
            }
        }
        if !ends_of_streams(relics, |tenant| Ok::<_, StoreError>(ends.get(tenant).cloned().flatten()))? {
            return Err(not_empty());
        }
        for relic in relics {
            let Relic::TenantHead { tenant, head } = relic else { continue };
            let last = doc! { "_id": integer(head.seq.get()), "tenant.slug": tenant.as_str() };
            if !self.update("event", last, doc! { "$set": { "tenant.peaks": joined(&head.peaks) } }).await? {
                let adopted = doc! { "_id": tenant.as_str() };
                self.update("tenant_head", adopted, doc! { "$set": { "peaks": joined(&head.peaks) } }).await?;
            }
        }
        Ok(())
    }

    /// `Refused` when there is an event.
    async fn must_be_empty(&self) -> Result<(), StoreError> {
        let events = self.events()?;
        match self.first(events.find(doc! {}).projection(doc! { "_id": 1 })).await? {
            Some(_) => Err(not_empty()),
            None => Ok(()),
        }
    }

    /// Notes whether there are receipts of a log that was begun elsewhere.
    pub(super) async fn look_for_adopted(&self) -> Result<(), StoreError> {
        let receipts = self.collection("receipt")?;
        let any = self.first(receipts.find(doc! {}).projection(doc! { "_id": 1 })).await?.is_some();
        self.adopted.store(any, Ordering::Release);
        Ok(())
    }

    /// Whether a key of the batch is known already. Of one that stands alone, or is the first, the unique index says so itself;
    /// receipts of a log that was begun elsewhere are in no index of the events.
    pub(super) async fn knows_keys(&self, batch: &[NewEvent]) -> Result<bool, StoreError> {
        let adopted = self.adopted.load(Ordering::Acquire);
        let keys = batch.iter().enumerate().filter_map(|(nth, event)| Some((nth, event.key.as_ref()?)));
        let asked = keys.filter(|(nth, key)| adopted || (*nth > 0 && !key.stands_alone));
        let questions = questions(asked.map(|(_, key)| (&key.source, &key.external_id)));
        let events = self.events()?;
        let known = questions.iter().map(async |(source, ids)| {
            let found = self.first(events.find(keyed(source, ids)).projection(doc! { "_id": 1 })).await?;
            Ok::<_, StoreError>(found.is_some() || !self.adopted_receipts_of(source, ids).await?.is_empty())
        });
        Ok(try_join_all(known).await?.contains(&true))
    }

    pub(super) async fn adopted_receipts(
        &self,
        keys: &[(Source, ExternalId)],
    ) -> Result<Vec<((Source, ExternalId), Receipt)>, StoreError> {
        let mut known = Vec::new();
        for (source, ids) in questions(keys.iter().map(|(source, id)| (source, id))) {
            let found = self.adopted_receipts_of(source, &ids).await?;
            known.extend(found.into_iter().map(|(source, id, receipt)| ((source, id), receipt)));
        }
        Ok(known)
    }

    async fn adopted_receipts_of(&self, source: &str, ids: &[&str]) -> Result<Vec<Keyed>, StoreError> {
        if !self.adopted.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let receipts = self.collection("receipt")?;
        let asked = doc! { "source": source, "external_id": { "$in": ids.to_vec() } };
        self.all(receipts.find(asked)).await?.iter().map(|found| adopted_receipt(found)).collect()
    }

    pub(super) async fn adopted_head(&self, slug: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        let heads = self.collection("tenant_head")?;
        let Some(found) = self.first(heads.find(doc! { "_id": slug.as_str() })).await? else { return Ok(None) };
        let peaks = hashes(&found, "peaks").ok_or_else(|| damaged("a list of hashes", "peaks"))?;
        Ok(Some(TenantHead {
            tenant_seq: number(&found, "tenant_seq")?,
            seq: seq(&found, "seq")?,
            hash: hash(&found, "hash")?,
            peaks,
        }))
    }
}

fn encode(relic: &Relic) -> (&'static str, Document, Document) {
    match relic {
        Relic::Receipt { source, external_id, receipt } => {
            let mut values = doc! { "seq": integer(receipt.seq.get()), "hash": blob(*receipt.hash.as_bytes()) };
            if let Some(mac) = &receipt.content_mac {
                values.insert("mac", blob(*mac.as_bytes()));
            }
            ("receipt", doc! { "source": source.as_str(), "external_id": external_id.as_str() }, values)
        }
        Relic::TenantHead { tenant, head } => {
            let values = doc! {
                "tenant_seq": integer(head.tenant_seq), "seq": integer(head.seq.get()), "hash": blob(*head.hash.as_bytes()),
                "peaks": joined(&head.peaks),
            };
            ("tenant_head", doc! { "_id": tenant.as_str() }, values)
        }
        Relic::Tile { level, index, hashes } => {
            let width = i64::try_from(hashes.len()).unwrap_or_default();
            ("tile", doc! { "_id": format!("{level}/{index}") }, doc! { "width": width, "hashes": joined(hashes) })
        }
    }
}

fn adopted_receipt(found: &RawDocument) -> Result<Keyed, StoreError> {
    let source = Source::new(text(found, "source")?).map_err(|_| damaged("a source", "source"))?;
    let id = ExternalId::new(text(found, "external_id")?).map_err(|_| damaged("an external id", "external_id"))?;
    let mac: Option<Hash> = optional_hash(found, "mac");
    Ok((source, id, Receipt { seq: seq(found, "seq")?, hash: hash(found, "hash")?, content_mac: mac }))
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX)
}

fn not_empty() -> StoreError {
    StoreError::refused("the log is not empty")
}
