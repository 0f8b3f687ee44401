//! The check of the copy, and making it anew.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::SqliteStore;
use super::append::read_head;
use super::index::{self, ROW, read_row};
use super::indexer::{apply, copied, next_slice};
use super::segment::{MAX_EVENTS, Segment};
use super::shelf::{self, merge, next_merger};
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
                "SELECT e.seq, e.line, {ROW} FROM event e LEFT JOIN search s ON s.seq = e.seq
                 WHERE e.seq BETWEEN ?1 AND ?2 ORDER BY e.seq"
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
                    Some(_) => derived.differences(&read_row(row, 2)?),
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
        loop {
            let (end, slice) = self.read_side(|connection| Ok((copied(connection)?, next_slice(connection)?))).await?;
            let Some(slice) = slice.filter(|_| end < size) else { break };
            self.writer.run(move |side| apply(side, &slice)).await?;
        }
        self.tidy().await
    }

    async fn rebuild(&self) -> Result<(), StoreError> {
        self.write_side(|transaction| {
            transaction.execute_batch(
                "DELETE FROM search; DELETE FROM segment; DELETE FROM place; DELETE FROM posting;
                 UPDATE copied SET up_to = (SELECT border FROM log)",
            )?;
            Ok(())
        })
        .await?;
        // Below the border lie only events that were restored; the indexer sees to the rest.
        let mut from = 0;
        loop {
            let (rows, segment) = self
                .read_side(move |connection| {
                    let sql =
                        "SELECT seq, line FROM event WHERE seq > ?1 AND seq <= (SELECT border FROM log) ORDER BY seq LIMIT ?2";
                    let mut statement = connection.prepare_cached(sql)?;
                    let mut found = statement.query((integer(from), MAX_EVENTS as i64))?;
                    let mut rows = Vec::new();
                    while let Some(row) = found.next()? {
                        rows.push(SearchRow::derive(number(row, 0)?, &bytes(row, 1)?));
                    }
                    let segment = Segment::build(&rows);
                    Ok((rows, segment))
                })
                .await?;
            let (Some(last), Some(segment)) = (rows.last().map(|row| row.seq), segment) else { break };
            from = last;
            self.write_side(move |transaction| {
                index::put_rows(transaction, &rows)?;
                shelf::put(transaction, &segment)
            })
            .await?;
        }
        self.settle().await
    }
}

impl SqliteStore {
    /// Merges segments until all is well.
    pub(super) async fn tidy(&self) -> Result<(), StoreError> {
        while let Some(merger) = self.read_side(next_merger).await? {
            self.writer.run(move |side| side.write_lazily(|transaction| merge(transaction, &merger))).await?;
        }
        Ok(())
    }
}
