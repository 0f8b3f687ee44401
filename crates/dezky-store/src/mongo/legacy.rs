//! A foreign collection of audit events, read oldest first: the way in for a migration. Nothing is written there.
//!
//! Documents come as JSON values in Extended JSON's relaxed notation, but for dates, which are always
//! `{"$date": {"$numberLong": "…"}}`. The order is (`at`, `_id`); whoever reads goes on at an `at` that was reached before,
//! and leaves out the `_id`s of that time that were given out.

use data_encoding::BASE64;
use dezky_audit_core::hash::Hash;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Cursor};
use serde_json::{Map, Value, json};

use crate::error::StoreError;

/// Documents that one answer of the server holds.
const BATCH: u32 = 1_000;
/// Of the newest time so many `_id`s are remembered; a later one of the same time is given out again after a break.
const MAX_IDS: usize = 200;

/// A collection that is being read.
#[derive(Debug)]
pub struct LegacyCollection {
    collection: Collection<RawDocumentBuf>,
    digest: Hash,
    total: u64,
    cursor: Option<Cursor<RawDocumentBuf>>,
    place: Place,
    /// What was given out before, at the time where this reading began.
    known: Place,
}

/// The newest time that was given out, in milliseconds since 1970, and the `_id`s of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Place {
    at: Option<i64>,
    ids: Vec<Value>,
}

impl LegacyCollection {
    /// Connects, and counts what is there.
    ///
    /// # Errors
    /// `Refused` when the URI is none or names no database, or the user may not read it; `Unavailable` when no server answers.
    pub async fn open(uri: &str, collection: &str) -> Result<Self, StoreError> {
        let options = ClientOptions::parse(uri).await?;
        let mut hosts: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
        hosts.sort_unstable();
        let client = Client::with_options(options)?;
        let database = client
            .default_database()
            .ok_or_else(|| StoreError::refused("the URI names no database; write it as mongodb://HOST/DATABASE"))?;
        let digest = Hash::of(format!("{}/{}.{collection}", hosts.join(","), database.name()).as_bytes());
        let collection = database.collection(collection);
        let total = collection.estimated_document_count().await?;
        Ok(Self { collection, digest, total, cursor: None, place: Place::default(), known: Place::default() })
    }

    /// Tells this collection from others: of its hosts, database and name.
    pub fn digest(&self) -> String {
        self.digest.to_string()
    }

    /// How many documents there were, about, when it was opened.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Goes on behind a [`LegacyCollection::position`]; anything else is the beginning. To be called before the first
    /// document is asked for.
    pub fn go_on(&mut self, position: &Value) {
        self.known = Place { at: position["at"].as_i64(), ids: position["ids"].as_array().cloned().unwrap_or_default() };
        self.place = self.known.clone();
    }

    /// How far it is: everything up to there has been given out.
    pub fn position(&self) -> Value {
        json!({ "at": self.place.at, "ids": self.place.ids })
    }

    /// The next document, and how many bytes it has.
    ///
    /// # Errors
    /// `Unavailable` when the server does not answer or has given the reading up; `Corrupt` for what is no document.
    pub async fn next(&mut self) -> Result<Option<(Value, usize)>, StoreError> {
        loop {
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                None => self.cursor.insert(begin(&self.collection, self.known.at).await?),
            };
            if !cursor.advance().await? {
                return Ok(None);
            }
            let bytes = cursor.current().as_bytes().len();
            let document = Document::try_from(cursor.current()).map_err(mongodb::error::Error::from)?;
            let at = document.get_datetime("at").ok().map(|at| at.timestamp_millis());
            let id = document.get("_id").map_or(Value::Null, json_of);
            if at.is_some() && at == self.known.at && self.known.ids.contains(&id) {
                continue;
            }
            self.place.pass(at, id);
            return Ok(Some((json_of(&Bson::Document(document)), bytes)));
        }
    }
}

impl Place {
    fn pass(&mut self, at: Option<i64>, id: Value) {
        // What has no time comes before all that has one.
        let Some(at) = at else { return };
        if self.at != Some(at) {
            self.at = Some(at);
            self.ids.clear();
        }
        if self.ids.len() < MAX_IDS {
            self.ids.push(id);
        }
    }
}

async fn begin(collection: &Collection<RawDocumentBuf>, from: Option<i64>) -> Result<Cursor<RawDocumentBuf>, StoreError> {
    let filter = match from {
        None => doc! {},
        Some(at) => doc! { "at": { "$gte": mongodb::bson::DateTime::from_millis(at) } },
    };
    let found = collection.find(filter).sort(doc! { "at": 1, "_id": 1 }).allow_disk_use(true).batch_size(BATCH);
    Ok(found.no_cursor_timeout(true).await?)
}

fn json_of(value: &Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::Boolean(truth) => Value::Bool(*truth),
        Bson::String(text) => Value::String(text.clone()),
        Bson::Int32(number) => json!(number),
        Bson::Int64(number) => json!(number),
        Bson::Double(number) if number.is_finite() => json!(number),
        Bson::Double(number) => json!({ "$numberDouble": number.to_string() }),
        Bson::Decimal128(number) => json!({ "$numberDecimal": number.to_string() }),
        Bson::DateTime(at) => json!({ "$date": { "$numberLong": at.timestamp_millis().to_string() } }),
        Bson::ObjectId(id) => json!({ "$oid": id.to_hex() }),
        Bson::Array(items) => Value::Array(items.iter().map(json_of).collect()),
        Bson::Document(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), json_of(value))).collect::<Map<_, _>>())
        }
        Bson::Binary(binary) => match (binary.subtype, <[u8; 16]>::try_from(binary.bytes.as_slice())) {
            (BinarySubtype::Uuid, Ok(bytes)) => json!({ "$uuid": mongodb::bson::Uuid::from_bytes(bytes).to_string() }),
            (subtype, _) => {
                let subtype = format!("{:02x}", u8::from(subtype));
                json!({ "$binary": { "base64": BASE64.encode(&binary.bytes), "subType": subtype } })
            }
        },
        Bson::Timestamp(stamp) => json!({ "$timestamp": { "t": stamp.time, "i": stamp.increment } }),
        Bson::RegularExpression(regex) => {
            json!({ "$regularExpression": { "pattern": regex.pattern.to_string(), "options": regex.options.to_string() } })
        }
        Bson::Symbol(text) => json!({ "$symbol": text }),
        Bson::JavaScriptCode(code) => json!({ "$code": code }),
        Bson::JavaScriptCodeWithScope(code) => json!({ "$code": code.code }),
        Bson::Undefined => json!({ "$undefined": true }),
        Bson::MinKey => json!({ "$minKey": 1 }),
        Bson::MaxKey => json!({ "$maxKey": 1 }),
        Bson::DbPointer(_) => json!({ "$dbPointer": {} }),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;
    use mongodb::bson::oid::ObjectId;

    use super::*;

    #[test]
    fn documents_become_extended_json() {
        let document = doc! {
            "_id": ObjectId::from_bytes([0x66; 12]), "at": DateTime::from_millis(1_721_896_210_123), "n": 7, "big": i64::MAX,
            "x": 0.5, "nan": f64::NAN, "none": Bson::Null, "list": [true, "ø"], "inner": { "a": 1 },
            "bytes": mongodb::bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![0] },
        };
        let expected = json!({
            "_id": { "$oid": "666666666666666666666666" }, "at": { "$date": { "$numberLong": "1721896210123" } }, "n": 7,
            "big": 9_223_372_036_854_775_807_i64, "x": 0.5, "nan": { "$numberDouble": "NaN" }, "none": null,
            "list": [true, "ø"], "inner": { "a": 1 }, "bytes": { "$binary": { "base64": "AA==", "subType": "00" } },
        });
        assert_eq!(json_of(&Bson::Document(document)), expected);
    }

    #[test]
    fn a_place_is_a_time_and_what_was_given_out_of_it() {
        let mut place = Place::default();
        for (at, id) in [(None, 1), (Some(5), 2), (Some(7), 3), (Some(7), 4)] {
            place.pass(at, json!(id));
        }
        assert_eq!(place, Place { at: Some(7), ids: vec![json!(3), json!(4)] });
    }
}
