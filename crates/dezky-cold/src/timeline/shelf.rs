//! The batches that there are: of each the little that tells whether it lies where a list looks, in memory.

use std::sync::{Arc, Mutex, PoisonError};

use dezky_audit::StoreError;
use dezky_audit_core::time::Timestamp;
use dezky_store::Store;

use crate::document::BatchDocument;

/// Records that are read at once: each may list thousands of tenants.
const PAGE: usize = 50;

/// A batch.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) gzip_bytes: u64,
    /// The spans of time that have events, in order.
    pub(crate) times: Vec<(Timestamp, Timestamp)>,
}

/// How much is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) batches: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) gzip_bytes: u64,
}

/// Read from the store when something has been archived since.
#[derive(Default)]
pub(crate) struct Shelf {
    known: Mutex<Arc<Vec<Entry>>>,
}

impl Shelf {
    /// All batches that hot storage has let go of, in order.
    pub(crate) async fn batches(&self, store: &dyn Store) -> Result<Arc<Vec<Entry>>, StoreError> {
        let border = store.hot().await?.border;
        let known = self.known();
        let mut end = known.last().map_or(0, |entry| entry.end);
        if border <= end {
            return Ok(known);
        }
        let mut entries = known.to_vec();
        while end < border {
            let records = store.batches(end + 1..=border, PAGE).await?;
            let Some(last) = records.last() else { break };
            end = last.id.end;
            for record in &records {
                let damaged = || StoreError::Corrupt {
                    what: format!("the record of the batch {} to {}", record.id.start, record.id.end),
                    source: None,
                };
                let document = BatchDocument::read(record).ok_or_else(damaged)?;
                entries.push(Entry {
                    start: document.start_seq,
                    end: document.end_seq,
                    bytes: document.bytes_uncompressed,
                    gzip_bytes: document.gzip_bytes,
                    times: document.times(),
                });
            }
        }
        let entries = Arc::new(entries);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < entries.len() {
            *known = Arc::clone(&entries);
        }
        Ok(entries)
    }

    fn known(&self) -> Arc<Vec<Entry>> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The batch that holds the event at `seq`.
pub(crate) fn covering(batches: &[Entry], seq: u64) -> Option<&Entry> {
    let at = batches.partition_point(|entry| entry.end < seq);
    batches.get(at).filter(|entry| entry.start <= seq)
}

pub(crate) fn totals(batches: &[Entry]) -> Totals {
    batches.iter().fold(Totals::default(), |totals, entry| Totals {
        batches: totals.batches + 1,
        events: totals.events + (entry.end + 1 - entry.start),
        bytes: totals.bytes + entry.bytes,
        gzip_bytes: totals.gzip_bytes + entry.gzip_bytes,
    })
}
