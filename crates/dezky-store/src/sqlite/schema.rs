//! The tables, their versions, and how a connection is set up.

use std::path::Path;
use std::time::Duration;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Origin;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::fault::Fault;
use crate::error::StoreError;
use crate::identity::Identity;

/// "DzAu": tells `file` and us whose file this is.
const APPLICATION_ID: i64 = 0x447A_4175;

/// What brings a file from version n to n + 1, in order. A migration that has been released never changes.
const MIGRATIONS: &[&str] = &[include_str!("schema/v1.sql"), include_str!("schema/v2.sql")];

/// How connections are set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) busy_timeout: Duration,
    pub(super) max_pages: Option<u32>,
}

/// A connection that writes.
pub(super) fn writer(path: &Path, setup: &Setup) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(setup.busy_timeout)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;",
    )?;
    if let Some(pages) = setup.max_pages {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path, setup: &Setup) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(setup.busy_timeout)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Brings the file to the newest version, and settles whose log it is.
pub(super) fn prepare(connection: &mut Connection, identity: Identity) -> Result<Origin, Fault> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION_ID && (application, version, tables) != (0, 0, 0) {
        return Err(StoreError::corrupt("the file is a SQLite database of some other program").into());
    }
    if version > known {
        let number = |version: i64| u64::try_from(version).unwrap_or(0);
        return Err(StoreError::NewerSchema { found: number(version), known: number(known) }.into());
    }
    for (migration, done) in MIGRATIONS.iter().zip(1_i64..).filter(|(_, done)| *done > version) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", done)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let stored: Option<String> = transaction.query_row("SELECT origin FROM log", (), |row| row.get(0)).optional()?;
    let stored = stored.map(Origin::new).transpose().map_err(|_| StoreError::corrupt("the stored origin is none"))?;
    let fresh = stored.is_none();
    let origin = identity.settle(stored)?;
    if fresh {
        let genesis: Hash = origin.genesis();
        transaction.execute(
            "INSERT INTO log (id, origin, size, hash, peaks, border) VALUES (1, ?1, 0, ?2, x'', 0)",
            (origin.as_str(), genesis.as_bytes()),
        )?;
    }
    transaction.commit()?;
    Ok(origin)
}
