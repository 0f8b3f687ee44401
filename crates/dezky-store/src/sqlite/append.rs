//! The one transaction that writes history.

use std::collections::BTreeMap;
use std::time::Duration;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::TenantSlug;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::fault::Fault;
use super::value::{hash, hashes, integer, joined, number, seq};
use crate::batch::{Branch, Trunk, grow_branches};
use crate::error::StoreError;
use crate::log::{Append, Head, NewEvent, TenantHead, Tip};

/// Positions in a block of the table `recorded`.
pub(super) const BLOCK: u64 = 1_024;

/// The most tenants whose streams are kept in memory.
const MAX_BRANCHES: usize = 4_096;

/// The connection that writes, and what its thread remembers of the log's end between appends.
pub(super) struct WriteSide {
    pub(super) connection: Connection,
    pub(super) busy_timeout: Duration,
    /// True as long as the log ends at its tip: another process may have written meanwhile.
    trunk: Option<Trunk>,
    /// The streams of tenants as they are at the tip of `trunk`.
    branches: BTreeMap<TenantSlug, Branch>,
}

impl WriteSide {
    pub(super) const fn new(connection: Connection, busy_timeout: Duration) -> Self {
        Self { connection, busy_timeout, trunk: None, branches: BTreeMap::new() }
    }

    /// Forgets what it remembers, after a change that is no append.
    pub(super) fn forget(&mut self) {
        self.trunk = None;
        self.branches.clear();
    }

    /// Appends a checked batch.
    pub(super) fn append(&mut self, expected: Tip, batch: &[NewEvent]) -> Result<Append, Fault> {
        let remembered = self.trunk.take();
        let branches = std::mem::take(&mut self.branches);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = read_head(&transaction)?;
        if head.tip() != expected {
            return Ok(Append::Conflict);
        }
        let (mut trunk, mut branches) = match remembered {
            Some(trunk) if trunk.tip() == expected => (trunk, branches),
            _ => (Trunk::load(&head, |level, index| read_tile(&transaction, level, index).map_err(Into::into))?, BTreeMap::new()),
        };
        if branches.len() > MAX_BRANCHES {
            branches.clear();
        }
        grow_branches(&mut branches, batch, |tenant| read_tenant_head(&transaction, tenant.as_str()).map_err(Into::into))?;
        let tiles = trunk.grow(batch)?;
        if !insert_events(&transaction, batch)? {
            return Ok(Append::Conflict);
        }
        put_tenant_heads(&transaction, batch, &branches)?;
        for tile in tiles {
            put_tile(&transaction, tile.id.level(), tile.id.index(), &tile.hashes)?;
        }
        put_recorded(&transaction, batch)?;
        put_head(&transaction, &trunk.head())?;
        match transaction.commit() {
            Ok(()) => {}
            // The frames may lie in the file, whole, for a later recovery to find.
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => return Ok(Append::OutcomeUnknown),
            Err(e) => return Err(e.into()),
        }
        self.trunk = Some(trunk);
        self.branches = branches;
        Ok(Append::Appended { n: batch.len() })
    }

    /// Does other writes in one transaction, durable on return.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// The same for what can be made anew: consistent after a power failure, but perhaps not there.
    pub(super) fn write_lazily<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        let result = self.write(work);
        self.connection.execute_batch("PRAGMA synchronous = FULL")?;
        result
    }

    /// How long this connection waits for a lock, for the time of a single job.
    pub(super) fn patiently(&self, patience: Duration) -> Result<(), Fault> {
        Ok(self.connection.busy_timeout(patience)?)
    }
}

pub(super) fn read_head(connection: &Connection) -> Result<Head, Fault> {
    let mut statement = connection.prepare_cached("SELECT size, hash, peaks FROM log WHERE id = 1")?;
    let mut rows = statement.query(())?;
    let row = rows.next()?.ok_or_else(|| StoreError::corrupt("its table 'log' is empty"))?;
    Ok(Head { size: number(row, 0)?, hash: hash(row, 1)?, peaks: hashes(row, 2)? })
}

pub(super) fn put_head(transaction: &Transaction<'_>, head: &Head) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached("UPDATE log SET size = ?1, hash = ?2, peaks = ?3 WHERE id = 1")?;
    statement.execute((integer(head.size), head.hash.as_bytes(), joined(&head.peaks)))?;
    Ok(())
}

pub(super) fn read_tile(connection: &Connection, level: u8, index: u64) -> Result<Option<Vec<Hash>>, Fault> {
    let mut statement = connection.prepare_cached("SELECT hashes FROM tile WHERE id = ?1")?;
    let mut rows = statement.query([tile_id(level, index)])?;
    rows.next()?.map(|row| hashes(row, 0)).transpose()
}

pub(super) fn put_tile(transaction: &Transaction<'_>, level: u8, index: u64, hashes: &[Hash]) -> Result<(), Fault> {
    let sql = "INSERT INTO tile (id, hashes) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET hashes = excluded.hashes";
    transaction.prepare_cached(sql)?.execute((tile_id(level, index), joined(hashes)))?;
    Ok(())
}

/// No tree of ours has tiles beyond level 7 or index 2^48.
fn tile_id(level: u8, index: u64) -> i64 {
    if level > 7 || index >> 48 != 0 { -1 } else { i64::from(level) << 48 | integer(index) }
}

pub(super) fn read_tenant_head(connection: &Connection, tenant: &str) -> Result<Option<TenantHead>, Fault> {
    let sql = "SELECT tenant_seq, seq, hash, peaks FROM tenant_head WHERE slug = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([tenant])?;
    rows.next()?.map(|row| tenant_head(row, 0)).transpose()
}

/// A tenant's head from the four columns that begin at `column`.
pub(super) fn tenant_head(row: &Row<'_>, column: usize) -> Result<TenantHead, Fault> {
    let tenant_seq = number(row, column)?;
    Ok(TenantHead { tenant_seq, seq: seq(row, column + 1)?, hash: hash(row, column + 2)?, peaks: hashes(row, column + 3)? })
}

pub(super) fn put_tenant_head(transaction: &Transaction<'_>, tenant: &str, head: &TenantHead) -> Result<(), Fault> {
    let sql = "INSERT INTO tenant_head (slug, tenant_seq, seq, hash, peaks) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET tenant_seq = excluded.tenant_seq, seq = excluded.seq, hash = excluded.hash, peaks = excluded.peaks";
    let peaks = joined(&head.peaks);
    let values = (tenant, integer(head.tenant_seq), integer(head.seq.get()), head.hash.as_bytes(), peaks);
    transaction.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Inserts lines and keys; false when a key is there already.
fn insert_events(transaction: &Transaction<'_>, batch: &[NewEvent]) -> Result<bool, Fault> {
    let mut event_row = transaction.prepare_cached("INSERT INTO event (seq, line) VALUES (?1, ?2)")?;
    let mut receipt_row = transaction.prepare_cached(
        "INSERT INTO receipt (source, external_id, seq, hash, mac) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )?;
    for event in batch {
        let seq = integer(event.seq.get());
        event_row.execute((seq, &event.line))?;
        if let Some(key) = &event.key {
            let mac = key.content_mac.as_ref().map(Hash::as_bytes);
            let values = (key.source.as_str(), key.external_id.as_str(), seq, event.hash.as_bytes(), mac);
            if receipt_row.execute(values)? == 0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Writes the head of each tenant of the batch, once.
fn put_tenant_heads(
    transaction: &Transaction<'_>,
    batch: &[NewEvent],
    branches: &BTreeMap<TenantSlug, Branch>,
) -> Result<(), Fault> {
    for event in batch {
        let Some(place) = &event.tenant else { continue };
        let head = branches.get(&place.slug).and_then(Branch::head);
        if let Some(head) = head.filter(|head| head.seq == event.seq) {
            put_tenant_head(transaction, place.slug.as_str(), &head)?;
        }
    }
    Ok(())
}

fn put_recorded(transaction: &Transaction<'_>, batch: &[NewEvent]) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO recorded (block, earliest) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET earliest = min(earliest, excluded.earliest)",
    )?;
    for block in batch.chunk_by(|a, b| a.seq.get() / BLOCK == b.seq.get() / BLOCK) {
        if let (Some(first), Some(earliest)) = (block.first(), block.iter().map(|event| event.recorded_at).min()) {
            statement.execute((integer(first.seq.get() / BLOCK), integer(earliest.unix_ms())))?;
        }
    }
    Ok(())
}

/// The only value of the only row of a query, if there is one.
pub(super) fn single<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Option<T>, Fault> {
    Ok(connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()?)
}
