//! What the store remembers of a batch: where it lies, what proves it, and what tells that it cannot match a query.

use std::collections::BTreeSet;

use dezky_audit_core::archive::{Manifest, ObjectKind, ObjectName};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::Column;
use dezky_store::query::{Clause, Test};
use dezky_store::{BatchId, BatchRecord, Filter, Scope};
use serde::{Deserialize, Serialize};

use crate::archiver::Facts;

/// A batch that lies confirmed in the archive. Read from, and written to, [`BatchRecord::document`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchDocument {
    /// The manifest's `createdAt`.
    #[serde(with = "as_text")]
    pub archived_at: Timestamp,
    pub start_seq: u64,
    pub end_seq: u64,
    pub event_count: u64,
    pub revision: u64,
    #[serde(with = "as_hex")]
    pub manifest_sha256: Hash,
    /// Names in the depot.
    pub jsonl_key: String,
    pub manifest_key: String,
    pub bytes_uncompressed: u64,
    pub gzip_bytes: u64,
    #[serde(with = "as_hex")]
    pub gzip_sha256: Hash,
    /// `prevBatchSha256` of the batch that follows.
    #[serde(with = "as_hex")]
    pub link: Hash,
    /// `hash` of the last event.
    #[serde(with = "as_hex")]
    pub head_hash: Hash,
    #[serde(with = "as_text")]
    pub min_at: Timestamp,
    #[serde(with = "as_text")]
    pub max_at: Timestamp,
    #[serde(with = "as_text")]
    pub min_recorded_at: Timestamp,
    #[serde(with = "as_text")]
    pub max_recorded_at: Timestamp,
    /// Times of the events, `at`, in rising order without overlap, the first and the last of each: what lies between two has no
    /// event. Empty in records of before: then nothing is known but the least and the greatest.
    #[serde(default, with = "as_spans", skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<(Timestamp, Timestamp)>,
    /// The tenants that have events here; `None`: too many to be listed, so any may.
    pub tenants: Option<BTreeSet<String>>,
    /// The actions that occur here, or `None`.
    pub actions: Option<BTreeSet<String>>,
    /// The sources that occur here, or `None`.
    pub sources: Option<BTreeSet<String>>,
}

impl BatchDocument {
    pub(crate) fn new(manifest: &Manifest, manifest_sha256: Hash, facts: &Facts) -> Self {
        Self {
            archived_at: manifest.created_at,
            start_seq: manifest.start.get(),
            end_seq: manifest.end.get(),
            event_count: manifest.event_count(),
            revision: manifest.revision,
            manifest_sha256,
            jsonl_key: manifest.events.key.to_string(),
            manifest_key: manifest.name().to_string(),
            bytes_uncompressed: manifest.events.bytes,
            gzip_bytes: manifest.events.gzip_bytes,
            gzip_sha256: manifest.events.gzip_sha256,
            link: manifest.link(),
            head_hash: manifest.head_hash,
            min_at: manifest.min_at,
            max_at: manifest.max_at,
            min_recorded_at: manifest.min_recorded_at,
            max_recorded_at: manifest.max_recorded_at,
            spans: facts.spans(),
            tenants: facts.tenants.list(),
            actions: facts.actions.list(),
            sources: facts.sources.list(),
        }
    }

    /// Reads a record's document; `None` when it is no such document, or speaks of another batch.
    pub fn read(record: &BatchRecord) -> Option<Self> {
        let document: Self = serde_json::from_str(&record.document).ok()?;
        let BatchId { start, end, revision } = record.id;
        let same = (document.start_seq, document.end_seq, document.revision) == (start, end, u64::from(revision));
        (same && document.name(ObjectKind::Manifest).is_some()).then_some(document)
    }

    pub(crate) fn record(&self) -> Option<BatchRecord> {
        let id = BatchId { start: self.start_seq, end: self.end_seq, revision: u32::try_from(self.revision).ok()? };
        Some(BatchRecord { id, document: serde_json::to_string(self).ok()? })
    }

    /// The name of one of the batch's objects.
    pub(crate) fn name(&self, kind: ObjectKind) -> Option<ObjectName> {
        let (start, end) = (Seq::new(self.start_seq)?, Seq::new(self.end_seq)?);
        Some(ObjectName { kind, start, end, revision: self.revision })
    }

    /// The spans of time that have events, in order.
    pub fn times(&self) -> Vec<(Timestamp, Timestamp)> {
        if self.spans.is_empty() { vec![(self.min_at, self.max_at)] } else { self.spans.clone() }
    }

    /// Whether an event of this batch may match. False is certain, so the batch can be skipped; true is not.
    pub fn may_match(&self, scope: &Scope, filter: &Filter) -> bool {
        if filter.since.is_some_and(|since| self.max_at < since) || filter.until.is_some_and(|until| until <= self.min_at) {
            return false;
        }
        if let (Scope::Tenants(visible), Some(tenants)) = (scope, &self.tenants)
            && !visible.iter().any(|tenant| tenants.contains(tenant.as_str()))
        {
            return false;
        }
        // Each group of alternatives needs one that may hold.
        filter.alternatives().iter().all(|tests| tests.iter().any(|test| self.may_hold(test)))
            && filter.clauses().iter().all(|clause| self.may_pass(clause))
    }

    fn may_hold(&self, test: &Test) -> bool {
        let within = |values: &Option<BTreeSet<String>>, value: &str| values.as_ref().is_none_or(|values| values.contains(value));
        match test {
            Test::Is(Column::TenantSlug, value) => within(&self.tenants, value),
            Test::Is(Column::Action, value) => within(&self.actions, value),
            Test::Is(Column::Source, value) => within(&self.sources, value),
            Test::ActionUnder(prefix) => {
                self.actions.as_ref().is_none_or(|actions| actions.iter().any(|action| action.starts_with(&**prefix)))
            }
            Test::Is(..) | Test::Contains(_) => true,
        }
    }

    /// A negated clause excludes the batch where it holds for every event, as it does where there is one value only.
    fn may_pass(&self, clause: &Clause) -> bool {
        let only = |values: &Option<BTreeSet<String>>, value: &str| {
            values.as_ref().is_some_and(|values| values.len() == 1 && values.contains(value))
        };
        match (&clause.test, clause.negated) {
            (Test::Is(Column::Action, value), true) => !only(&self.actions, value),
            (Test::Is(Column::Source, value), true) => !only(&self.sources, value),
            _ => true,
        }
    }
}

/// As its text.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Pairs of milliseconds since 1970.
mod as_spans {
    use dezky_audit_core::time::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(spans: &[(Timestamp, Timestamp)], serializer: S) -> Result<S::Ok, S::Error> {
        let numbers: Vec<_> = spans.iter().map(|(first, last)| (first.unix_ms(), last.unix_ms())).collect();
        numbers.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Timestamp, Timestamp)>, D::Error> {
        let time = |ms| Timestamp::from_unix_ms(ms).ok_or_else(|| D::Error::custom("a time beyond the year 9999"));
        Vec::<(u64, u64)>::deserialize(deserializer)?.into_iter().map(|(first, last)| Ok((time(first)?, time(last)?))).collect()
    }
}

/// A hash, in hex.
mod as_hex {
    use dezky_audit_core::hash::Hash;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        Hash::from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
