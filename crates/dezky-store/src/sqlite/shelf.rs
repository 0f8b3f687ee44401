//! The segments in their tables: put there, taken away, made larger, and asked.

use dezky_audit_core::time::Timestamp;
use rusqlite::{CachedStatement, Connection, Row, Transaction};

use super::fault::Fault;
use super::index::read_rows;
use super::plan::Plan;
use super::segment::{CHUNK, MAX_EVENTS, Place, Places, Segment, decode_places};
use super::value::{damaged, integer, number, time};

/// A segment's entry in the table of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    /// Small: the least that was free.
    pub(super) id: i64,
    pub(super) events: usize,
    pub(super) seqs: (u64, u64),
    pub(super) span: (Timestamp, Timestamp),
    /// Whether a row has changed since it was indexed.
    stale: bool,
}

/// All segments in the order of their first `seq`.
pub(super) fn labels(connection: &Connection) -> Result<Vec<Label>, Fault> {
    let sql = "SELECT id, events, first, last, earliest, latest, stale FROM segment ORDER BY first, id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    let mut labels = Vec::new();
    while let Some(row) = rows.next()? {
        labels.push(label(row)?);
    }
    Ok(labels)
}

fn label(row: &Row<'_>) -> Result<Label, Fault> {
    let events = usize::try_from(number(row, 1)?).ok().filter(|events| (1..=MAX_EVENTS).contains(events));
    Ok(Label {
        id: row.get(0)?,
        events: events.ok_or_else(|| damaged("a segment's size"))?,
        seqs: (number(row, 2)?, number(row, 3)?),
        span: (time(row, 4)?, time(row, 5)?),
        stale: row.get(6)?,
    })
}

/// Puts a segment into the tables.
pub(super) fn put(transaction: &Transaction<'_>, segment: &Segment) -> Result<(), Fault> {
    let sql = "SELECT coalesce(min(id), 0) + 1 FROM (SELECT 0 AS id UNION ALL SELECT id FROM segment) s
        WHERE NOT EXISTS (SELECT 1 FROM segment WHERE id = s.id + 1)";
    let id: i64 = transaction.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
    let (earliest, latest) = segment.span;
    transaction
        .prepare_cached(
            "INSERT INTO segment (id, events, first, last, earliest, latest, stale) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        )?
        .execute((
            id,
            integer(segment.events as u64),
            integer(segment.seqs.0),
            integer(segment.seqs.1),
            integer(earliest.at_ms),
            integer(latest.at_ms),
        ))?;
    let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO place (id, data) VALUES (?1, ?2)")?;
    for (chunk, nth) in segment.chunks.iter().zip(0..) {
        insert.execute((id << 8 | nth, chunk))?;
    }
    let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO posting (id, data) VALUES (?1, ?2)")?;
    for (first, block) in &segment.blocks {
        insert.execute((id << 40 | integer(*first), block))?;
    }
    Ok(())
}

/// Takes a segment away.
pub(super) fn take(transaction: &Transaction<'_>, id: i64) -> Result<(), Fault> {
    let places = (id << 8, (id + 1) << 8);
    transaction.prepare_cached("DELETE FROM place WHERE id >= ?1 AND id < ?2")?.execute(places)?;
    let postings = (id << 40, (id + 1) << 40);
    transaction.prepare_cached("DELETE FROM posting WHERE id >= ?1 AND id < ?2")?.execute(postings)?;
    transaction.prepare_cached("DELETE FROM segment WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Notes that a row has changed.
pub(super) fn mark_stale(transaction: &Transaction<'_>, seq: u64) -> Result<(), Fault> {
    let sql = "UPDATE segment SET stale = 1 WHERE first <= ?1 AND last >= ?1";
    transaction.prepare_cached(sql)?.execute([integer(seq)])?;
    Ok(())
}

/// Takes away the segments up to `border` whose rows are all gone.
pub(super) fn take_empty(transaction: &Transaction<'_>, border: u64) -> Result<(), Fault> {
    let mut any = transaction.prepare_cached("SELECT 1 FROM search WHERE seq BETWEEN ?1 AND ?2 LIMIT 1")?;
    for label in labels(transaction)?.into_iter().filter(|label| label.seqs.1 <= border) {
        if !any.exists((integer(label.seqs.0), integer(label.seqs.1)))? {
            take(transaction, label.id)?;
        }
    }
    Ok(())
}

/// Segments to be made into one, or one to be made anew.
pub(super) struct Merger {
    old: Vec<Label>,
    new: Vec<Segment>,
}

/// What should be merged next, and the outcome; `None` when all is well.
pub(super) fn next_merger(connection: &Connection) -> Result<Option<Merger>, Fault> {
    let snapshot = connection.unchecked_transaction()?;
    let labels = labels(&snapshot)?;
    let stale = labels.iter().find(|label| label.stale).map(std::slice::from_ref);
    let Some(old) = stale.or_else(|| mergeable(&labels)) else { return Ok(None) };
    let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(None) };
    let end = old.iter().map(|label| label.seqs.1).max().unwrap_or(last.seqs.1);
    let rows = read_rows(&snapshot, first.seqs.0, end)?;
    let new = rows.chunks(MAX_EVENTS).filter_map(Segment::build).collect();
    Ok(Some(Merger { old: old.to_vec(), new }))
}

/// Puts the new segment in the place of the old ones, if they are still there as they were.
pub(super) fn merge(transaction: &Transaction<'_>, merger: &Merger) -> Result<(), Fault> {
    let now = labels(transaction)?;
    if merger.old.iter().all(|old| now.contains(old)) {
        for old in &merger.old {
            take(transaction, old.id)?;
        }
        merger.new.iter().try_for_each(|new| put(transaction, new))?;
    }
    Ok(())
}

/// The youngest segments are merged when there are eight of a size, and at last into full ones. Each event is so indexed
/// again two or three times, and a log of ten million has some four hundred segments.
fn mergeable(labels: &[Label]) -> Option<&[Label]> {
    for size in [64, 512, 4_096] {
        let young = suffix(labels, size);
        if young.len() >= 8 {
            return Some(prefix(young));
        }
    }
    let young = suffix(labels, MAX_EVENTS / 2);
    let total: usize = young.iter().map(|label| label.events).sum();
    if young.len() > 1 && total > MAX_EVENTS - 8 * 1_024 { Some(prefix(young)) } else { None }
}

/// The last segments that have fewer events than `size`.
fn suffix(labels: &[Label], size: usize) -> &[Label] {
    let from = labels.iter().rposition(|label| label.events >= size).map_or(0, |last| last + 1);
    &labels[from..]
}

/// The first segments that fit into one.
fn prefix(labels: &[Label]) -> &[Label] {
    let mut total = 0;
    let fit = labels.iter().take_while(|label| {
        total += label.events;
        total <= MAX_EVENTS
    });
    &labels[..fit.count()]
}

/// Whether asking for a term that so many of a segment's events have leaves fewer rows to check than it costs: about as much as
/// one row. What is not known of a term is hoped for.
fn pays(left: &Places, commonness: usize, events: usize) -> bool {
    let others = if commonness == usize::MAX { events } else { events.saturating_sub(commonness) };
    left.count() * others > events
}

/// What answers from the tables of segments, with its statements prepared once.
pub(super) struct Shelf<'c> {
    block: CachedStatement<'c>,
    chunk: CachedStatement<'c>,
}

impl<'c> Shelf<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, Fault> {
        Ok(Self { block: connection.prepare_cached(BLOCK)?, chunk: connection.prepare_cached(CHUNK_OF)? })
    }

    /// The places in a segment that may have what the plan asks for; `None` when there are none. Terms are asked for in the
    /// order of how many events had them in the segment before, until it is cheaper to check the rows of the places that are
    /// left.
    pub(super) fn places(&mut self, label: &Label, plan: &mut Plan) -> Result<Option<Places>, Fault> {
        let mut found: Option<Places> = None;
        for alternatives in &mut plan.groups {
            if found.as_ref().is_some_and(|found| !pays(found, usize::MAX, label.events)) {
                break;
            }
            let mut group = Places::none(label.events);
            for terms in alternatives {
                let mut left = found.clone();
                for (term, commonness) in terms.iter_mut() {
                    if left.as_ref().is_some_and(|left| !pays(left, *commonness, label.events)) {
                        break;
                    }
                    let mut places = Places::none(label.events);
                    self.add(label, *term, &mut places)?;
                    *commonness = places.count();
                    if let Some(left) = &left {
                        places.keep(left);
                    }
                    left = Some(places);
                }
                terms.sort_by_key(|(_, commonness)| *commonness);
                if let Some(left) = left {
                    group.join(&left);
                }
            }
            if group.count() == 0 {
                return Ok(None);
            }
            found = Some(group);
        }
        Ok(found)
    }

    fn add(&mut self, label: &Label, term: u64, places: &mut Places) -> Result<(), Fault> {
        let first = label.id << 40;
        let mut rows = self.block.query((first, first | integer(term)))?;
        if let Some(row) = rows.next()? {
            places.add(row.get_ref(0)?.as_blob().map_err(|_| damaged("a block of terms"))?, term);
        }
        Ok(())
    }

    /// The nth chunk of a segment's places.
    pub(super) fn chunk(&mut self, label: &Label, nth: usize) -> Result<Vec<Place>, Fault> {
        let mut rows = self.chunk.query([label.id << 8 | integer(nth as u64)])?;
        let row = rows.next()?.ok_or_else(|| damaged("a segment's places"))?;
        let places = decode_places(row.get_ref(0)?.as_blob().map_err(|_| damaged("a segment's places"))?);
        let expected = CHUNK.min(label.events - nth * CHUNK);
        if places.len() == expected { Ok(places) } else { Err(damaged("a segment's places")) }
    }
}

pub(super) const BLOCK: &str = "SELECT data FROM posting WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
pub(super) const CHUNK_OF: &str = "SELECT data FROM place WHERE id = ?1";
