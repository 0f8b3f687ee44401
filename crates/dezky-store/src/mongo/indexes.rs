//! The indexes that questions need: made on opening, and checked by name.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};

use super::MongoStore;
use crate::error::StoreError;

/// What the collections' indexes are, compared with what they must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexReport {
    /// Not there, as `collection.name`.
    pub missing: Vec<String>,
    /// There under that name with other fields or conditions.
    pub different: Vec<String>,
}

impl IndexReport {
    /// Whether every index is as it must be.
    pub const fn is_good(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty()
    }
}

pub(super) const AT: &str = "at";
pub(super) const KEY: &str = "key";
pub(super) const STREAM: &str = "stream";

struct Index {
    collection: &'static str,
    name: &'static str,
    keys: Document,
    unique: bool,
    partial: Option<Document>,
}

fn all() -> Vec<Index> {
    let plain = |name, column: &str| Index {
        collection: "event",
        name,
        keys: doc! { column: 1, "at": 1, "_id": 1 },
        unique: false,
        partial: None,
    };
    // Both are there, and texts, or neither is: nothing else is ever written.
    let there = doc! { "$exists": true };
    vec![
        // Free text is looked for in the index itself, without a look at the documents.
        Index { keys: doc! { "at": 1, "_id": 1, "text": 1 }, ..plain(AT, "at") },
        plain("tenant_slug", "tenant_slug"),
        plain("actor_id", "actor_id"),
        plain("actor_email", "actor_email"),
        plain("action", "action"),
        plain("resource_id", "resource_id"),
        Index {
            keys: doc! { "key.source": 1, "key.external_id": 1 },
            unique: true,
            partial: Some(doc! { "key.source": there.clone(), "key.external_id": there }),
            ..plain(KEY, "key")
        },
        Index { keys: doc! { "tenant.slug": 1, "tenant.seq": 1, "_id": 1 }, ..plain(STREAM, "tenant") },
        Index { collection: "checkpoint", name: "size", keys: doc! { "size": 1, "nth": 1 }, unique: true, partial: None },
        Index { collection: "receipt", name: "key", keys: doc! { "source": 1, "external_id": 1 }, unique: true, partial: None },
        Index {
            collection: "document",
            name: "outbox",
            keys: doc! { "outbox.id": 1 },
            unique: false,
            partial: Some(doc! { "outbox.id": { "$gt": 0_i64 } }),
        },
    ]
}

impl MongoStore {
    /// Makes the indexes that are not there; those that are there are left alone.
    pub(super) async fn create_indexes(&self) -> Result<(), StoreError> {
        let mut models: BTreeMap<&str, Vec<IndexModel>> = BTreeMap::new();
        for index in all() {
            let mut options = IndexOptions::default();
            options.name = Some(index.name.to_owned());
            options.unique = index.unique.then_some(true);
            options.partial_filter_expression = index.partial;
            let model = IndexModel::builder().keys(index.keys).options(options).build();
            models.entry(index.collection).or_default().push(model);
        }
        for (collection, models) in models {
            let collection: Collection<Document> = self.primary()?.collection(collection);
            // Over a large collection this takes as long as it takes: no time limit.
            collection.create_indexes(models).await?;
        }
        Ok(())
    }

    /// Which indexes are missing or different.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn indexes(&self) -> Result<IndexReport, StoreError> {
        let mut known: BTreeMap<String, (Document, bool, Option<Document>)> = BTreeMap::new();
        for collection in ["event", "checkpoint", "receipt", "document"] {
            let indexes: Collection<Document> = self.primary()?.collection(collection);
            let mut cursor = self.ask(async { indexes.list_indexes().await }).await?;
            while self.ask(cursor.advance()).await? {
                let index = cursor.deserialize_current()?;
                let options = index.options.unwrap_or_default();
                let name = format!("{collection}.{}", options.name.unwrap_or_default());
                known.insert(name, (index.keys, options.unique == Some(true), options.partial_filter_expression));
            }
        }
        let mut report = IndexReport::default();
        for index in all() {
            let name = format!("{}.{}", index.collection, index.name);
            match known.get(&name) {
                None => report.missing.push(name),
                Some((keys, unique, partial)) => {
                    let same = same_keys(keys, &index.keys) && *unique == index.unique && *partial == index.partial;
                    if !same {
                        report.different.push(name);
                    }
                }
            }
        }
        Ok(report)
    }
}

/// Directions come back as any kind of number.
fn same_keys(found: &Document, due: &Document) -> bool {
    let up = |value: &Bson| match value {
        Bson::Int32(number) => *number == 1,
        Bson::Int64(number) => *number == 1,
        Bson::Double(number) => (*number - 1.0).abs() < f64::EPSILON,
        _ => false,
    };
    found.keys().eq(due.keys()) && found.values().all(up)
}
