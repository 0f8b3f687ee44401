//! A batch that was opened: its lines unpacked in a temporary file without a name, and where each lies.
//!
//! In memory: 20 bytes a line while it is open, and for a search a block of lines.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dezky_audit::{Query, Scope, Stored};
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::{Column, SearchRow};
use dezky_store::query::{MAX_LIMIT, MAX_PAGE_BYTES};
use dezky_store::{Filter, Order};

use super::merge::{Key, key, key_of};
use super::sieve::Sieve;

/// Lines that are read at once: about this many bytes, or one line.
const BLOCK: u64 = 1 << 20;

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

/// Lines that were read together.
#[derive(Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where each lies, in the order in which they were asked for.
    lines: Vec<Range<usize>>,
}

impl Block {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|range| &self.bytes[range.clone()])
    }
}

impl Volume {
    /// `offsets` is one longer than `ats`.
    pub(super) fn new(start: u64, file: File, offsets: Vec<u64>, ats: Vec<Timestamp>) -> io::Result<Self> {
        let count = u32::try_from(ats.len()).map_err(io::Error::other)?;
        let mut by_time: Vec<u32> = (0..count).collect();
        by_time.sort_by_key(|index| ats[*index as usize]);
        Ok(Self { start, file, offsets, ats, by_time })
    }

    /// The position behind the last event.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.ats.len() as u64
    }

    /// The line of the event at `seq`, without LF.
    pub(crate) fn line(&self, seq: u64) -> io::Result<Vec<u8>> {
        let mut block = Block::default();
        self.read(&[self.index(seq)?], &mut block)?;
        block.bytes.pop();
        Ok(block.bytes)
    }

    /// Hands out the lines from the event at `from` on, without LF, up to the one at `last`; about a MiB of them, or one. Returns
    /// where to go on.
    pub(crate) fn run(&self, from: u64, last: u64, mut line: impl FnMut(u64, &[u8])) -> io::Result<u64> {
        let end = self.index(last.min(self.end() - 1))?;
        let wanted: Vec<u32> = (self.index(from)?..=end).collect();
        let mut block = Block::default();
        self.read(&wanted, &mut block)?;
        let mut next = from;
        for bytes in block.lines() {
            line(next, bytes);
            next += 1;
        }
        Ok(next)
    }

    /// The events that match behind the query's cursor, in its order, as many as a page may have.
    pub(crate) fn search(&self, scope: &Scope, query: &Query) -> io::Result<Found> {
        let mut found = Found { events: Vec::new(), complete: None, visited: 0 };
        let asked = *scope != Scope::All || !query.filter.clauses().is_empty();
        let sieve = Sieve::new(scope, &query.filter);
        let wanted = self.wanted(query);
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let (mut block, mut begin, mut bytes) = (Block::default(), 0, 0);
        while begin < wanted.len() {
            self.read(&wanted[begin..], &mut block)?;
            for (&index, line) in wanted[begin..].iter().zip(block.lines()) {
                found.visited += 1;
                let seq = self.start + u64::from(index);
                if asked && !(sieve.passes(line) && matches(scope, &query.filter, seq, line)) {
                    continue;
                }
                let place = self.place(query.order, index);
                bytes += line.len();
                found.events.push((place, Stored { seq, line: line.to_vec() }));
                if found.events.len() == limit || bytes > MAX_PAGE_BYTES {
                    found.complete = (wanted.last() != Some(&index)).then_some(place);
                    return Ok(found);
                }
            }
            begin += block.lines.len();
        }
        Ok(found)
    }

    /// The indexes of the lines within the query's times and behind its cursor, in its order.
    fn wanted(&self, query: &Query) -> Vec<u32> {
        let time = |index: &u32| self.ats[*index as usize];
        let (since, until) = (query.filter.since, query.filter.until);
        let mut begin = self.by_time.partition_point(|index| since.is_some_and(|since| time(index) < since));
        let mut end = self.by_time.partition_point(|index| until.is_none_or(|until| time(index) < until));
        let after = query.after.as_ref().map(key_of);
        let behind = |index: &u32| after.is_none_or(|after| self.place(query.order, *index) > after);
        match query.order {
            Order::Ascending => begin = begin.max(self.by_time.partition_point(|index| !behind(index))),
            Order::Descending => end = end.min(self.by_time.partition_point(behind)),
        }
        let mut wanted = self.by_time.get(begin..end).unwrap_or_default().to_vec();
        if query.order == Order::Descending {
            wanted.reverse();
        }
        wanted
    }

    fn place(&self, order: Order, index: u32) -> Key {
        key(order, self.ats[index as usize], self.start + u64::from(index))
    }

    fn index(&self, seq: u64) -> io::Result<u32> {
        let index = seq.checked_sub(self.start).filter(|index| *index < self.ats.len() as u64);
        let index = index.and_then(|index| u32::try_from(index).ok());
        index.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("event {seq} is in another batch")))
    }

    /// Reads the first of the wanted lines, as many as a block takes, neighbours in the file at once.
    fn read(&self, wanted: &[u32], block: &mut Block) -> io::Result<()> {
        let length = |index: u32| self.offsets[index as usize + 1] - self.offsets[index as usize];
        let mut bytes = 0;
        let fits = |index: &&u32| {
            bytes += length(**index);
            bytes <= BLOCK
        };
        let taken = wanted.iter().take_while(fits).count().clamp(wanted.len().min(1), wanted.len());
        let mut in_file: Vec<(u32, usize)> = wanted[..taken].iter().copied().zip(0..).collect();
        in_file.sort_unstable();
        block.bytes.clear();
        block.lines.clear();
        block.lines.resize(taken, 0..0);
        for neighbours in in_file.chunk_by(|(one, _), (next, _)| one + 1 == *next) {
            let mut at = block.bytes.len();
            for (index, place) in neighbours {
                let end = at + usize::try_from(length(*index)).map_err(io::Error::other)?;
                block.lines[*place] = at..end - 1;
                at = end;
            }
            let begin = block.bytes.len();
            block.bytes.resize(at, 0);
            self.file.read_exact_at(&mut block.bytes[begin..], self.offsets[neighbours[0].0 as usize])?;
        }
        Ok(())
    }
}

fn matches(scope: &Scope, filter: &Filter, seq: u64, line: &[u8]) -> bool {
    let row = SearchRow::derive(seq, line);
    scope.admits(row.get(Column::TenantSlug)) && filter.matches(&row)
}
