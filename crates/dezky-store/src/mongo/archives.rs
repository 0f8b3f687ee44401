//! The archiver's memory: intent and list of batches in the log's own document, so that one fence guards them.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{RawDocument, doc};

use super::MongoStore;
use super::leases::{contended, guard};
use super::value::{integer, member, number, part, text};
use crate::archives::{Archives, BatchId, BatchRecord, Intent};
use crate::error::StoreError;
use crate::leases::Fence;
use crate::limits;
use crate::log::EventLog;

/// How often a change is tried while others change the same document.
pub(super) const ATTEMPTS: usize = 16;

/// A batch that counts, and where its document is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) id: BatchId,
    content: ObjectId,
}

#[async_trait]
impl Archives for MongoStore {
    async fn archive_intent(&self) -> Result<Option<Intent>, StoreError> {
        let log = self.log_document(&["intent"]).await?;
        let Some(intent) = part(&log, "intent") else { return Ok(None) };
        Ok(Some(Intent { start: number(intent, "start")?, end: number(intent, "end")?, document: text(intent, "document")? }))
    }

    async fn set_archive_intent(&self, intent: Option<&Intent>, fence: &Fence) -> Result<(), StoreError> {
        limits::intent(intent)?;
        let change = match intent {
            Some(Intent { start, end, document }) => {
                doc! { "$set": { "intent": { "start": integer(*start), "end": integer(*end), "document": document } } }
            }
            None => doc! { "$unset": { "intent": true } },
        };
        for _ in 0..ATTEMPTS {
            let log = self.log_document(&["version", "fences"]).await?;
            if self.change_log(&log, Some(fence), change.clone()).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    async fn put_batch(&self, record: &BatchRecord, fence: &Fence) -> Result<(), StoreError> {
        limits::batch(record)?;
        let BatchId { start, end, revision } = record.id;
        let mut content = None;
        for _ in 0..ATTEMPTS {
            let log = self.log_document(&["version", "fences", "batches"]).await?;
            guard(&log, fence)?;
            let listed = listed(&log)?;
            if end > self.head().await?.size {
                return Err(StoreError::refused(format!("batch {start}–{end} reaches beyond the head")));
            }
            let crosses = |id: &BatchId| id.start <= end && start <= id.end && (id.start, id.end) != (start, end);
            if let Some(other) = listed.iter().find(|other| crosses(&other.id)) {
                return Err(limits::crossing(&record.id, &other.id));
            }
            if let Some(known) = listed.iter().find(|known| known.id == record.id) {
                let same = self.batch(known).await?.document == record.document;
                return if same { Ok(()) } else { Err(limits::other_document(&record.id)) };
            }
            let place = match content {
                Some(place) => place,
                None => {
                    let place = ObjectId::new();
                    let range = doc! { "_id": place, "start": integer(start), "end": integer(end), "document": &record.document };
                    self.insert("batch", range).await?;
                    *content.insert(place)
                }
            };
            let listed = doc! { "start": integer(start), "end": integer(end), "revision": i64::from(revision), "content": place };
            if self.change_log(&log, Some(fence), doc! { "$push": { "batches": listed } }).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    async fn batches(&self, range: RangeInclusive<u64>, limit: usize) -> Result<Vec<BatchRecord>, StoreError> {
        let log = self.log_document(&["batches"]).await?;
        let mut found: Vec<Listed> = Vec::new();
        // In the order of start and revision: a higher revision replaces the one before.
        for batch in listed(&log)? {
            if range.is_empty() || batch.id.start > *range.end() || batch.id.end < *range.start() {
                continue;
            }
            found.pop_if(|last| last.id.start == batch.id.start);
            found.push(batch);
        }
        found.truncate(limit);
        let mut records = Vec::with_capacity(found.len());
        for batch in &found {
            records.push(self.batch(batch).await?);
        }
        Ok(records)
    }

    async fn newest_batch(&self) -> Result<Option<BatchRecord>, StoreError> {
        let log = self.log_document(&["batches"]).await?;
        match listed(&log)?.last() {
            Some(newest) => self.batch(newest).await.map(Some),
            None => Ok(None),
        }
    }
}

impl MongoStore {
    async fn batch(&self, listed: &Listed) -> Result<BatchRecord, StoreError> {
        let batches = self.collection("batch")?;
        let BatchId { start, end, .. } = listed.id;
        let found = self.first(batches.find(doc! { "_id": listed.content })).await?;
        let found = found.ok_or_else(|| StoreError::corrupt(format!("the document of batch {start}–{end} is gone")))?;
        Ok(BatchRecord { id: listed.id, document: text(&found, "document")? })
    }
}

/// The batches that count, in the order of their ids.
pub(super) fn listed(log: &RawDocument) -> Result<Vec<Listed>, StoreError> {
    let damaged = || StoreError::corrupt("the list of batches in the document 'log'");
    let list = member(log, "batches").and_then(|list| list.as_array()).ok_or_else(damaged)?;
    let mut listed = Vec::new();
    for entry in list {
        let entry = entry.ok().and_then(|entry| entry.as_document()).ok_or_else(damaged)?;
        let revision = u32::try_from(number(entry, "revision")?).map_err(|_| damaged())?;
        let id = BatchId { start: number(entry, "start")?, end: number(entry, "end")?, revision };
        let content = member(entry, "content").and_then(|content| content.as_object_id()).ok_or_else(damaged)?;
        listed.push(Listed { id, content });
    }
    listed.sort_by_key(|batch| batch.id);
    Ok(listed)
}
