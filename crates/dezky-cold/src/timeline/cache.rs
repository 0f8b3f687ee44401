//! The batches that were opened last, and how one is opened: fetched, held against its record, unpacked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dezky_audit_core::archive::{BatchReader, ObjectKind, UnpackedBatch};
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::SearchRow;
use tokio::sync::{OnceCell, Semaphore};

use super::TimelineError;
use super::volume::Volume;
use crate::depot::{Body, Depot, ObjectKey};
use crate::document::BatchDocument;
use crate::fetch;

/// Batches that are unpacked at once.
const OPENING: usize = 3;

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

    fn read(&mut self, body: Body) -> io::Result<UnpackedBatch> {
        BatchReader::unpack(body, |line| self.line(line))
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
        self.ats.push(time(line).unwrap_or_else(|| SearchRow::derive(seq, line).at));
    }

    fn finish(self, read: io::Result<UnpackedBatch>, expected: &BatchDocument) -> io::Result<Result<Volume, Fault>> {
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
        Volume::new(self.start, file, self.offsets, self.ats).map(Ok)
    }
}

/// The time of a canonical line, without reading what comes behind it; `None` where the line is not as expected.
fn time(line: &[u8]) -> Option<Timestamp> {
    let mut rest = line.strip_prefix(b"{")?;
    loop {
        let (name, value) = string(rest)?;
        let value = value.strip_prefix(b":")?;
        if name == b"at" {
            let (text, _) = string(value)?;
            return Timestamp::parse_canonical(text);
        }
        rest = behind(value)?.strip_prefix(b",")?;
    }
}

/// The inner bytes of the string that `text` begins with, escapes and all, and what follows it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some((&text[..at], &text[at + 1..]));
        }
        at += 2;
    }
}

/// What follows the value that `text` begins with.
fn behind(mut text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    loop {
        match *text.first()? {
            b'"' => text = string(text)?.1,
            b'{' | b'[' => (depth, text) = (depth + 1, &text[1..]),
            b'}' | b']' => (depth, text) = (depth.checked_sub(1)?, &text[1..]),
            _ => text = &text[1..],
        }
        if depth == 0 && matches!(text.first()?, b',' | b'}' | b']') {
            return Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_one_that_the_row_has() {
        let lines = [
            &br#"{"action":"a","actor":{"id":"}\",\"at\":\"2020-05-01T00:16:37.212Z\"","n":[{"at":1}]},"at":"2026-05-01T00:16:37.212Z","z":1}"#[..],
            br#"{"a":-1.5e3,"b":null,"c":[],"d":"\\","at":"2026-05-01T00:16:37.212Z"}"#,
            br#"{"actor":{"at":"2026-05-01T00:16:37.212Z"},"z":1}"#,
            br#"{"at":"2026-05-01"}"#,
            br#"{"at":7}"#,
            br#"{"a":"#,
            br#"{"a":1"#,
            br#"{"a":"\"#,
            b"{}",
            b"",
        ];
        let expected = [Some(()), Some(()), None, None, None, None, None, None, None, None];
        for (line, expected) in lines.into_iter().zip(expected) {
            let found = time(line);
            assert_eq!(found.map(drop), expected, "{}", String::from_utf8_lossy(line));
            assert_eq!(found.unwrap_or(Timestamp::MIN), SearchRow::derive(1, line).at);
        }
    }
}
