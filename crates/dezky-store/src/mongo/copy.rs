//! The check of the search copy, and making it anew. It lies in the event's own document, so it is never behind.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};

use super::MongoStore;
use super::document::differences;
use super::retention::replacement;
use super::value::{integer, member};
use crate::copy::{Checked, SearchCopy};
use crate::error::StoreError;
use crate::log::{EventLog, ReadLimit, Stored};

/// Events that are compared while the next are on their way.
const COMPARED_AT_ONCE: usize = 250;

fn compared(events: Vec<(Stored, RawDocumentBuf)>) -> Vec<Checked> {
    let compared = events.into_iter().map(|(stored, document)| {
        let differences = differences(&document, &stored);
        Checked { seq: stored.seq, line: stored.line, differences }
    });
    compared.collect()
}

#[async_trait]
impl SearchCopy for MongoStore {
    async fn check(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Checked>, StoreError> {
        let (mut comparing, mut next) = (Vec::new(), Vec::new());
        self.walk(&range, limit, |stored, document| {
            next.push((stored, document.to_owned()));
            if next.len() == COMPARED_AT_ONCE {
                let some = std::mem::take(&mut next);
                comparing.push(tokio::task::spawn_blocking(move || compared(some)));
            }
        })
        .await?;
        let rest = compared(next);
        let mut checked = Vec::with_capacity(comparing.len() * COMPARED_AT_ONCE + rest.len());
        for some in comparing {
            let stopped = |_| StoreError::Unavailable { what: "it was closed", source: None };
            checked.extend(some.await.map_err(stopped)?);
        }
        checked.extend(rest);
        Ok(checked)
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.alive()
    }

    async fn rebuild(&self) -> Result<(), StoreError> {
        let size = self.head().await?.size;
        let mut next = 1;
        loop {
            let mut changes = Vec::new();
            let mut last = None;
            self.walk(&(next..=size), ReadLimit::default(), |stored, document| {
                last = Some(stored.seq);
                if !differences(document, &stored).is_empty()
                    && let Some(line) = member(document, "line")
                    && let Ok(line) = mongodb::bson::Bson::try_from(line)
                {
                    changes.push((doc! { "_id": integer(stored.seq), "line": line }, replacement(stored.seq, stored.line)));
                }
            })
            .await?;
            for (as_seen, mut change) in changes {
                // The line itself stays as it is, whatever it is.
                if let Ok(values) = change.get_document_mut("$set") {
                    values.remove("line");
                }
                self.update("event", as_seen, change).await?;
            }
            match last {
                Some(last) => next = last + 1,
                None => return Ok(()),
            }
        }
    }
}
