//! Keeping the search copy: rows, ranks, terms and hourly counts, inside a transaction of the writer.

use std::collections::BTreeMap;

use dezky_audit_core::time::Timestamp;
use rusqlite::{Row, Transaction};

use super::append::single;
use super::fault::Fault;
use super::value::{copied_time, integer, number, text};
use super::{rank, terms};
use crate::projection::{Column, SearchRow};

/// The columns of a [`SearchRow`], as [`read_row`] reads them from column `first` on.
pub(super) const ROW: &str = "s.seq, s.at, s.action, s.outcome, s.source, s.actor_type, s.actor_id, s.actor_email, \
    s.resource_type, s.resource_id, s.resource_name, s.tenant_slug, s.partner_slug, s.client_ip";

/// A row and its terms, made outside the transaction.
pub(super) struct Entry {
    row: SearchRow,
    terms: String,
}

impl Entry {
    pub(super) fn new(row: SearchRow) -> Self {
        let terms = terms::of_row(&row);
        Self { row, terms }
    }

    pub(super) const fn seq(&self) -> u64 {
        self.row.seq
    }
}

pub(super) fn read_row(row: &Row<'_>, first: usize) -> Result<SearchRow, Fault> {
    let mut values: [Option<Box<str>>; Column::ALL.len()] = Default::default();
    for (value, column) in values.iter_mut().zip(first + 2..) {
        *value = text(row, column)?;
    }
    Ok(SearchRow::from_parts(number(row, first)?, copied_time(row, first + 1)?, values))
}

/// Adds rows, in the order of their `seq`, at their places. `slots` is how many events of one millisecond get a rank in
/// order: fewer than [`rank::SLOTS`] only in tests.
pub(super) fn add(transaction: &Transaction<'_>, entries: &[Entry], slots: u32) -> Result<(), Fault> {
    for entry in entries {
        let at = entry.row.at;
        let mut last =
            transaction.prepare_cached("SELECT rank, seq FROM search WHERE rank BETWEEN ?1 AND ?2 ORDER BY rank DESC LIMIT 1")?;
        let mut rows = last.query((rank::first(at), rank::last(at)))?;
        let last: Option<(i64, i64)> = rows.next()?.map(|row| Ok::<_, Fault>((row.get(0)?, row.get(1)?))).transpose()?;
        drop(rows);
        let rest: Option<i64> =
            single(transaction, "SELECT seq FROM crowded WHERE at = ?1 ORDER BY seq DESC LIMIT 1", [integer(at.unix_ms())])?;
        let greatest = rest.max(last.map(|(_, seq)| seq));
        if greatest.is_some_and(|seq| seq > integer(entry.seq())) {
            rearrange(transaction, at, entry, slots)?;
            continue;
        }
        let next = last.map_or(0, |(rank, _)| rank::slot(rank) + 1);
        if rest.is_none() && next < slots {
            insert(transaction, rank::first(at) + i64::from(next), entry)?;
        } else {
            insert_crowded(transaction, entry)?;
        }
    }
    Ok(())
}

/// Removes the rows of some events.
pub(super) fn remove(transaction: &Transaction<'_>, seqs: impl IntoIterator<Item = u64>) -> Result<(), Fault> {
    let mut find = transaction.prepare_cached("SELECT rank FROM search WHERE seq = ?1")?;
    for seq in seqs {
        let mut rows = find.query([integer(seq)])?;
        if let Some(row) = rows.next()? {
            remove_rank(transaction, row.get(0)?)?;
        }
    }
    Ok(())
}

/// Puts another row in the place of one with the same `seq` and `at`.
pub(super) fn replace(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), Fault> {
    let found = single(transaction, "SELECT rank FROM search WHERE seq = ?1", [integer(entry.seq())])?;
    match found {
        Some(rank) if rank < rank::crowded() && rank::time(rank) == entry.row.at => {
            remove_rank(transaction, rank)?;
            insert(transaction, rank, entry)
        }
        Some(rank) => {
            remove_rank(transaction, rank)?;
            add(transaction, std::slice::from_ref(entry), rank::SLOTS)
        }
        None => add(transaction, std::slice::from_ref(entry), rank::SLOTS),
    }
}

/// Adds to the hourly counts.
pub(super) fn count<'a>(transaction: &Transaction<'_>, entries: impl Iterator<Item = &'a Entry>) -> Result<(), Fault> {
    let mut counts: BTreeMap<(u64, [&str; 4]), i64> = BTreeMap::new();
    for Entry { row, .. } in entries {
        let by = [Column::TenantSlug, Column::Source, Column::Action, Column::Outcome];
        let by = by.map(|column| row.get(column).unwrap_or_default());
        *counts.entry((row.at.unix_ms() / 3_600_000, by)).or_default() += 1;
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO hourly (hour, tenant, source, action, outcome, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for ((hour, [tenant, source, action, outcome]), n) in counts {
        statement.execute((integer(hour), tenant, source, action, outcome, n))?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, rank: i64, entry: &Entry) -> Result<(), Fault> {
    insert_row(transaction, rank, &entry.row)?;
    transaction.prepare_cached("INSERT INTO terms (rowid, body) VALUES (?1, ?2)")?.execute((rank, &entry.terms))?;
    Ok(())
}

/// Crowded rows are found through their own table, one by one, and need no terms.
fn insert_crowded(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), Fault> {
    let row = &entry.row;
    let greatest: Option<i64> =
        single(transaction, "SELECT rank FROM search WHERE rank >= ?1 ORDER BY rank DESC LIMIT 1", [rank::crowded()])?;
    let rank = greatest.map_or(rank::crowded(), |rank| rank + 1);
    insert_row(transaction, rank, row)?;
    transaction.prepare_cached("INSERT INTO crowded (at, seq, rank) VALUES (?1, ?2, ?3)")?.execute((
        integer(row.at.unix_ms()),
        integer(row.seq),
        rank,
    ))?;
    Ok(())
}

fn insert_row(transaction: &Transaction<'_>, rank: i64, row: &SearchRow) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO search (rank, seq, at, action, outcome, source, actor_type, actor_id, actor_email, resource_type, resource_id,
         resource_name, tenant_slug, partner_slug, client_ip) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.raw_bind_parameter(1, rank)?;
    statement.raw_bind_parameter(2, integer(row.seq))?;
    statement.raw_bind_parameter(3, integer(row.at.unix_ms()))?;
    for (column, place) in Column::ALL.into_iter().zip(4..) {
        statement.raw_bind_parameter(place, row.get(column))?;
    }
    statement.raw_execute()?;
    Ok(())
}

fn remove_rank(transaction: &Transaction<'_>, rank: i64) -> Result<(), Fault> {
    if rank >= rank::crowded() {
        let place: Option<(i64, i64)> = {
            let mut statement = transaction.prepare_cached("SELECT at, seq FROM search WHERE rank = ?1")?;
            let mut rows = statement.query([rank])?;
            rows.next()?.map(|row| Ok::<_, Fault>((row.get(0)?, row.get(1)?))).transpose()?
        };
        if let Some(place) = place {
            transaction.prepare_cached("DELETE FROM crowded WHERE at = ?1 AND seq = ?2")?.execute(place)?;
        }
    } else {
        transaction.prepare_cached("DELETE FROM terms WHERE rowid = ?1")?.execute([rank])?;
    }
    transaction.prepare_cached("DELETE FROM search WHERE rank = ?1")?.execute([rank])?;
    Ok(())
}

/// Gives the events of a millisecond their places anew, an older one among them: only what was archived and is restored
/// comes out of order.
fn rearrange(transaction: &Transaction<'_>, at: Timestamp, entry: &Entry, slots: u32) -> Result<(), Fault> {
    let mut ranks: Vec<i64> = Vec::new();
    let mut rows: Vec<SearchRow> = vec![entry.row.clone()];
    for sql in [
        format!("SELECT s.rank, {ROW} FROM search s WHERE s.rank BETWEEN ?1 AND ?2 AND ?3 IS NOT NULL"),
        format!("SELECT s.rank, {ROW} FROM crowded c CROSS JOIN search s ON s.rank = c.rank WHERE c.at = ?3 AND ?1 < ?2"),
    ] {
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut found = statement.query((rank::first(at), rank::last(at), integer(at.unix_ms())))?;
        while let Some(row) = found.next()? {
            ranks.push(row.get(0)?);
            rows.push(read_row(row, 1)?);
        }
    }
    for rank in ranks {
        remove_rank(transaction, rank)?;
    }
    rows.sort_by_key(|row| row.seq);
    for (row, next) in rows.into_iter().zip(0..) {
        let entry = Entry::new(row);
        if next < slots {
            insert(transaction, rank::first(at) + i64::from(next), &entry)?;
        } else {
            insert_crowded(transaction, &entry)?;
        }
    }
    Ok(())
}
