//! The document of an event: its line, what proves its place, and its search copy beside it.
//!
//! `_id` is the seq. `hash`, `key`, `tenant` and `peaks` stay for ever, as the stub of an event that has left hot storage;
//! all else goes with the line.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use mongodb::bson::{Document, RawBsonRef, RawDocument, doc};

use super::value::{blob, bytes, damaged, date, integer, joined, member, number, optional_hash, optional_time, part, text};
use crate::copy::Difference;
use crate::error::StoreError;
use crate::log::{DedupeKey, NewEvent, Receipt, Stored, TenantPlace};
use crate::projection::{Column, SearchRow, fold};

/// Peaks that are stored with an event.
#[derive(Debug, Default, Clone)]
pub(super) struct Marks {
    /// Of the log's tree.
    pub(super) peaks: Option<Vec<Hash>>,
    /// Of the tenant's.
    pub(super) tenant_peaks: Option<Vec<Hash>>,
}

/// The document of a new event.
pub(super) fn encode(event: &NewEvent, marks: &Marks) -> Document {
    let mut document = doc! { "_id": integer(event.seq.get()) };
    document.extend(copy(&SearchRow::derive(event.seq.get(), &event.line)));
    document.insert("recorded_at", date(event.recorded_at));
    document.insert("hash", blob(*event.hash.as_bytes()));
    if let Some(key) = &event.key {
        document.insert("key", encode_key(key));
    }
    if let Some(place) = &event.tenant {
        let mut tenant = doc! { "slug": place.slug.as_str(), "seq": integer(place.tenant_seq) };
        if let Some(peaks) = &marks.tenant_peaks {
            tenant.insert("peaks", joined(peaks));
        }
        document.insert("tenant", tenant);
    }
    if let Some(peaks) = &marks.peaks {
        document.insert("peaks", joined(peaks));
    }
    document.insert("line", blob(event.line.as_slice()));
    document
}

fn encode_key(key: &DedupeKey) -> Document {
    let mut encoded = doc! { "source": key.source.as_str(), "external_id": key.external_id.as_str() };
    if let Some(mac) = &key.content_mac {
        encoded.insert("mac", blob(*mac.as_bytes()));
    }
    encoded
}

/// The search copy: one member for each column that has a value, and the folded texts in one.
pub(super) fn copy(row: &SearchRow) -> Document {
    let mut copy = doc! { "at": date(row.at) };
    for column in Column::ALL {
        if let Some(value) = row.get(column) {
            copy.insert(column.as_str(), value);
        }
    }
    let texts = folded(row);
    if !texts.is_empty() {
        copy.insert("text", texts);
    }
    copy
}

/// The members that go when an event leaves hot storage, or are replaced when its line is.
pub(super) fn copied_members() -> impl Iterator<Item = &'static str> {
    ["at", "text"].into_iter().chain(Column::ALL.map(Column::as_str))
}

fn folded(row: &SearchRow) -> String {
    let texts: Vec<String> = Column::TEXT.iter().filter_map(|column| row.get(*column)).map(fold).collect();
    texts.join("\n")
}

/// What the search copy says. A member of another type than ours gives its text, so that the check can name it.
pub(super) fn row(document: &RawDocument, seq: u64) -> SearchRow {
    let at = optional_time(document, "at").unwrap_or(Timestamp::MIN);
    SearchRow::from_parts(seq, at, Column::ALL.map(|column| shown(document, column.as_str())))
}

fn shown(document: &RawDocument, key: &str) -> Option<Box<str>> {
    match member(document, key)? {
        RawBsonRef::String(text) => Some(text.into()),
        RawBsonRef::Null => None,
        other => Some(format!("{other:?}").into()),
    }
}

/// How the search copy differs from what the line says.
pub(super) fn differences(document: &RawDocument, stored: &Stored) -> Vec<Difference> {
    let derived = SearchRow::derive(stored.seq, &stored.line);
    let mut differences = derived.differences(&row(document, stored.seq));
    let (expected, actual) = (folded(&derived), shown(document, "text").unwrap_or_default());
    if expected != *actual {
        differences.push(Difference { column: "text", expected, actual: actual.into() });
    }
    if optional_time(document, "at").is_none() && differences.iter().all(|difference| difference.column != "at") {
        differences.push(Difference { column: "at", expected: derived.at.to_string(), actual: String::new() });
    }
    differences
}

/// The event, as long as it is hot. A line that is neither bytes nor text is shown as the text of what it is.
pub(super) fn stored(document: &RawDocument) -> Result<Option<Stored>, StoreError> {
    let Some(value) = member(document, "line") else { return Ok(None) };
    let line = bytes(document, "line").map_or_else(|| format!("{value:?}").into_bytes(), <[u8]>::to_vec);
    Ok(Some(Stored { seq: number(document, "_id")?, line }))
}

/// The event's place in its tenant's stream.
pub(super) fn place(document: &RawDocument) -> Result<Option<TenantPlace>, StoreError> {
    let Some(tenant) = part(document, "tenant") else { return Ok(None) };
    let slug = TenantSlug::new(text(tenant, "slug")?).map_err(|_| damaged("a tenant's slug", "tenant"))?;
    Ok(Some(TenantPlace { slug, tenant_seq: number(tenant, "seq")? }))
}

/// The key of an event, and what is remembered of it.
pub(super) fn receipt(document: &RawDocument) -> Result<(Source, ExternalId, Receipt), StoreError> {
    let key = part(document, "key").ok_or_else(|| damaged("a key", "key"))?;
    let source = Source::new(text(key, "source")?).map_err(|_| damaged("a source", "key"))?;
    let external_id = ExternalId::new(text(key, "external_id")?).map_err(|_| damaged("an external id", "key"))?;
    let hash = optional_hash(document, "hash").ok_or_else(|| damaged("a hash", "hash"))?;
    let seq = Seq::new(number(document, "_id")?).ok_or_else(|| damaged("a position", "_id"))?;
    Ok((source, external_id, Receipt { seq, hash, content_mac: optional_hash(key, "mac") }))
}

/// A name as a key of a document: as it is, or, with other characters than letters, digits, `-` and `_`, in hex.
pub(super) fn key_of(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain { name.to_owned() } else { format!("~{}", data_encoding::HEXLOWER.encode(name.as_bytes())) }
}
