//! What an auditor takes away: exports, the verdict, checkpoints, proofs, keys.

#![expect(dead_code, reason = "the types here say what is written by other crates")]

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};

use super::events::{BrokenEvent, Event, stored};
use super::operation::{Described, operation};
use super::shape::{FILTERS, of, one_of, text, whole};
use crate::handlers::checkpoints::Checkpoint;
use crate::handlers::keys::Keys;
use crate::handlers::proofs::SignedStream;
use crate::problem::Code;

/// The verdict over the whole log (log format, section 8). A tenant auditor gets what of it is not about others: `findings` counted by kind, and
/// neither `withheldParts`, `erasedParts`, `sealedParts`, `freshness` nor `findingsOmitted`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct Report {
    origin: Option<String>,
    mode: Mode,
    events: u64,
    #[schema(required = true)]
    first_seq: Option<u64>,
    #[schema(required = true)]
    last_seq: Option<u64>,
    /// 64 hex digits.
    #[schema(required = true)]
    head_hash: Option<String>,
    /// Base64.
    #[schema(required = true)]
    root_hash: Option<String>,
    /// The largest size whose root a known key signed.
    authenticated_size: u64,
    unauthenticated_events: u64,
    #[schema(required = false)]
    withheld_parts: u64,
    #[schema(required = false)]
    erased_parts: u64,
    #[schema(required = false)]
    sealed_parts: u64,
    integrity: Integrity,
    completeness: Completeness,
    head: Option<ReportHead>,
    #[schema(required = false)]
    freshness: Freshness,
    /// What vouches for it: `ed25519:<key name>+<key id>`, `hmac:…`, `witness:…`.
    trust: Vec<String>,
    /// `{kind, seq…, expected, actual, where, message}`; for a tenant auditor `{kind, count}`.
    #[schema(schema_with = findings)]
    findings: String,
    #[schema(required = false)]
    findings_omitted: u64,
    /// 0 intact and proven, 1 tampered, 2 nothing concluded, 3 something is missing, 4 intact as far as it goes but not proven.
    #[schema(maximum = 4)]
    exit_code: u8,
    #[schema(required = false)]
    leftover_objects: Vec<String>,
    /// Where hot storage begins.
    oldest_hot_seq: u64,
    /// The last event that lies in an archive.
    #[schema(required = true)]
    highest_archived_seq: Option<u64>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Log,
    Tenant,
    Filtered,
}

/// Whether what is there is what was recorded.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Integrity {
    Ok,
    SelfConsistent,
    Broken,
    Unknown,
}

/// Whether all that was recorded is there.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Completeness {
    Complete,
    Incomplete,
    TailNotProven,
    NotClaimed,
}

/// The newest trusted head.
#[derive(ToSchema)]
struct ReportHead {
    size: u64,
    /// `archive`, `store`, `given`.
    source: String,
}

/// How old the newest proven state is.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct Freshness {
    #[schema(required = true)]
    at: Option<String>,
    /// `cosignature`, `last-event`.
    #[schema(required = true)]
    by: Option<String>,
    #[schema(required = true)]
    age_seconds: Option<i64>,
    /// `fresh`, `stale`, `future`, `unknown`.
    state: String,
}

fn findings() -> ArrayBuilder {
    let kind = ObjectBuilder::new().property("kind", ObjectBuilder::new().schema_type(Type::String)).required("kind");
    ArrayBuilder::new().items(kind)
}

const NOTE: &str = "localhost/e7bd46c35f5ac27d\n17\nwnadiD/j7lA6XPNYLmT/uG0q6yUBZAe2XQjV/gUs6oc=\n\n\
                    — localhost/e7bd46c35f5ac27d UakbYnQ3pdVdE0u9enXugU+2ibDp0qOJLkGrMW3WJTN9mb+koC3ZnPJfEeIMUIM1DMu9ienDH4AfmCNkPucUbBWh4Qc=\n";
const PROOF: &str = "c2sp.org/tlog-proof@v1\nextra eyJhY3Rpb24iOi…\nindex 16\nfW5HFHoNURShkUpdDbCCFnz3ajnpoz+cP7HeVa1JEhk=\n\n";

fn checkpoint() -> Value {
    json!({
        "at": "2026-05-01T00:20:00.000Z", "headSeq": 17, "headHash": "d081bc1e7cf53a70ccfb44b6dec57224bf9263acc9309cdd8b1adda738ed8d0b",
        "rootHash": "wnadiD/j7lA6XPNYLmT/uG0q6yUBZAe2XQjV/gUs6oc=", "reason": "manual", "note": NOTE
    })
}

pub(super) fn operations() -> Vec<Described> {
    vec![export(), verify(), take(), latest(), of_size(), proof(), tenant(), keys()]
}

fn export() -> Described {
    operation(Method::GET, "/audit/export", "Proving", "exportEvents", "Events as lines, streamed")
        .about(
            "Every event that the filters let through and the caller may see, in the order of `seq`, one on each line, to the byte as it is stored. \
             A checkpoint is taken first; the stream ends there and names it in `Link`. A stream that breaks off is not complete.",
        )
        .shared(FILTERS)
        .answers_as(200, "The lines", "application/x-ndjson", text("One event a line."), format!("{}\n", stored()).into())
        .sends("Link")
        .sends("Content-Disposition")
        .refuses(&[Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::SigningStopped, Code::Closing])
}

fn verify() -> Described {
    let example = json!({
        "origin": "localhost/e7bd46c35f5ac27d", "mode": "log", "events": 17, "firstSeq": 1, "lastSeq": 17,
        "headHash": "d081bc1e7cf53a70ccfb44b6dec57224bf9263acc9309cdd8b1adda738ed8d0b",
        "rootHash": "wnadiD/j7lA6XPNYLmT/uG0q6yUBZAe2XQjV/gUs6oc=", "authenticatedSize": 17, "unauthenticatedEvents": 0,
        "withheldParts": 0, "erasedParts": 0, "sealedParts": 0, "integrity": "ok", "completeness": "complete",
        "head": {"size": 17, "source": "store"},
        "freshness": {"at": "2026-05-01T00:20:00.000Z", "by": "last-event", "ageSeconds": 12, "state": "unknown"},
        "trust": ["ed25519:localhost/e7bd46c35f5ac27d+27a8e8f2"], "findings": [], "findingsOmitted": 0, "exitCode": 0,
        "oldestHotSeq": 1, "highestArchivedSeq": null
    });
    operation(Method::GET, "/audit/verify", "Proving", "verifyLog", "The whole log, checked now")
        .about("Everything is recomputed from the stored lines. Findings are in the report: whatever they are, the status is 200. It takes as long as the log is.")
        .query("from", whole("The size of a checkpoint that was verified before.", 0, u64::MAX), "Begin behind it. Not together with `archives=true`.")
        .query("archives", one_of("Whether the archives are walked as well.", &["true", "false"]), "Both tiers, from the beginning.")
        .answers::<Report>(200, "The report", example)
        .refuses(&[Code::VerificationRunning, Code::NoSuchCheckpoint, Code::NoArchives, Code::ArchivesUnavailable, Code::Closing])
}

fn take() -> Described {
    operation(Method::POST, "/audit/checkpoint", "Proving", "takeCheckpoint", "Sign the log as it is now")
        .about("Recorded as `audit.checkpoint_forced`, which the checkpoint covers; where nothing is new it is the newest one.")
        .answers::<Checkpoint<'static>>(200, "The checkpoint", checkpoint())
        .refuses(&[Code::SigningStopped, Code::ArchivesUnavailable, Code::Closing])
}

fn latest() -> Described {
    operation(Method::GET, "/audit/checkpoint/latest", "Proving", "latestCheckpoint", "The newest checkpoint")
        .answers::<Checkpoint<'static>>(200, "The checkpoint", checkpoint())
        .refuses(&[Code::NoSuchCheckpoint])
}

fn of_size() -> Described {
    operation(Method::GET, "/audit/checkpoints/{size}", "Proving", "getCheckpoint", "The checkpoint of a size")
        .about("With `Accept: text/plain` the signed note alone.")
        .at("size", whole("How many events it covers.", 0, u64::MAX), 1, "Its size.")
        .answers::<Checkpoint<'static>>(200, "The checkpoint", checkpoint())
        .answers_as(200, "", "text/plain", text("A signed note (C2SP `signed-note`)."), NOTE.into())
        .sends("Vary")
        .tagged()
        .refuses(&[Code::NoSuchCheckpoint])
}

fn proof() -> Described {
    operation(Method::GET, "/audit/events/{seq}/proof", "Proving", "proveEvent", "The proof that an event is in the log")
        .about("A `tlog-proof`; a checkpoint is made first where none covers the event. `dezky-verify proof FILE` checks it.")
        .knows::<Event>()
        .knows::<BrokenEvent>()
        .at("seq", of("Seq"), 1, "The event's position.")
        .answers_as(200, "The proof", "text/plain", text("C2SP `tlog-proof@v1`."), format!("{PROOF}{NOTE}").into())
        .refuses(&[Code::NoSuchEvent, Code::Archived, Code::EventMismatch, Code::SigningStopped])
        .refuses(&[Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::Closing])
}

fn tenant() -> Described {
    operation(Method::GET, "/audit/tenants/{slug}/checkpoint", "Proving", "tenantCheckpoint", "A tenant's own checkpoint")
        .about("The tenant's stream as the log signs it, and the proof that its last event is in the log.")
        .at("slug", of("Slug"), "acme", "The tenant.")
        .answers::<SignedStream>(
            200,
            "Both",
            json!({"note": NOTE.replace("c27d\n17", "c27d/tenant/acme\n3"), "proof": format!("{PROOF}{NOTE}")}),
        )
        .refuses(&[Code::NoSuchTenant, Code::Archived, Code::EventMismatch, Code::SigningStopped])
        .refuses(&[Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::Closing])
}

fn keys() -> Described {
    let key = "localhost/e7bd46c35f5ac27d+27a8e8f2+Aawc6ANXy/+REb69sUKSYeDCl3VvnLxHLmQEwPzbtubV";
    operation(Method::GET, "/audit/keys", "Proving", "listKeys", "The keys that sign")
        .about("The newest first. They are worth something when they are those that one was given earlier, by another way.")
        .answers::<Keys<'static>>(
            200,
            "The keys",
            json!({"keys": [{"vkey": key, "alg": "ed25519", "since": "2026-05-01T00:00:00.000Z"}]}),
        )
}
