//! Values between Rust and SQLite. What is read back may have been written by anybody with the `sqlite3` tool, so bytes
//! are taken from whatever type they have, and numbers are checked.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{MAX_SAFE_INTEGER, Seq};
use dezky_audit_core::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::fault::Fault;
use crate::error::StoreError;

/// A number that fits, as all of ours do: positions and times end at 2^53.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The bytes of a column, also of text that replaced a blob; those of a number or null are its text.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> Result<Vec<u8>, Fault> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
        ValueRef::Integer(number) => number.to_string().into_bytes(),
        ValueRef::Real(number) => number.to_string().into_bytes(),
        ValueRef::Null => Vec::new(),
    })
}

/// The text of a column that may be null, or may have been given another type.
pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<Box<str>>, Fault> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into()),
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
    })
}

/// A number that is not negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64, Fault> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => u64::try_from(number).map_err(|_| damaged("a number")),
        _ => Err(damaged("a number")),
    }
}

pub(super) fn seq(row: &Row<'_>, column: usize) -> Result<Seq, Fault> {
    Seq::new(number(row, column)?).ok_or_else(|| damaged("a position"))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, Fault> {
    Timestamp::from_unix_ms(number(row, column)?).ok_or_else(|| damaged("a time"))
}

/// A time of the search copy: one that cannot be is shown as the earliest, so that the check of the copy can name it.
pub(super) fn copied_time(row: &Row<'_>, column: usize) -> Result<Timestamp, Fault> {
    let ms = match row.get_ref(column)? {
        ValueRef::Integer(ms) => u64::try_from(ms).ok(),
        _ => None,
    };
    Ok(ms.and_then(Timestamp::from_unix_ms).unwrap_or(Timestamp::MIN))
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> Result<Hash, Fault> {
    Ok(Hash::new(bytes(row, column)?.try_into().map_err(|_| damaged("a hash"))?))
}

pub(super) fn optional_hash(row: &Row<'_>, column: usize) -> Result<Option<Hash>, Fault> {
    if matches!(row.get_ref(column)?, ValueRef::Null) { Ok(None) } else { hash(row, column).map(Some) }
}

/// Hashes written one behind the other.
pub(super) fn hashes(row: &Row<'_>, column: usize) -> Result<Vec<Hash>, Fault> {
    let bytes = bytes(row, column)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.iter().copied().map(Hash::new).collect()) } else { Err(damaged("a row of hashes")) }
}

pub(super) fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The ends of a range of positions, cut to what can be stored.
pub(super) fn bounds(range: &std::ops::RangeInclusive<u64>) -> (i64, i64) {
    (integer((*range.start()).min(MAX_SAFE_INTEGER + 1)), integer((*range.end()).min(MAX_SAFE_INTEGER)))
}

pub(super) fn damaged(what: &str) -> Fault {
    StoreError::corrupt(format!("{what} in one of its tables is none")).into()
}
