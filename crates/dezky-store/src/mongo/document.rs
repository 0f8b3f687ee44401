//! The document of an event: its line, what proves its place, and its search copy beside it.
//!
//! `_id` is the seq. `hash`, `key`, `tenant` and `peaks` stay for ever, as the stub of an event that has left hot storage;
//! all else goes with the line.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, Document, RawBinaryRef, RawBsonRef, RawDocument, RawDocumentBuf};

use super::value::{bytes, damaged, date, integer, joined, member, number, optional_hash, optional_time, part, text};
use crate::copy::Difference;
use crate::error::StoreError;
use crate::log::{DedupeKey, NewEvent, Receipt, Stored, TenantPlace};
use crate::projection::{Column, SearchRow, fold_into};

/// Peaks that are stored with an event.
#[derive(Debug, Default, Clone)]
pub(super) struct Marks {
    /// Of the log's tree.
    pub(super) peaks: Option<Vec<Hash>>,
    /// Of the tenant's.
    pub(super) tenant_peaks: Option<Vec<Hash>>,
}

/// The document of a new event.
pub(super) fn encode(event: &NewEvent, marks: &Marks) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), integer(event.seq.get()));
    each_copied(&SearchRow::derive(event.seq.get(), &event.line), |name, value| {
        // No name of ours has a NUL in it.
        if let Ok(name) = <&CStr>::try_from(name) {
            document.append(name, value);
        }
    });
    document.append(cstr!("recorded_at"), date(event.recorded_at));
    document.append(cstr!("hash"), generic(event.hash.as_bytes()));
    if let Some(key) = &event.key {
        document.append(cstr!("key"), encode_key(key));
    }
    if let Some(place) = &event.tenant {
        let mut tenant = RawDocumentBuf::new();
        tenant.append(cstr!("slug"), place.slug.as_str());
        tenant.append(cstr!("seq"), integer(place.tenant_seq));
        if let Some(peaks) = &marks.tenant_peaks {
            tenant.append(cstr!("peaks"), joined(peaks));
        }
        document.append(cstr!("tenant"), tenant);
    }
    if let Some(peaks) = &marks.peaks {
        document.append(cstr!("peaks"), joined(peaks));
    }
    document.append(cstr!("line"), generic(&event.line));
    document
}

fn encode_key(key: &DedupeKey) -> RawDocumentBuf {
    let mut encoded = RawDocumentBuf::new();
    encoded.append(cstr!("source"), key.source.as_str());
    encoded.append(cstr!("external_id"), key.external_id.as_str());
    if let Some(mac) = &key.content_mac {
        encoded.append(cstr!("mac"), generic(mac.as_bytes()));
    }
    encoded
}

const fn generic(bytes: &[u8]) -> RawBinaryRef<'_> {
    RawBinaryRef { subtype: BinarySubtype::Generic, bytes }
}

/// The search copy, to replace one.
pub(super) fn copy(row: &SearchRow) -> Document {
    let mut copy = Document::new();
    each_copied(row, |name, value| {
        if let Ok(value) = Bson::try_from(value) {
            copy.insert(name, value);
        }
    });
    copy
}

/// The search copy: one member for each column that has a value, and the folded texts in one.
fn each_copied(row: &SearchRow, mut put: impl FnMut(&'static str, RawBsonRef<'_>)) {
    put("at", RawBsonRef::DateTime(date(row.at)));
    for column in Column::ALL {
        if let Some(value) = row.get(column) {
            put(column.as_str(), RawBsonRef::String(value));
        }
    }
    let texts = folded(row);
    if !texts.is_empty() {
        put("text", RawBsonRef::String(&texts));
    }
}

/// The members that go when an event leaves hot storage, or are replaced when its line is.
pub(super) fn copied_members() -> impl Iterator<Item = &'static str> {
    ["at", "text"].into_iter().chain(Column::ALL.map(Column::as_str))
}

fn folded(row: &SearchRow) -> String {
    let mut texts = String::new();
    for text in Column::TEXT.iter().filter_map(|column| row.get(*column)) {
        if !texts.is_empty() {
            texts.push('\n');
        }
        fold_into(text, |character| texts.push(character));
    }
    texts
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
    if is_copy_of(document, &derived) {
        return Vec::new();
    }
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

/// Whether the document has this copy exactly, seen in one pass, as nearly all of a log's have.
fn is_copy_of(document: &RawDocument, row: &SearchRow) -> bool {
    let (mut at, mut text, mut columns) = (None, None, [None; Column::ALL.len()]);
    for member in document {
        let Ok((key, value)) = member else { return false };
        let key = key.as_str();
        let (place, value) = match Column::ALL.into_iter().find(|column| column.as_str() == key) {
            Some(column) => (&mut columns[column as usize], value.as_str()),
            None if key == "text" => (&mut text, value.as_str()),
            None if key == "at" => {
                if at.replace(value).is_some() {
                    return false;
                }
                continue;
            }
            None => continue,
        };
        // Of another type, or there twice.
        if value.is_none() || std::mem::replace(place, value).is_some() {
            return false;
        }
    }
    at == Some(RawBsonRef::DateTime(date(row.at)))
        && text.unwrap_or_default() == folded(row)
        && Column::ALL.iter().all(|column| columns[*column as usize] == row.get(*column))
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
