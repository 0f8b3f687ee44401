//! The rows of the search copy.

use rusqlite::{Connection, Row, Transaction};

use super::fault::Fault;
use super::value::{copied_time, integer, number, text};
use crate::projection::{Column, SearchRow};

/// The columns of a [`SearchRow`], as [`read_row`] reads them from column `first` on.
pub(super) const ROW: &str = "s.seq, s.at, s.action, s.outcome, s.source, s.actor_type, s.actor_id, s.actor_email, \
    s.resource_type, s.resource_id, s.resource_name, s.tenant_slug, s.partner_slug, s.client_ip";

pub(super) fn read_row(row: &Row<'_>, first: usize) -> Result<SearchRow, Fault> {
    let mut values: [Option<Box<str>>; Column::ALL.len()] = Default::default();
    for (value, column) in values.iter_mut().zip(first + 2..) {
        *value = text(row, column)?;
    }
    Ok(SearchRow::from_parts(number(row, first)?, copied_time(row, first + 1)?, values))
}

/// The rows of a range of events.
pub(super) fn read_rows(connection: &Connection, first: u64, last: u64) -> Result<Vec<SearchRow>, Fault> {
    let sql = format!("SELECT {ROW} FROM search s WHERE s.seq BETWEEN ?1 AND ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((integer(first), integer(last)))?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        read.push(read_row(row, 0)?);
    }
    Ok(read)
}

/// Writes rows, in the place of those that are there.
pub(super) fn put_rows(transaction: &Transaction<'_>, rows: &[SearchRow]) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO search (seq, at, action, outcome, source, actor_type, actor_id, actor_email, resource_type,
         resource_id, resource_name, tenant_slug, partner_slug, client_ip) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for row in rows {
        statement.raw_bind_parameter(1, integer(row.seq))?;
        statement.raw_bind_parameter(2, integer(row.at.unix_ms()))?;
        for (column, place) in Column::ALL.into_iter().zip(3..) {
            statement.raw_bind_parameter(place, row.get(column))?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}
