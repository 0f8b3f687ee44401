//! The check of the copy, and making it anew.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::SqliteStore;
use super::append::read_head;
use super::index::{self, Entry, ROW, read_row};
use super::indexer::{SLICE, apply, copied, next_slice};
use super::rank;
use super::value::{bounds, bytes, integer, number};
use crate::copy::{Checked, Difference, SearchCopy};
use crate::error::StoreError;
use crate::log::ReadLimit;
use crate::projection::SearchRow;

#[async_trait]
impl SearchCopy for SqliteStore {
    async fn check(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Checked>, StoreError> {
        self.read_side(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let end = copied(&snapshot)?;
            let sql = format!(
                "SELECT e.seq, e.line, s.rank, {ROW}, c.rank FROM event e LEFT JOIN search s ON s.seq = e.seq
                 LEFT JOIN crowded c ON c.at = s.at AND c.seq = s.seq WHERE e.seq BETWEEN ?1 AND ?2 ORDER BY e.seq"
            );
            let mut statement = snapshot.prepare_cached(&sql)?;
            let mut rows = statement.query(bounds(&range))?;
            let (mut checked, mut size) = (Vec::new(), 0);
            while checked.len() < limit.events
                && let Some(row) = rows.next()?
            {
                let (seq, line) = (number(row, 0)?, bytes(row, 1)?);
                size += line.len();
                if size > limit.bytes && !checked.is_empty() {
                    break;
                }
                let derived = SearchRow::derive(seq, &line);
                let differences = match row.get::<_, Option<i64>>(2)? {
                    Some(rank) => {
                        let mut differences = derived.differences(&read_row(row, 3)?);
                        let place = if rank < rank::crowded() { Some(rank) } else { row.get(17)? };
                        if differences.is_empty()
                            && (place != Some(rank) || rank < rank::crowded() && rank::time(rank) != derived.at)
                        {
                            let expected = format!("{} and up", rank::first(derived.at));
                            differences.push(Difference { column: "rank", expected, actual: rank.to_string() });
                        }
                        differences
                    }
                    None if seq <= end => {
                        vec![Difference { column: "*", expected: "a row".to_owned(), actual: String::new() }]
                    }
                    None => Vec::new(),
                };
                checked.push(Checked { seq, line, differences });
            }
            Ok(checked)
        })
        .await
    }

    async fn settle(&self) -> Result<(), StoreError> {
        let size = self.read_side(|connection| Ok(read_head(connection)?.size)).await?;
        let slots = self.slots;
        loop {
            let (end, slice) = self.read_side(|connection| Ok((copied(connection)?, next_slice(connection)?))).await?;
            let Some(slice) = slice.filter(|_| end < size) else { return Ok(()) };
            self.writer.run(move |side| apply(side, slice, slots)).await?;
        }
    }

    async fn rebuild(&self) -> Result<(), StoreError> {
        self.write_side(|transaction| {
            transaction.execute_batch(
                "DELETE FROM search; DELETE FROM crowded; INSERT INTO terms (terms) VALUES ('delete-all');
                 UPDATE copied SET up_to = (SELECT border FROM log)",
            )?;
            Ok(())
        })
        .await?;
        // Below the border lie only events that were restored; the indexer sees to the rest.
        let slots = self.slots;
        let mut from = 0;
        loop {
            let entries = self
                .read_side(move |connection| {
                    let sql =
                        "SELECT seq, line FROM event WHERE seq > ?1 AND seq <= (SELECT border FROM log) ORDER BY seq LIMIT ?2";
                    let mut statement = connection.prepare_cached(sql)?;
                    let mut rows = statement.query((integer(from), SLICE as i64))?;
                    let mut entries = Vec::new();
                    while let Some(row) = rows.next()? {
                        entries.push(Entry::new(SearchRow::derive(number(row, 0)?, &bytes(row, 1)?)));
                    }
                    Ok(entries)
                })
                .await?;
            let Some(last) = entries.last().map(Entry::seq) else { break };
            from = last;
            self.write_side(move |transaction| index::add(transaction, &entries, slots)).await?;
        }
        self.settle().await
    }
}
