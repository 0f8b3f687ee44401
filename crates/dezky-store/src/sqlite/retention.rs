//! Leaving hot storage, coming back, and withholding a part.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::event::{PartName, WithholdError, withhold};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use rusqlite::{Connection, Transaction};

use super::SqliteStore;
use super::append::{BLOCK, WriteSide, single};
use super::fault::Fault;
use super::index;
use super::indexer::copied;
use super::records::guard;
use super::segment::Segment;
use super::shelf;
use super::value::{bytes, integer, number, time};
use crate::archives::BatchId;
use crate::copy::SearchCopy;
use crate::error::StoreError;
use crate::leases::Fence;
use crate::log::Stored;
use crate::projection::SearchRow;
use crate::retention::{Hot, Restored, Retention, withheld_digest};

/// How many events leave hot storage in one transaction.
const SLICE: u64 = 1_024;
/// How many come back in one: each time they make a segment.
const RESTORED_SLICE: usize = 4_096;

#[async_trait]
impl Retention for SqliteStore {
    async fn hot(&self) -> Result<Hot, StoreError> {
        self.read_side(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = snapshot.prepare_cached("SELECT first, last, until FROM restored ORDER BY first, last")?;
            let mut rows = statement.query(())?;
            let mut restored = Vec::new();
            while let Some(row) = rows.next()? {
                restored.push(Restored { range: number(row, 0)?..=number(row, 1)?, until: time(row, 2)? });
            }
            Ok(Hot { border: border(&snapshot)?, restored })
        })
        .await
    }

    async fn last_recorded_before(&self, time: Timestamp) -> Result<Option<Seq>, StoreError> {
        self.read_side(move |connection| last_recorded_before(connection, time)).await
    }

    async fn delete_prefix(&self, batch: &BatchId, fence: &Fence) -> Result<(), StoreError> {
        // So that what is deleted has been counted; on a full disk making room comes first.
        match self.settle().await {
            Err(error) if !error.is_temporary() => return Err(error),
            _ => {}
        }
        loop {
            let (batch, fence) = (*batch, fence.clone());
            if self.writer.run(move |side| side.write(|transaction| delete_slice(transaction, &batch, &fence))).await? {
                return Ok(());
            }
        }
    }

    async fn restore(&self, range: RangeInclusive<u64>, until: Timestamp, lines: Vec<Stored>) -> Result<(), StoreError> {
        if let Some(stray) = lines.iter().find(|stored| !range.contains(&stored.seq)) {
            return Err(StoreError::refused(format!("seq {} lies outside {range:?}", stray.seq)));
        }
        let mut lines = lines;
        lines.sort_by_key(|stored| stored.seq);
        let mut slices = lines.chunks(RESTORED_SLICE).map(<[_]>::to_vec).collect::<Vec<_>>();
        if slices.is_empty() {
            slices.push(Vec::new());
        }
        for slice in slices {
            let range = range.clone();
            self.write_side(move |transaction| restore_slice(transaction, &range, until, slice)).await?;
        }
        Ok(())
    }

    async fn expire_restored(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write_side(move |transaction| {
            transaction.prepare_cached("DELETE FROM restored WHERE until <= ?1")?.execute([integer(now.unix_ms())])?;
            Ok(())
        })
        .await?;
        let mut removed = 0;
        loop {
            let slice = self.write_side(expire_slice).await?;
            if slice == 0 {
                return Ok(removed);
            }
            removed += slice;
        }
    }

    async fn withhold(&self, seq: Seq, part: PartName) -> Result<Option<Hash>, StoreError> {
        loop {
            self.settle().await?;
            // A settled copy may have been outrun by another process's append of this very event.
            match self.writer.run(move |side| withhold_part(side, seq, part)).await? {
                Withheld::Done(digest) => {
                    self.tidy().await?;
                    return Ok(digest);
                }
                Withheld::NotCopied => {}
            }
        }
    }
}

enum Withheld {
    Done(Option<Hash>),
    NotCopied,
}

fn withhold_part(side: &mut WriteSide, seq: Seq, part: PartName) -> Result<Withheld, Fault> {
    // What is deleted or replaced is overwritten, not just forgotten.
    side.connection.execute_batch("PRAGMA secure_delete = ON")?;
    let done = side.write(|transaction| {
        let mut statement = transaction.prepare_cached("SELECT line FROM event WHERE seq = ?1")?;
        let mut rows = statement.query([integer(seq.get())])?;
        let Some(line) = rows.next()?.map(|row| bytes(row, 0)).transpose()? else { return Ok(Withheld::Done(None)) };
        drop(rows);
        if copied(transaction)? < seq.get() {
            return Ok(Withheld::NotCopied);
        }
        let line = match withhold(&line, part) {
            Ok(line) => line,
            Err(WithholdError::NoSuchPart) => return Ok(Withheld::Done(None)),
            Err(WithholdError::NotAnEvent) => {
                return Err(StoreError::corrupt(format!("the line of seq {seq} is no event")).into());
            }
        };
        let digest = withheld_digest(&line, part)?;
        transaction.prepare_cached("UPDATE event SET line = ?2 WHERE seq = ?1")?.execute((integer(seq.get()), &line))?;
        index::put_rows(transaction, &[SearchRow::derive(seq.get(), &line)])?;
        shelf::mark_stale(transaction, seq.get())?;
        Ok(Withheld::Done(Some(digest)))
    });
    side.connection.execute_batch("PRAGMA secure_delete = OFF")?;
    let done = done?;
    // The old line still lies in the write-ahead log: it is emptied now, or, while others read, by a later checkpoint.
    side.patiently(Duration::from_secs(2))?;
    side.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    side.patiently(side.busy_timeout)?;
    Ok(done)
}

fn border(connection: &Connection) -> Result<u64, Fault> {
    let border: Option<i64> = single(connection, "SELECT border FROM log WHERE id = 1", ())?;
    Ok(border.and_then(|border| u64::try_from(border).ok()).unwrap_or(0))
}

fn last_recorded_before(connection: &Connection, time: Timestamp) -> Result<Option<Seq>, Fault> {
    let snapshot = connection.unchecked_transaction()?;
    let border = border(&snapshot)?;
    let mut blocks =
        snapshot.prepare_cached("SELECT block FROM recorded WHERE block >= ?1 AND earliest < ?2 ORDER BY block DESC")?;
    let mut lines = snapshot.prepare_cached("SELECT seq, line FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC")?;
    let mut found = blocks.query((integer(border / BLOCK), integer(time.unix_ms())))?;
    while let Some(row) = found.next()? {
        let first = number(row, 0)? * BLOCK;
        let mut rows = lines.query((integer(first.max(border + 1)), integer(first + BLOCK - 1)))?;
        while let Some(row) = rows.next()? {
            if recorded_at(&bytes(row, 1)?).is_some_and(|recorded| recorded < time) {
                return Ok(Seq::new(number(row, 0)?));
            }
        }
    }
    Ok(None)
}

/// `recordedAt` of a line.
fn recorded_at(line: &[u8]) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(rename = "recordedAt")]
        recorded_at: &'a str,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    Timestamp::parse_canonical(line.recorded_at.as_bytes())
}

/// Deletes the next events of a batch and moves the border behind them; true when that was the end of the batch.
fn delete_slice(transaction: &Transaction<'_>, batch: &BatchId, fence: &Fence) -> Result<bool, Fault> {
    guard(transaction, fence)?;
    let known: Option<i64> = single(
        transaction,
        "SELECT 1 FROM batch WHERE first = ?1 AND last = ?2 AND revision = ?3",
        (integer(batch.start), integer(batch.end), batch.revision),
    )?;
    if known.is_none() {
        return Err(StoreError::refused(format!("no batch {}–{} is recorded", batch.start, batch.end)).into());
    }
    let border = border(transaction)?;
    if batch.start > border + 1 {
        return Err(StoreError::refused(format!("batch {} does not begin behind border {border}", batch.start)).into());
    }
    if batch.end <= border {
        return Ok(true);
    }
    let last = batch.end.min(border + SLICE);
    delete(transaction, border + 1, last)?;
    transaction.prepare_cached("UPDATE log SET border = ?1 WHERE id = 1")?.execute([integer(last)])?;
    // A slice of the copy that was prepared before this does not fit any more.
    transaction.prepare_cached("UPDATE copied SET up_to = max(up_to, ?1) WHERE id = 1")?.execute([integer(last)])?;
    shelf::take_empty(transaction, last)?;
    // Blocks that lie behind the border are asked for no more.
    transaction.prepare_cached("DELETE FROM recorded WHERE block < ?1")?.execute([integer((last + 1) / BLOCK)])?;
    Ok(last == batch.end)
}

fn delete(transaction: &Transaction<'_>, first: u64, last: u64) -> Result<(), Fault> {
    let range = (integer(first), integer(last));
    transaction.prepare_cached("DELETE FROM search WHERE seq BETWEEN ?1 AND ?2")?.execute(range)?;
    transaction.prepare_cached("DELETE FROM event WHERE seq BETWEEN ?1 AND ?2")?.execute(range)?;
    Ok(())
}

fn restore_slice(
    transaction: &Transaction<'_>,
    range: &RangeInclusive<u64>,
    until: Timestamp,
    lines: Vec<Stored>,
) -> Result<(), Fault> {
    let border = border(transaction)?;
    if range.is_empty() || *range.start() == 0 || *range.end() > border {
        return Err(StoreError::refused(format!("{range:?} is not archived: the border is {border}")).into());
    }
    transaction
        .prepare_cached(
            "INSERT INTO restored (first, last, until) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET until = excluded.until",
        )?
        .execute((integer(*range.start()), integer(*range.end()), integer(until.unix_ms())))?;
    let mut insert = transaction.prepare_cached("INSERT INTO event (seq, line) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let mut rows = Vec::new();
    for Stored { seq, line } in lines {
        if insert.execute((integer(seq), &line))? == 1 {
            rows.push(SearchRow::derive(seq, &line));
        }
    }
    index::put_rows(transaction, &rows)?;
    Segment::build(&rows).map_or(Ok(()), |segment| shelf::put(transaction, &segment))
}

/// Deletes some events below the border that no restored range covers; returns how many.
fn expire_slice(transaction: &Transaction<'_>) -> Result<u64, Fault> {
    let mut find = transaction.prepare_cached(
        "SELECT seq FROM event e WHERE seq <= (SELECT border FROM log WHERE id = 1)
         AND NOT EXISTS (SELECT 1 FROM restored WHERE e.seq BETWEEN first AND last) ORDER BY seq LIMIT ?1",
    )?;
    let over = find.query_map([integer(SLICE)], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let mut n = 0;
    for seq in over.iter().filter_map(|seq| u64::try_from(*seq).ok()) {
        delete(transaction, seq, seq)?;
        n += 1;
    }
    shelf::take_empty(transaction, border(transaction)?)?;
    Ok(n)
}
