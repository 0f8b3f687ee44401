//! `POST /audit/archive/run`, `GET /audit/archives`, `GET /audit/archives/{startSeq}`, `POST /audit/archives/{startSeq}/restore`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use dezky_audit::{Clock as _, SystemClock};
use dezky_audit_core::ids::parse_decimal;
use dezky_audit_core::time::Timestamp;
use dezky_cold::{ArchiveReport, Archived, BatchDocument, Cold, LastRun, Status};
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, json};
use crate::app::App;
use crate::caller::Caller;
use crate::conditional::{Known, tagged};
use crate::paging::leading_on;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// Batches on one page, where nobody says how many, and at most.
const LISTED: usize = 50;
const MAX_LISTED: usize = 200;
/// How long a batch is back where nobody says so, and at most.
const DAYS: u64 = 7;
const MAX_DAYS: u64 = 3_650;
const DAY_MS: u64 = 24 * 3_600_000;

impl App {
    /// Cold storage, where there is any.
    pub(crate) fn archives(&self) -> Result<&Cold, Problem> {
        let none = || {
            Problem::new(Code::NoArchives, "this log has no place for archives")
                .hint("several processes share one: set AUDIT_COLD_BUCKET, or AUDIT_COLD_DIR to a folder that all of them have")
        };
        self.cold.as_ref().ok_or_else(none)
    }
}

/// What one run archived.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ran<'a> {
    batches: Vec<Batch<'a>>,
    events: u64,
    bytes: u64,
    /// Restored events whose time was over.
    expired: u64,
    left: Left,
}

/// A batch as it was archived.
#[derive(Serialize, ToSchema)]
#[schema(as = ArchivedBatch)]
#[serde(rename_all = "camelCase")]
struct Batch<'a> {
    start_seq: u64,
    end_seq: u64,
    event_count: u64,
    revision: u64,
    archived_at: String,
    manifest_sha256: String,
    jsonl_key: &'a str,
    manifest_key: &'a str,
    bytes_uncompressed: u64,
    gzip_bytes: u64,
    gzip_sha256: String,
    /// Its events object lay in the depot already.
    adopted: bool,
    milliseconds: Steps,
}

/// How long each step took.
#[derive(Serialize, ToSchema)]
struct Steps {
    cut: u128,
    confirm: u128,
    delete: u128,
}

/// What stays hot, and why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Left {
    too_young: u64,
    not_checkpointed: u64,
}

/// Archives what is old enough now. It goes on when the caller goes away; a second one is refused meanwhile.
pub(crate) async fn run(State(app): State<App>, _: Caller) -> Result<RawJson<Vec<u8>>, Problem> {
    let report = app.archives()?.run().await?;
    json(&ran(&report))
}

fn ran(report: &ArchiveReport) -> Ran<'_> {
    Ran {
        batches: report.batches.iter().map(batch).collect(),
        events: report.batches.iter().map(Archived::count).sum(),
        bytes: report.batches.iter().map(|batch| batch.bytes).sum(),
        expired: report.expired,
        left: Left { too_young: report.left.too_young, not_checkpointed: report.left.not_checkpointed },
    }
}

fn batch(archived: &Archived) -> Batch<'_> {
    Batch {
        start_seq: archived.start,
        end_seq: archived.end,
        event_count: archived.count(),
        revision: archived.revision,
        archived_at: archived.archived_at.to_string(),
        manifest_sha256: archived.manifest_sha256.to_hex(),
        jsonl_key: &archived.jsonl_key,
        manifest_key: &archived.manifest_key,
        bytes_uncompressed: archived.bytes,
        gzip_bytes: archived.gzip_bytes,
        gzip_sha256: archived.gzip_sha256.to_hex(),
        adopted: archived.adopted,
        milliseconds: Steps {
            cut: archived.times.cut.as_millis(),
            confirm: archived.times.confirm.as_millis(),
            delete: archived.times.delete.as_millis(),
        },
    }
}

/// A page of batches.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchPage)]
pub(crate) struct Listed {
    batches: Vec<Shown>,
    /// Where the next page begins.
    #[schema(required = true)]
    next: Option<u64>,
    status: Standing,
}

/// A batch as it lies in the archive.
#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    start_seq: u64,
    end_seq: u64,
    event_count: u64,
    revision: u64,
    archived_at: String,
    min_at: String,
    max_at: String,
    manifest_sha256: String,
    jsonl_key: String,
    manifest_key: String,
    bytes_uncompressed: u64,
    gzip_bytes: u64,
    gzip_sha256: String,
    /// Until when it is back in hot storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_until: Option<String>,
}

/// How archiving stands.
#[derive(Serialize, ToSchema)]
#[schema(as = ArchivingStatus)]
#[serde(rename_all = "camelCase")]
struct Standing {
    place: String,
    enabled: bool,
    hour: u8,
    hot_retention_days: u64,
    running: bool,
    #[schema(required = true, value_type = Option<crate::openapi::LastRun>)]
    last_run: Option<LastRun>,
    #[schema(required = true)]
    next_run: Option<String>,
    /// Why checkpoints are not published beside the archives now.
    #[schema(required = true)]
    trouble: Option<String>,
    oldest_hot_seq: u64,
    #[schema(required = true)]
    highest_archived_seq: Option<u64>,
}

/// The batches, the newest first: those before `before`, if it is given.
pub(crate) async fn list(State(app): State<App>, _: Caller, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let [before, limit] = parameters.each(["before", "limit"])?;
    let before = before.map_or(Ok(u64::MAX), |seq| parse_decimal(&seq).ok_or_else(|| not_a_seq("parameter 'before'")))?;
    let limit = limit.map_or(Ok(LISTED), |limit| {
        let known = limit.parse().ok().filter(|limit| (1..=MAX_LISTED).contains(limit));
        known.ok_or_else(|| Problem::new(Code::InvalidParameter, format!("parameter 'limit': 1 to {MAX_LISTED}")))
    })?;
    let cold = app.archives()?;
    let batches = cold.batches(before, limit).await?;
    let next = batches.last().map(|batch| batch.start_seq).filter(|start| *start > 1 && batches.len() == limit);
    let hot = app.log.store().hot().await?;
    let shown = batches.into_iter().map(|batch| shown(batch, &hot)).collect();
    let status = state(cold.status().await?, hot.border, highest_archived(&app).await?);
    let page = json(&Listed { batches: shown, next, status })?.into_response();
    match next {
        Some(next) => leading_on(page, &uri, &[("before", Some(&next.to_string()))]),
        None => Ok(page),
    }
}

/// One batch, by its first event.
pub(crate) async fn get(State(app): State<App>, _: Caller, Path(start): Path<String>, known: Known) -> Result<Response, Problem> {
    let start = start_seq(&start)?;
    let batch = app.archives()?.batch(start).await?.ok_or_else(|| no_such_batch(start))?;
    let RawJson(shown) = json(&shown(batch, &app.log.store().hot().await?))?;
    let shown = Bytes::from(shown);
    Ok(known.spare(tagged(&shown, RawJson(shown.clone()).into_response())?))
}

/// What is back in hot storage.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restored {
    start_seq: u64,
    event_count: u64,
    until: String,
}

/// Puts a batch back into hot storage for some days.
pub(crate) async fn restore(
    State(app): State<App>,
    _: Caller,
    Path(start): Path<String>,
    parameters: Parameters,
) -> Result<RawJson<Vec<u8>>, Problem> {
    let (start, until) = (start_seq(&start)?, restored_until(parameters.only("days")?.as_deref())?);
    let event_count = app.archives()?.restore(start, until).await?;
    json(&Restored { start_seq: start, event_count, until: until.to_string() })
}

/// The batch that a path names by its first event.
pub(crate) fn start_seq(text: &str) -> Result<u64, Problem> {
    parse_decimal(text).ok_or_else(|| not_a_seq("the path"))
}

/// When a restored batch leaves again that is wanted for so many days.
pub(crate) fn restored_until(days: Option<&str>) -> Result<Timestamp, Problem> {
    let wrong = || Problem::new(Code::InvalidParameter, format!("parameter 'days': 1 to {MAX_DAYS}"));
    let days = days.map_or(Some(DAYS), parse_decimal);
    let days = days.filter(|days| (1..=MAX_DAYS).contains(days)).ok_or_else(wrong)?;
    Timestamp::from_unix_ms(SystemClock.now().unix_ms() + days * DAY_MS).ok_or_else(wrong)
}

/// The last event that lies in an archive.
pub(super) async fn highest_archived(app: &App) -> Result<Option<u64>, Problem> {
    Ok(app.log.store().newest_batch().await?.map(|record| record.id.end))
}

fn state(status: Status, border: u64, highest_archived_seq: Option<u64>) -> Standing {
    Standing {
        place: status.place,
        enabled: status.daily,
        hour: status.hour,
        hot_retention_days: status.retention_days,
        running: status.running,
        last_run: status.last,
        next_run: status.next.map(|next| next.to_string()),
        trouble: status.trouble,
        oldest_hot_seq: border + 1,
        highest_archived_seq,
    }
}

fn shown(batch: BatchDocument, hot: &dezky_store::Hot) -> Shown {
    let back = hot.restored.iter().find(|restored| *restored.range.start() == batch.start_seq);
    Shown {
        start_seq: batch.start_seq,
        end_seq: batch.end_seq,
        event_count: batch.event_count,
        revision: batch.revision,
        archived_at: batch.archived_at.to_string(),
        min_at: batch.min_at.to_string(),
        max_at: batch.max_at.to_string(),
        manifest_sha256: batch.manifest_sha256.to_hex(),
        jsonl_key: batch.jsonl_key,
        manifest_key: batch.manifest_key,
        bytes_uncompressed: batch.bytes_uncompressed,
        gzip_bytes: batch.gzip_bytes,
        gzip_sha256: batch.gzip_sha256.to_hex(),
        restored_until: back.map(|restored| restored.until.to_string()),
    }
}

fn not_a_seq(place: &str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("{place}: not the seq of a batch's first event"))
}

fn no_such_batch(start: u64) -> Problem {
    Problem::new(Code::NoSuchBatch, format!("no batch begins at event {start}"))
        .hint("GET /audit/archives names those that there are")
}
