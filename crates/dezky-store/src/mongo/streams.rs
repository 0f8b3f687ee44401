//! Going through the hot events in order, page after page.
//!
//! A page that begins where another ended goes on with its cursor, if that was a moment ago: whoever reads the whole log, as the
//! verifier does, so costs the server one cursor, not a question for each page. What the cursor has fetched ahead, at most a
//! page, may be that moment old.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use mongodb::Cursor;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};

use super::MongoStore;
use super::document::stored;
use super::value::integer;
use crate::error::StoreError;
use crate::log::{ReadLimit, Stored};
use crate::retention::Retention;

/// Shorter pages are no part of a long reading.
const LEAST_PAGE: usize = 100;
const LARGEST_BATCH: u32 = 1_000;
/// How long a cursor waits for the next page.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most readings at a time that go on with their cursors.
const MOST: usize = 4;

/// The cursors of readings that may go on.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Vec<Stream>>);

#[derive(Debug)]
struct Stream {
    /// Where the next page must begin, and which end it must have.
    next: u64,
    end: u64,
    left: Instant,
    cursor: Option<Cursor<RawDocumentBuf>>,
    /// The cursor's current document was too large for the last page.
    held: bool,
    /// What comes behind the cursor.
    parts: VecDeque<(u64, u64)>,
}

impl Streams {
    /// No later page is of a cursor from before.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, next: u64, end: u64) -> Option<Stream> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.left.elapsed() < PATIENCE);
        let at = streams.iter().position(|stream| (stream.next, stream.end) == (next, end))?;
        Some(streams.swap_remove(at))
    }

    fn keep(&self, stream: Stream) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= MOST {
            streams.remove(0);
        }
        streams.push(stream);
    }
}

impl MongoStore {
    /// Visits the hot events of a range with their documents, in order, as many as the limit allows.
    pub(super) async fn walk(
        &self,
        range: &RangeInclusive<u64>,
        limit: ReadLimit,
        mut visit: impl FnMut(Stored, &RawDocument) + Send,
    ) -> Result<(), StoreError> {
        self.alive()?;
        let (next, end) = (*range.start(), *range.end());
        if range.is_empty() || next > MAX_SAFE_INTEGER || limit.events == 0 {
            return Ok(());
        }
        if let Some(stream) = self.streams.take(next, end)
            && self.page(stream, limit, &mut visit).await? > 0
        {
            return Ok(());
        }
        // Also when a cursor from before came to its end: there may be more by now.
        let hot = self.hot().await?;
        let below = hot.restored.iter().map(|restored| restored.range.clone().into_inner());
        let mut parts: Vec<(u64, u64)> = below.chain([(hot.border + 1, MAX_SAFE_INTEGER)]).collect();
        parts.sort_unstable();
        let mut from = next;
        let mut wanted = VecDeque::new();
        for (first, last) in parts {
            let (first, last) = (first.max(from), last.min(end));
            if first <= last {
                wanted.push_back((first, last));
                from = last + 1;
            }
        }
        let stream = Stream { next, end, left: Instant::now(), cursor: None, held: false, parts: wanted };
        self.page(stream, limit, &mut visit).await?;
        Ok(())
    }

    /// Visits one page; how many events.
    async fn page(
        &self,
        mut stream: Stream,
        limit: ReadLimit,
        visit: &mut (impl FnMut(Stored, &RawDocument) + Send),
    ) -> Result<usize, StoreError> {
        let events = self.events()?;
        let (mut n, mut bytes) = (0, 0);
        loop {
            let Some(cursor) = &mut stream.cursor else {
                let Some((first, last)) = stream.parts.pop_front() else { return Ok(n) };
                // Stubs have no line.
                let part = doc! { "_id": { "$gte": integer(first), "$lte": integer(last) }, "line": { "$exists": true } };
                let batch = u32::try_from(limit.events).unwrap_or(u32::MAX).clamp(2, LARGEST_BATCH);
                let question = events.find(part).sort(doc! { "_id": 1 }).batch_size(batch);
                stream.cursor = Some(self.ask(async { question.await }).await?);
                continue;
            };
            if !std::mem::take(&mut stream.held) && !self.ask(cursor.advance()).await? {
                stream.cursor = None;
                continue;
            }
            let document = cursor.current();
            let Some(stored) = stored(document)? else { continue };
            bytes += stored.line.len();
            let too_much = n > 0 && bytes > limit.bytes;
            stream.held = too_much;
            stream.next = stored.seq + u64::from(!too_much);
            if !too_much {
                visit(stored, document);
                n += 1;
            }
            if too_much || n == limit.events {
                if limit.events >= LEAST_PAGE {
                    stream.left = Instant::now();
                    self.streams.keep(stream);
                }
                return Ok(n);
            }
        }
    }
}
