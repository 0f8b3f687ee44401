//! Checkpoints, cursors, verification runs and settings.

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocument, doc};

use super::MongoStore;
use super::value::{blob, date, hash, integer, number, text, time};
use crate::bookmarks::{Bookmark, Bookmarks, Swap};
use crate::checkpoints::{CheckpointRecord, Checkpoints};
use crate::error::StoreError;
use crate::limits;
use crate::runs::{Runs, VerificationRun};
use crate::settings::Settings;

/// How often the next free number is looked for while others take it.
const ATTEMPTS: usize = 16;

#[async_trait]
impl Checkpoints for MongoStore {
    async fn put_checkpoint(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        limits::checkpoint(record)?;
        for _ in 0..ATTEMPTS {
            let checkpoints = self.collection("checkpoint")?;
            let of_size = checkpoints.find(doc! { "size": integer(record.size) }).sort(doc! { "nth": 1 });
            let known = self.all(of_size).await?;
            if known.iter().any(|known| text(known, "note").is_ok_and(|note| note == record.note)) {
                return Ok(());
            }
            let nth = known.last().map_or(Ok(0), |last| number(last, "nth"))? + 1;
            let document = doc! {
                "size": integer(record.size), "nth": integer(nth), "at": date(record.at), "reason": &record.reason,
                "head_hash": blob(*record.head_hash.as_bytes()), "root": blob(*record.root.as_bytes()), "note": &record.note,
            };
            if self.insert("checkpoint", document).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable { what: "others put checkpoints at the same time", source: None })
    }

    async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        self.checkpoint(doc! {}, doc! { "size": -1, "nth": -1 }).await
    }

    async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        self.checkpoint(doc! { "size": integer(size) }, doc! { "size": 1, "nth": -1 }).await
    }

    async fn checkpoint_covering(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        let least = self.checkpoint(doc! { "size": { "$gte": integer(size) } }, doc! { "size": 1, "nth": 1 }).await?;
        match least {
            Some(least) => self.checkpoint_at(least.size).await,
            None => Ok(None),
        }
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError> {
        let Some(most) = i64::try_from(limit).ok().filter(|limit| *limit > 0) else { return Ok(Vec::new()) };
        let checkpoints = self.collection("checkpoint")?;
        let order = doc! { "size": 1, "nth": 1 };
        let behind = checkpoints.find(doc! { "size": { "$gt": integer(after) } }).sort(order.clone()).limit(most);
        let mut found = self.all(behind).await?;
        if found.len() == limit
            && let Some(last) = found.last()
        {
            let last = doc! { "size": integer(number(last, "size")?), "nth": { "$gt": integer(number(last, "nth")?) } };
            found.extend(self.all(checkpoints.find(last).sort(order)).await?);
        }
        found.iter().map(|found| checkpoint(found)).collect()
    }
}

impl MongoStore {
    async fn checkpoint(&self, filter: Document, order: Document) -> Result<Option<CheckpointRecord>, StoreError> {
        let checkpoints = self.collection("checkpoint")?;
        let found = self.first(checkpoints.find(filter).sort(order)).await?;
        found.map(|found| checkpoint(&found)).transpose()
    }
}

fn checkpoint(document: &RawDocument) -> Result<CheckpointRecord, StoreError> {
    Ok(CheckpointRecord {
        at: time(document, "at")?,
        size: number(document, "size")?,
        head_hash: hash(document, "head_hash")?,
        root: hash(document, "root")?,
        reason: text(document, "reason")?,
        note: text(document, "note")?,
    })
}

#[async_trait]
impl Bookmarks for MongoStore {
    async fn bookmark(&self, name: &str) -> Result<Option<Bookmark>, StoreError> {
        let bookmarks = self.collection("bookmark")?;
        let Some(known) = self.first(bookmarks.find(doc! { "_id": name })).await? else { return Ok(None) };
        Ok(Some(Bookmark { version: number(&known, "version")?, value: text(&known, "value")? }))
    }

    async fn move_bookmark(&self, name: &str, expected: u64, value: &str) -> Result<Swap, StoreError> {
        limits::bookmark(name, value)?;
        let version = expected + 1;
        let done = if expected == 0 {
            self.insert("bookmark", doc! { "_id": name, "version": integer(version), "value": value }).await?
        } else {
            let as_expected = doc! { "_id": name, "version": integer(expected) };
            self.update("bookmark", as_expected, doc! { "$set": { "version": integer(version), "value": value } }).await?
        };
        if done {
            return Ok(Swap::Done { version });
        }
        Ok(Swap::Conflict { version: self.bookmark(name).await?.map_or(0, |bookmark| bookmark.version) })
    }
}

#[async_trait]
impl Runs for MongoStore {
    async fn add_run(&self, run: &VerificationRun) -> Result<(), StoreError> {
        limits::run(run)?;
        for _ in 0..ATTEMPTS {
            let runs = self.collection("run")?;
            let last = self.first(runs.find(doc! {}).sort(doc! { "_id": -1 }).projection(doc! { "_id": 1 })).await?;
            let next = last.map_or(Ok(0), |last| number(&last, "_id"))? + 1;
            if self.insert("run", doc! { "_id": integer(next), "at": date(run.at), "report": &run.report }).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable { what: "others add runs at the same time", source: None })
    }

    async fn runs(&self, limit: usize) -> Result<Vec<VerificationRun>, StoreError> {
        let Some(most) = i64::try_from(limit).ok().filter(|limit| *limit > 0) else { return Ok(Vec::new()) };
        let runs = self.collection("run")?;
        let found = self.all(runs.find(doc! {}).sort(doc! { "_id": -1 }).limit(most)).await?;
        found.iter().map(|run| Ok(VerificationRun { at: time(run, "at")?, report: text(run, "report")? })).collect()
    }
}

#[async_trait]
impl Settings for MongoStore {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let settings = self.collection("setting")?;
        let known = self.first(settings.find(doc! { "_id": name })).await?;
        known.map(|known| text(&known, "value")).transpose()
    }

    async fn get_or_create_setting(&self, name: &str, value: &str) -> Result<String, StoreError> {
        limits::setting(name, value)?;
        if let Some(known) = self.setting(name).await? {
            return Ok(known);
        }
        if self.insert("setting", doc! { "_id": name, "value": value }).await? {
            return Ok(value.to_owned());
        }
        self.setting(name).await?.ok_or_else(|| StoreError::corrupt(format!("the setting '{name}' comes and goes")))
    }
}
