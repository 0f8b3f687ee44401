//! Values between Rust and BSON. What is read back may have been written by anybody with a plain client, so numbers are
//! taken from any numeric type that holds them exactly, and bytes from texts.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, RawBsonRef, RawDocument};

use crate::error::StoreError;

/// A number that fits, as all of ours do: positions and times end at 2^53.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn blob(bytes: impl Into<Vec<u8>>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.into() }
}

pub(super) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(integer(time.unix_ms()))
}

pub(super) fn joined(hashes: &[Hash]) -> Binary {
    blob(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>())
}

/// A list of positions.
pub(super) fn positions(range: std::ops::RangeInclusive<u64>) -> Vec<Bson> {
    range.map(|seq| Bson::Int64(integer(seq))).collect()
}

/// A member; what cannot be read counts as absent.
pub(super) fn member<'a>(document: &'a RawDocument, key: &str) -> Option<RawBsonRef<'a>> {
    document.get(key).ok().flatten()
}

pub(super) fn part<'a>(document: &'a RawDocument, key: &str) -> Option<&'a RawDocument> {
    member(document, key)?.as_document()
}

pub(super) fn number(document: &RawDocument, key: &str) -> Result<u64, StoreError> {
    member(document, key).and_then(whole).ok_or_else(|| damaged("a number", key))
}

fn whole(value: RawBsonRef<'_>) -> Option<u64> {
    match value {
        RawBsonRef::Int64(number) => u64::try_from(number).ok(),
        RawBsonRef::Int32(number) => u64::try_from(number).ok(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked before")]
        RawBsonRef::Double(number) if (0.0..9e15).contains(&number) && number.fract() == 0.0 => Some(number as u64),
        _ => None,
    }
}

pub(super) fn seq(document: &RawDocument, key: &str) -> Result<Seq, StoreError> {
    Seq::new(number(document, key)?).ok_or_else(|| damaged("a position", key))
}

pub(super) fn time(document: &RawDocument, key: &str) -> Result<Timestamp, StoreError> {
    optional_time(document, key).ok_or_else(|| damaged("a time", key))
}

pub(super) fn optional_time(document: &RawDocument, key: &str) -> Option<Timestamp> {
    let ms = member(document, key)?.as_datetime()?.timestamp_millis();
    Timestamp::from_unix_ms(u64::try_from(ms).ok()?)
}

pub(super) fn text(document: &RawDocument, key: &str) -> Result<String, StoreError> {
    member(document, key).and_then(|value| Some(value.as_str()?.to_owned())).ok_or_else(|| damaged("a text", key))
}

/// The bytes of a member, also of a text that replaced them; `None` for anything else.
pub(super) fn bytes<'a>(document: &'a RawDocument, key: &str) -> Option<&'a [u8]> {
    match member(document, key)? {
        RawBsonRef::Binary(binary) => Some(binary.bytes),
        RawBsonRef::String(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn hash(document: &RawDocument, key: &str) -> Result<Hash, StoreError> {
    optional_hash(document, key).ok_or_else(|| damaged("a hash", key))
}

pub(super) fn optional_hash(document: &RawDocument, key: &str) -> Option<Hash> {
    Some(Hash::new(bytes(document, key)?.try_into().ok()?))
}

/// Hashes written one behind the other.
pub(super) fn hashes(document: &RawDocument, key: &str) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes(document, key)?.as_chunks::<32>();
    if rest.is_empty() { Some(hashes.iter().copied().map(Hash::new).collect()) } else { None }
}

pub(super) fn damaged(what: &str, key: &str) -> StoreError {
    StoreError::corrupt(format!("{what} is none in a document's '{key}'"))
}
