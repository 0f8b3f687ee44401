//! The platform's documents. The entries of the outbox that belong to a change lie in the changed document until they are
//! acknowledged, so that one write makes both.

use async_trait::async_trait;
use mongodb::bson::{Bson, Document as Bsons, RawDocument, RawDocumentBuf, doc};

use super::MongoStore;
use super::leases::AFTER;
use super::value::{integer, member, number, text};
use crate::bookmarks::Swap;
use crate::directory::{Change, Directory, Document, OutboxEntry};
use crate::error::StoreError;
use crate::limits;

#[async_trait]
impl Directory for MongoStore {
    async fn document(&self, collection: &str, key: &str) -> Result<Option<Document>, StoreError> {
        let documents = self.collection("document")?;
        let found = self.first(documents.find(doc! { "_id": place(collection, key) }).projection(doc! { "outbox": 0 })).await?;
        found.map(|found| document(&found)).transpose()
    }

    async fn documents(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let Some(most) = i64::try_from(limit).ok().filter(|limit| *limit > 0) else { return Ok(Vec::new()) };
        let documents = self.collection("document")?;
        // No collection's name has a '/', and '0' is the character behind it.
        let behind = doc! { "_id": { "$gt": place(collection, after.unwrap_or_default()), "$lt": format!("{collection}0") } };
        let question = documents.find(behind).sort(doc! { "_id": 1 }).limit(most).projection(doc! { "outbox": 0 });
        self.all(question).await?.iter().map(|found| document(found)).collect()
    }

    async fn change_document(&self, change: &Change, outbox: &[String]) -> Result<Swap, StoreError> {
        limits::change(change, outbox)?;
        let place = place(&change.collection, &change.key);
        let version = change.expected + 1;
        let entries = self.entries(outbox).await?;
        let done = if change.expected == 0 {
            let fresh = doc! {
                "_id": &place, "key": &change.key, "version": integer(version), "body": &change.body, "outbox": entries,
            };
            self.insert("document", fresh).await?
        } else {
            let mut changed = doc! { "$set": { "version": integer(version), "body": &change.body } };
            if !entries.is_empty() {
                changed.insert("$push", doc! { "outbox": { "$each": entries } });
            }
            self.update("document", doc! { "_id": &place, "version": integer(change.expected) }, changed).await?
        };
        if done {
            return Ok(Swap::Done { version });
        }
        let known = self.document(&change.collection, &change.key).await?;
        Ok(Swap::Conflict { version: known.map_or(0, |known| known.version) })
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        let Some(most) = i64::try_from(limit).ok().filter(|limit| *limit > 0) else { return Ok(Vec::new()) };
        let documents = self.collection("document")?;
        // In the order of each document's oldest entry: the oldest entries of all are among so many documents.
        let pending = documents.find(doc! { "outbox.id": { "$gt": 0_i64 } }).sort(doc! { "outbox.id": 1 }).limit(most);
        let mut entries = Vec::new();
        for found in self.all(pending.projection(doc! { "outbox": 1 })).await? {
            entries.extend(pending_of(&found)?);
        }
        entries.sort_by_key(|entry| entry.id);
        entries.truncate(limit);
        Ok(entries)
    }

    async fn ack_outbox(&self, ids: &[u64]) -> Result<(), StoreError> {
        let ids: Vec<Bson> = ids.iter().map(|id| Bson::Int64(integer(*id))).collect();
        let documents = self.collection("document")?;
        let done = doc! { "$pull": { "outbox": { "id": { "$in": ids.clone() } } } };
        self.ask(async { documents.update_many(doc! { "outbox.id": { "$in": ids } }, done).await }).await?;
        Ok(())
    }
}

impl MongoStore {
    /// Entries with ids that no other entry has. Ids that are not used after all leave holes, which mean nothing.
    async fn entries(&self, bodies: &[String]) -> Result<Vec<Bsons>, StoreError> {
        let Ok(n @ 1..) = i64::try_from(bodies.len()) else { return Ok(Vec::new()) };
        let counters = self.collection("counter")?;
        let next = counters.find_one_and_update(doc! { "_id": "outbox" }, doc! { "$inc": { "last": n } });
        let counter = self.ask(async { next.upsert(true).return_document(AFTER).await }).await?;
        let last = counter.map(|counter| number(&counter, "last")).transpose()?;
        let last = last.ok_or_else(|| StoreError::corrupt("the counter of the outbox"))?;
        let first = integer(last) - n + 1;
        Ok(bodies.iter().zip(first..).map(|(body, id)| doc! { "id": id, "body": body }).collect())
    }
}

fn place(collection: &str, key: &str) -> String {
    format!("{collection}/{key}")
}

fn document(found: &RawDocument) -> Result<Document, StoreError> {
    Ok(Document { key: text(found, "key")?, version: number(found, "version")?, body: text(found, "body")? })
}

fn pending_of(found: &RawDocumentBuf) -> Result<Vec<OutboxEntry>, StoreError> {
    let damaged = || StoreError::corrupt("a document's outbox");
    let list = member(found, "outbox").and_then(|list| list.as_array()).ok_or_else(damaged)?;
    let entry = |entry: &RawDocument| Ok(OutboxEntry { id: number(entry, "id")?, body: text(entry, "body")? });
    list.into_iter().map(|found| entry(found.ok().and_then(|found| found.as_document()).ok_or_else(damaged)?)).collect()
}
