//! A batch that was opened: its lines unpacked in a temporary file without a name, and where each lies.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dezky_audit::{Query, Scope, Stored};
use dezky_audit_core::archive::{BatchReader, ObjectKind};
use dezky_audit_core::time::Timestamp;
use dezky_store::Order;
use dezky_store::projection::{Column, SearchRow};
use dezky_store::query::{MAX_LIMIT, MAX_PAGE_BYTES};
use tokio::sync::{OnceCell, Semaphore};

use super::TimelineError;
use super::merge::{Key, key, key_of};
use crate::depot::{Body, Depot, ObjectKey};
use crate::document::BatchDocument;
use crate::fetch;

/// Batches that are unpacked at once.
const OPENING: usize = 3;

/// What a source has for a page.
pub(crate) struct Found {
    pub(crate) events: Vec<(Key, Stored)>,
    /// Everything up to here is among them; `None`: everything.
    pub(crate) complete: Option<Key>,
    pub(crate) visited: u64,
}

/// An opened batch.
pub(crate) struct Volume {
    start: u64,
    file: File,
    /// Where each line begins, and where the last one ends, its LF included.
    offsets: Vec<u64>,
    ats: Vec<Timestamp>,
    /// Indexes of lines by (`at`, `seq`).
    by_time: Vec<u32>,
}

impl Volume {
    /// The position behind the last event.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.ats.len() as u64
    }

    /// The line of the event at `seq`, without LF.
    pub(crate) fn line(&self, seq: u64) -> io::Result<Vec<u8>> {
        let index = seq.checked_sub(self.start).and_then(|index| usize::try_from(index).ok());
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("event {seq} is in another batch"));
        self.line_at(index.filter(|index| *index < self.ats.len()).ok_or_else(missing)?)
    }

    fn line_at(&self, index: usize) -> io::Result<Vec<u8>> {
        let (begin, end) = (self.offsets[index], self.offsets[index + 1] - 1);
        let mut line = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut line, begin)?;
        Ok(line)
    }

    /// The events that match behind the query's cursor, in its order, as many as a page may have.
    pub(crate) fn search(&self, scope: &Scope, query: &Query) -> io::Result<Found> {
        let mut found = Found { events: Vec::new(), complete: None, visited: 0 };
        let place = |index: u32| {
            let index = index as usize;
            key(query.order, self.ats[index], self.start + index as u64)
        };
        let after = query.after.as_ref().map(key_of);
        let behind = |index: &u32| after.is_none_or(|after| place(*index) > after);
        let mut in_order: Box<dyn Iterator<Item = &u32>> = match query.order {
            Order::Ascending => Box::new(self.by_time[self.by_time.partition_point(|index| !behind(index))..].iter()),
            Order::Descending => Box::new(self.by_time[..self.by_time.partition_point(behind)].iter().rev()),
        };
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let mut bytes = 0;
        for &index in &mut in_order {
            let at = self.ats[index as usize];
            if !query.filter.spans(at) {
                continue;
            }
            let (place, seq) = (place(index), self.start + u64::from(index));
            let line = self.line_at(index as usize)?;
            found.visited += 1;
            let row = SearchRow::derive(seq, &line);
            if !scope.admits(row.get(Column::TenantSlug)) || !query.filter.matches(&row) {
                continue;
            }
            bytes += line.len();
            found.events.push((place, Stored { seq, line }));
            if found.events.len() == limit || bytes > MAX_PAGE_BYTES {
                found.complete = in_order.next().map(|_| place);
                break;
            }
        }
        Ok(found)
    }
}

/// The batches that were opened last, up to a number of bytes.
pub(crate) struct Cache {
    scratch: PathBuf,
    limit: u64,
    slots: Mutex<VecDeque<Slot>>,
    opening: Semaphore,
}

/// Filled by the first who wants it; the others wait for it.
#[derive(Clone)]
struct Slot {
    start: u64,
    bytes: u64,
    volume: Arc<OnceCell<Arc<Volume>>>,
}

impl Cache {
    pub(crate) fn new(scratch: PathBuf, limit: u64) -> Self {
        Self { scratch, limit, slots: Mutex::default(), opening: Semaphore::new(OPENING) }
    }

    /// The batch that begins at `start`, if it is open.
    pub(crate) fn get(&self, start: u64) -> Option<Arc<Volume>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let at = slots.iter().position(|slot| slot.start == start)?;
        let volume = slots[at].volume.get().cloned();
        if let Some(slot) = slots.remove(at) {
            slots.push_back(slot);
        }
        volume
    }

    /// Opens a batch, once for all who ask meanwhile.
    pub(crate) async fn open(&self, depot: &dyn Depot, document: &BatchDocument) -> Result<Arc<Volume>, TimelineError> {
        let slot = self.slot(document);
        let opened = slot.get_or_try_init(|| async {
            let _place = self.opening.acquire().await.map_err(|_| TimelineError::Ending)?;
            unpacked(depot, document, self.scratch.clone()).await.map(Arc::new)
        });
        opened.await.cloned()
    }

    fn slot(&self, document: &BatchDocument) -> Arc<OnceCell<Arc<Volume>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter().find(|slot| slot.start == document.start_seq) {
            return Arc::clone(&slot.volume);
        }
        let volume = Arc::new(OnceCell::new());
        slots.push_back(Slot { start: document.start_seq, bytes: document.bytes_uncompressed, volume: Arc::clone(&volume) });
        let mut bytes: u64 = slots.iter().map(|slot| slot.bytes).sum();
        // The one that is wanted now stays, however large it is.
        while bytes > self.limit && slots.len() > 1 {
            bytes -= slots.pop_front().map_or(0, |slot| slot.bytes);
        }
        volume
    }
}

/// Fetches a batch's events, held against its record.
async fn unpacked(depot: &dyn Depot, document: &BatchDocument, scratch: PathBuf) -> Result<Volume, TimelineError> {
    let start = document.start_seq;
    let damaged = |why: &str| TimelineError::Damaged { start, why: why.to_owned() };
    let name = document.name(ObjectKind::Events).ok_or_else(|| damaged("its record names no object"))?;
    let key = ObjectKey::from(name);
    let body = depot.get(&key).await?.ok_or_else(|| damaged("its events are not in the depot"))?;
    let (expected, most) = (document.clone(), document.bytes_uncompressed);
    let unpacking = move || {
        let mut unpacking = Unpacking::new(start, most, BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(scratch)?));
        let read = unpacking.read(body);
        unpacking.finish(read, &expected)
    };
    match super::blocking(unpacking).await?.map_err(TimelineError::Scratch)? {
        Ok(volume) => Ok(volume),
        Err(Fault::Broken(error)) => Err(TimelineError::Depot(fetch::unread(depot, &key, error))),
        Err(Fault::Differs(why)) => Err(damaged(why)),
    }
}

enum Fault {
    /// The object broke off.
    Broken(io::Error),
    /// It is not what was archived.
    Differs(&'static str),
}

struct Unpacking {
    out: BufWriter<File>,
    start: u64,
    most: u64,
    offsets: Vec<u64>,
    ats: Vec<Timestamp>,
    /// The file could not be written.
    failed: Option<io::Error>,
}

impl Unpacking {
    fn new(start: u64, most: u64, out: BufWriter<File>) -> Self {
        Self { out, start, most, offsets: vec![0], ats: Vec::new(), failed: None }
    }

    fn read(&mut self, body: Body) -> io::Result<dezky_audit_core::archive::ReadBatch> {
        BatchReader::read(body, |line| self.line(line), |_| {})
    }

    /// Keeps a line, unless there is more than there should be: the digests will say so.
    fn line(&mut self, line: &[u8]) {
        let end = self.offsets.last().copied().unwrap_or_default() + line.len() as u64 + 1;
        if self.failed.is_some() || end > self.most {
            return;
        }
        let seq = self.start + self.ats.len() as u64;
        self.failed = self.out.write_all(line).and_then(|()| self.out.write_all(b"\n")).err();
        self.offsets.push(end);
        self.ats.push(SearchRow::derive(seq, line).at);
    }

    fn finish(
        self,
        read: io::Result<dezky_audit_core::archive::ReadBatch>,
        expected: &BatchDocument,
    ) -> io::Result<Result<Volume, Fault>> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let read = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(Fault::Broken(error))),
        };
        if let Some(fault) = read.fault {
            return Ok(Err(Fault::Differs(fault)));
        }
        let same = read.gzip_sha256 == expected.gzip_sha256 && read.bytes == expected.bytes_uncompressed;
        if !same || self.ats.len() as u64 != expected.event_count {
            return Ok(Err(Fault::Differs("its events object has another digest than the store remembers")));
        }
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let count = u32::try_from(self.ats.len()).map_err(io::Error::other)?;
        let mut by_time: Vec<u32> = (0..count).collect();
        by_time.sort_by_key(|index| self.ats[*index as usize]);
        Ok(Ok(Volume { start: self.start, file, offsets: self.offsets, ats: self.ats, by_time }))
    }
}
