//! What a verification answers: four questions, each by itself (section 8).

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::finding::{At, Finding};

/// The report, as section 8 writes it in JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The expected origin; what the material itself claims only where none was expected.
    pub origin: Option<String>,
    pub mode: Mode,
    /// Lines that are events, of whatever version.
    pub events: u64,
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    /// Hex.
    pub head_hash: Option<String>,
    /// Base64; `None` when a gap or a malformed line keeps it from being computed.
    pub root_hash: Option<String>,
    /// The largest size whose root, recomputed, equals one that a known log key signed.
    pub authenticated_size: u64,
    pub unauthenticated_events: u64,
    pub withheld_parts: u64,
    pub erased_parts: u64,
    pub sealed_parts: u64,
    pub integrity: Integrity,
    pub completeness: Completeness,
    /// The newest trusted head.
    pub head: Option<ReportHead>,
    pub freshness: Freshness,
    /// `ed25519:<key name>+<key id>`, `hmac:<key name>`, `witness:<key name>`.
    pub trust: Vec<String>,
    pub findings: Vec<Finding>,
    pub findings_omitted: u64,
    pub exit_code: u8,
    /// Events objects whose manifest was never written, as a crash leaves them: no finding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leftover_objects: Vec<String>,
}

/// What was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Log,
    Tenant,
    Filtered,
}

/// Whether what is there is what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    Ok,
    /// Nothing contradicts itself, but no known key vouches for all of it.
    SelfConsistent,
    Broken,
    /// Only unsupported versions stand in the way.
    Unknown,
}

/// Whether all that was recorded is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    Complete,
    Incomplete,
    TailNotProven,
    NotClaimed,
}

/// A tree head that a known log key signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReportHead {
    pub size: u64,
    pub source: HeadSource,
}

/// Where a head came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadSource {
    Archive,
    Store,
    Given,
}

/// How old the newest proven state is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Freshness {
    pub at: Option<String>,
    pub by: Option<FreshnessBy>,
    pub age_seconds: Option<i64>,
    pub state: FreshnessState,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FreshnessBy {
    Cosignature,
    LastEvent,
}

/// Whether it is as fresh as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FreshnessState {
    Fresh,
    Stale,
    Future,
    Unknown,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind.as_str())?;
        match self.at {
            At::Seq(seq) => map.serialize_entry("seq", &seq)?,
            At::HeadSeq(size) => map.serialize_entry("headSeq", &size)?,
            At::StartSeq(start) => map.serialize_entry("startSeq", &start)?,
            At::Nothing => {}
        }
        map.serialize_entry("expected", &self.expected)?;
        map.serialize_entry("actual", &self.actual)?;
        map.serialize_entry("where", &self.place)?;
        map.serialize_entry("message", &self.message)?;
        map.end()
    }
}
