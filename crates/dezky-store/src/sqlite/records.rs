//! The small state: checkpoints, bookmarks, batches, leases, runs, documents, settings.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;
use rusqlite::{Connection, Params, Row, Transaction};

use super::SqliteStore;
use super::append::{read_head, single};
use super::fault::Fault;
use super::value::{bounds, hash, integer, number, time};
use crate::archives::{Archives, BatchId, BatchRecord, Intent};
use crate::bookmarks::{Bookmark, Bookmarks, Swap};
use crate::checkpoints::{CheckpointRecord, Checkpoints};
use crate::directory::{Change, Directory, Document, OutboxEntry};
use crate::error::StoreError;
use crate::leases::{Fence, Lease, Leases};
use crate::limits;
use crate::runs::{Runs, VerificationRun};
use crate::settings::Settings;

/// Refuses a fence that is not the newest of its lease.
pub(super) fn guard(transaction: &Transaction<'_>, fence: &Fence) -> Result<(), Fault> {
    let newest: Option<i64> = single(transaction, "SELECT token FROM lease WHERE name = ?1", [&fence.lease])?;
    if newest == Some(integer(fence.token)) { Ok(()) } else { Err(StoreError::Fenced { lease: fence.lease.clone() }.into()) }
}

/// Every row of a query.
fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(read(row)?);
    }
    Ok(values)
}

fn first<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(read).transpose()
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn checkpoint(row: &Row<'_>) -> Result<CheckpointRecord, Fault> {
    let (size, at, head_hash, root) = (number(row, 0)?, time(row, 1)?, hash(row, 2)?, hash(row, 3)?);
    Ok(CheckpointRecord { at, size, head_hash, root, reason: row.get(4)?, note: row.get(5)? })
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn put_checkpoint(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        limits::checkpoint(record)?;
        let record = record.clone();
        self.write_side(move |transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO checkpoint (size, at, head_hash, root, reason, note, note_digest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?;
            let digest = Hash::of(record.note.as_bytes());
            statement.execute((
                integer(record.size),
                integer(record.at.unix_ms()),
                record.head_hash.as_bytes(),
                record.root.as_bytes(),
                &record.reason,
                &record.note,
                digest.as_bytes(),
            ))?;
            Ok(())
        })
        .await
    }

    async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        self.read_side(|connection| {
            let sql = "SELECT size, at, head_hash, root, reason, note FROM checkpoint ORDER BY size DESC, id DESC LIMIT 1";
            first(connection, sql, (), checkpoint)
        })
        .await
    }

    async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        self.read_side(move |connection| {
            let sql = "SELECT size, at, head_hash, root, reason, note FROM checkpoint WHERE size = ?1 ORDER BY id DESC LIMIT 1";
            first(connection, sql, [integer(size)], checkpoint)
        })
        .await
    }

    async fn checkpoint_covering(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        self.read_side(move |connection| {
            let sql =
                "SELECT size, at, head_hash, root, reason, note FROM checkpoint WHERE size >= ?1 ORDER BY size, id DESC LIMIT 1";
            first(connection, sql, [integer(size)], checkpoint)
        })
        .await
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError> {
        self.read_side(move |connection| {
            let sql =
                "SELECT size, at, head_hash, root, reason, note FROM checkpoint WHERE size > ?1 AND size <= ?2 ORDER BY size, id";
            let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
            let edge = "SELECT size FROM checkpoint WHERE size > ?1 ORDER BY size, id LIMIT 1 OFFSET ?2";
            let edge: Option<i64> = single(connection, edge, (integer(after), rows(last)))?;
            all(connection, sql, (integer(after), edge.unwrap_or(i64::MAX)), checkpoint)
        })
        .await
    }
}

#[async_trait]
impl Bookmarks for SqliteStore {
    async fn bookmark(&self, name: &str) -> Result<Option<Bookmark>, StoreError> {
        let name = name.to_owned();
        self.read_side(move |connection| {
            first(connection, "SELECT version, value FROM bookmark WHERE name = ?1", [name], |row| {
                Ok(Bookmark { version: number(row, 0)?, value: row.get(1)? })
            })
        })
        .await
    }

    async fn move_bookmark(&self, name: &str, expected: u64, value: &str) -> Result<Swap, StoreError> {
        limits::bookmark(name, value)?;
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write_side(move |transaction| {
            let read = |row: &Row<'_>| number(row, 0);
            let version = first(transaction, "SELECT version FROM bookmark WHERE name = ?1", [&name], read)?.unwrap_or(0);
            if version != expected {
                return Ok(Swap::Conflict { version });
            }
            let sql = "INSERT OR REPLACE INTO bookmark (name, version, value) VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(sql)?.execute((name, integer(version + 1), value))?;
            Ok(Swap::Done { version: version + 1 })
        })
        .await
    }
}

fn batch(row: &Row<'_>) -> Result<BatchRecord, Fault> {
    let id = BatchId { start: number(row, 0)?, end: number(row, 1)?, revision: row.get(2)? };
    Ok(BatchRecord { id, document: row.get(3)? })
}

#[async_trait]
impl Archives for SqliteStore {
    async fn archive_intent(&self) -> Result<Option<Intent>, StoreError> {
        self.read_side(|connection| {
            first(connection, "SELECT first, last, document FROM archive_intent WHERE id = 1", (), |row| {
                Ok(Intent { start: number(row, 0)?, end: number(row, 1)?, document: row.get(2)? })
            })
        })
        .await
    }

    async fn set_archive_intent(&self, intent: Option<&Intent>, fence: &Fence) -> Result<(), StoreError> {
        limits::intent(intent)?;
        let (intent, fence) = (intent.cloned(), fence.clone());
        self.write_side(move |transaction| {
            guard(transaction, &fence)?;
            transaction.execute("DELETE FROM archive_intent", ())?;
            if let Some(Intent { start, end, document }) = intent {
                let sql = "INSERT INTO archive_intent (id, first, last, document) VALUES (1, ?1, ?2, ?3)";
                transaction.execute(sql, (integer(start), integer(end), document))?;
            }
            Ok(())
        })
        .await
    }

    async fn put_batch(&self, record: &BatchRecord, fence: &Fence) -> Result<(), StoreError> {
        limits::batch(record)?;
        let (record, fence) = (record.clone(), fence.clone());
        self.write_side(move |transaction| {
            guard(transaction, &fence)?;
            put_batch(transaction, &record)
        })
        .await
    }

    async fn batches(&self, range: RangeInclusive<u64>, limit: usize) -> Result<Vec<BatchRecord>, StoreError> {
        self.read_side(move |connection| {
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let (low, high) = bounds(&range);
            let sql = "SELECT first, last, revision, document FROM batch b WHERE first <= ?2 AND last >= ?1
                AND first >= coalesce((SELECT max(first) FROM batch WHERE first <= ?1), 0)
                AND revision = (SELECT max(revision) FROM batch WHERE first = b.first) ORDER BY first LIMIT ?3";
            all(connection, sql, (low, high, rows(limit)), batch)
        })
        .await
    }

    async fn newest_batch(&self) -> Result<Option<BatchRecord>, StoreError> {
        self.read_side(|connection| {
            let sql = "SELECT first, last, revision, document FROM batch ORDER BY first DESC, revision DESC LIMIT 1";
            first(connection, sql, (), batch)
        })
        .await
    }
}

fn put_batch(transaction: &Transaction<'_>, record: &BatchRecord) -> Result<(), Fault> {
    let BatchId { start, end, revision } = record.id;
    if end > read_head(transaction)?.size {
        return Err(StoreError::refused(format!("batch {start}–{end} reaches beyond the head")).into());
    }
    // Batches do not overlap, so only the one that begins last before the end can cross.
    let before = "SELECT first, last, revision, document FROM batch WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
    if let Some(other) = first(transaction, before, [integer(end)], batch)?
        && other.id.end >= start
        && (other.id.start, other.id.end) != (start, end)
    {
        return Err(limits::crossing(&record.id, &other.id).into());
    }
    let known: Option<String> =
        single(transaction, "SELECT document FROM batch WHERE first = ?1 AND revision = ?2", (integer(start), revision))?;
    match known {
        Some(document) if document != record.document => Err(limits::other_document(&record.id).into()),
        Some(_) => Ok(()),
        None => {
            let sql = "INSERT INTO batch (first, last, revision, document) VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(sql, (integer(start), integer(end), revision, &record.document))?;
            Ok(())
        }
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration, now: Timestamp) -> Result<Lease, StoreError> {
        limits::lease(name, holder)?;
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write_side(move |transaction| {
            let until = limits::later(now, ttl);
            let held = first(transaction, "SELECT token, holder, until FROM lease WHERE name = ?1", [&name], |row| {
                Ok((number(row, 0)?, row.get::<_, String>(1)?, time(row, 2)?))
            })?;
            let token = match held {
                Some((_, other, until)) if until > now && other != holder => return Ok(Lease::Taken { holder: other, until }),
                Some((token, _, until)) if until > now => token,
                Some((token, _, _)) => token + 1,
                None => 1,
            };
            let sql = "INSERT OR REPLACE INTO lease (name, token, holder, until) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute((&name, integer(token), holder, integer(until.unix_ms())))?;
            Ok(Lease::Held { fence: Fence { lease: name, token }, until })
        })
        .await
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let fence = fence.clone();
        self.write_side(move |transaction| {
            let sql = "UPDATE lease SET until = 0 WHERE name = ?1 AND token = ?2";
            transaction.prepare_cached(sql)?.execute((fence.lease, integer(fence.token)))?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Runs for SqliteStore {
    async fn add_run(&self, run: &VerificationRun) -> Result<(), StoreError> {
        limits::run(run)?;
        let run = run.clone();
        self.write_side(move |transaction| {
            transaction.execute("INSERT INTO run (at, report) VALUES (?1, ?2)", (integer(run.at.unix_ms()), run.report))?;
            Ok(())
        })
        .await
    }

    async fn runs(&self, limit: usize) -> Result<Vec<VerificationRun>, StoreError> {
        self.read_side(move |connection| {
            all(connection, "SELECT at, report FROM run ORDER BY id DESC LIMIT ?1", [rows(limit)], |row| {
                Ok(VerificationRun { at: time(row, 0)?, report: row.get(1)? })
            })
        })
        .await
    }
}

fn document(row: &Row<'_>) -> Result<Document, Fault> {
    Ok(Document { key: row.get(0)?, version: number(row, 1)?, body: row.get(2)? })
}

#[async_trait]
impl Directory for SqliteStore {
    async fn document(&self, collection: &str, key: &str) -> Result<Option<Document>, StoreError> {
        let place = (collection.to_owned(), key.to_owned());
        self.read_side(move |connection| {
            let sql = "SELECT key, version, body FROM document WHERE collection = ?1 AND key = ?2";
            first(connection, sql, place, document)
        })
        .await
    }

    async fn documents(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let behind = (collection.to_owned(), after.unwrap_or_default().to_owned(), rows(limit));
        self.read_side(move |connection| {
            let sql = "SELECT key, version, body FROM document WHERE collection = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
            all(connection, sql, behind, document)
        })
        .await
    }

    async fn change_document(&self, change: &Change, outbox: &[String]) -> Result<Swap, StoreError> {
        limits::change(change, outbox)?;
        let (change, outbox) = (change.clone(), outbox.to_vec());
        self.write_side(move |transaction| {
            let Change { collection, key, expected, body } = change;
            let sql = "SELECT version FROM document WHERE collection = ?1 AND key = ?2";
            let version = first(transaction, sql, (&collection, &key), |row| number(row, 0))?.unwrap_or(0);
            if version != expected {
                return Ok(Swap::Conflict { version });
            }
            let sql = "INSERT OR REPLACE INTO document (collection, key, version, body) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute((collection, key, integer(version + 1), body))?;
            for entry in outbox {
                transaction.prepare_cached("INSERT INTO outbox (body) VALUES (?1)")?.execute([entry])?;
            }
            Ok(Swap::Done { version: version + 1 })
        })
        .await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        self.read_side(move |connection| {
            all(connection, "SELECT id, body FROM outbox ORDER BY id LIMIT ?1", [rows(limit)], |row| {
                Ok(OutboxEntry { id: number(row, 0)?, body: row.get(1)? })
            })
        })
        .await
    }

    async fn ack_outbox(&self, ids: &[u64]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write_side(move |transaction| {
            let mut statement = transaction.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
            for id in ids {
                statement.execute([integer(id)])?;
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Settings for SqliteStore {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.read_side(move |connection| single(connection, "SELECT value FROM setting WHERE name = ?1", [name])).await
    }

    async fn get_or_create_setting(&self, name: &str, value: &str) -> Result<String, StoreError> {
        limits::setting(name, value)?;
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write_side(move |transaction| {
            let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            transaction.execute(sql, (&name, &value))?;
            Ok(single(transaction, "SELECT value FROM setting WHERE name = ?1", [&name])?.unwrap_or(value))
        })
        .await
    }
}
