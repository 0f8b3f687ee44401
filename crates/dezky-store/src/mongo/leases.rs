//! Leases, and the fences that every change under one must name.

use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::time::Timestamp;
use mongodb::bson::{Bson, Document, RawDocument, doc};
use mongodb::options::ReturnDocument;

use super::MongoStore;
use super::document::key_of;
use super::value::{date, integer, number, part, text, time};
use crate::error::StoreError;
use crate::leases::{Fence, Lease, Leases};
use crate::limits;

/// How often a lease is looked at again when others take it at the same time.
const ATTEMPTS: usize = 16;

#[async_trait]
impl Leases for MongoStore {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration, now: Timestamp) -> Result<Lease, StoreError> {
        limits::lease(name, holder)?;
        let until = limits::later(now, ttl);
        for _ in 0..ATTEMPTS {
            let leases = self.collection("lease")?;
            let known = self.first(leases.find(doc! { "_id": name })).await?;
            let token = match known {
                None => {
                    let first = doc! { "_id": name, "token": 1_i64, "holder": holder, "until": date(until) };
                    if !self.insert("lease", first).await? {
                        continue;
                    }
                    1
                }
                Some(known) => {
                    let (other, ends) = (text(&known, "holder")?, time(&known, "until")?);
                    if ends > now && other != holder {
                        return Ok(Lease::Taken { holder: other, until: ends });
                    }
                    let token = number(&known, "token")? + u64::from(ends <= now);
                    let as_seen = doc! {
                        "_id": name, "token": integer(number(&known, "token")?), "holder": other, "until": date(ends),
                    };
                    let change = doc! { "$set": { "token": integer(token), "holder": holder, "until": date(until) } };
                    if !self.update("lease", as_seen, change).await? {
                        continue;
                    }
                    token
                }
            };
            // Before anybody may act on it: whoever held it before can change nothing from here on.
            let fence = format!("fences.{}", key_of(name));
            self.update("log", doc! { "_id": "log" }, doc! { "$max": { fence: integer(token) } }).await?;
            return Ok(Lease::Held { fence: Fence { lease: name.to_owned(), token }, until });
        }
        Err(StoreError::Unavailable { what: "others take the lease at the same time", source: None })
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let held = doc! { "_id": &fence.lease, "token": integer(fence.token) };
        self.update("lease", held, doc! { "$set": { "until": date(Timestamp::MIN) } }).await?;
        Ok(())
    }
}

impl MongoStore {
    /// The log's own document; with only these members, if any are named.
    pub(super) async fn log_document(&self, members: &[&str]) -> Result<mongodb::bson::RawDocumentBuf, StoreError> {
        let log = self.collection("log")?;
        let wanted: Document = members.iter().map(|member| ((*member).to_owned(), Bson::Int32(1))).collect();
        let mut question = log.find(doc! { "_id": "log" });
        if !wanted.is_empty() {
            question = question.projection(wanted);
        }
        self.first(question).await?.ok_or_else(|| StoreError::corrupt("the document 'log' is gone"))
    }

    /// Changes the log's own document as it was seen, under a fence if one is given; false when it has changed since.
    pub(super) async fn change_log(
        &self,
        seen: &RawDocument,
        fence: Option<&Fence>,
        mut change: Document,
    ) -> Result<bool, StoreError> {
        let mut as_seen = doc! { "_id": "log", "version": integer(number(seen, "version")?) };
        if let Some(fence) = fence {
            guard(seen, fence)?;
            as_seen.insert(format!("fences.{}", key_of(&fence.lease)), integer(fence.token));
        }
        change.insert("$inc", doc! { "version": 1_i64 });
        self.update("log", as_seen, change).await
    }
}

/// Refuses a fence that is not the newest of its lease.
pub(super) fn guard(log: &RawDocument, fence: &Fence) -> Result<(), StoreError> {
    let newest = part(log, "fences").and_then(|fences| number(fences, &key_of(&fence.lease)).ok());
    if newest == Some(fence.token) { Ok(()) } else { Err(StoreError::Fenced { lease: fence.lease.clone() }) }
}

/// What a change returns: the document as it is afterwards.
pub(super) const AFTER: ReturnDocument = ReturnDocument::After;

/// Too many others change the log's own document.
pub(super) fn contended() -> StoreError {
    StoreError::Unavailable { what: "others change the log's own document at the same time", source: None }
}
