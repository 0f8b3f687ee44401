//! `/trust`: what the log's integrity rests on, what was verified when, and the two buttons.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dezky_audit::{AuditLog, CheckpointRecord, Clock as _, PublishedKey, SystemClock, Verification, VerifyOptions};
use dezky_audit_core::note::{KeyRing, Note};
use dezky_cold::Progress;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::assets;
use super::frame::{Frame, Section};
use super::page::{page, see};
use super::time::{self, When, ago, grouped};
use super::trust_card::{RUNS, RunFinding, RunReport, Verdict, reports, short_key, standing};
use super::visitor::Visitor;
use crate::acting::OnBehalf;
use crate::app::App;
use crate::handlers::checkpoints::force;
use crate::handlers::verify::MAX_FINDINGS;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// Findings that are shown of one.
const FINDINGS: usize = 50;
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(300);

#[derive(Template)]
#[template(path = "trust.html")]
struct Trust {
    frame: Frame,
    size: u64,
    head_hash: String,
    checkpoint: Option<CheckpointRecord>,
    checkpoint_age: String,
    /// Signature lines under keys that are not the log's own.
    foreign: usize,
    keys: Vec<PublishedKey>,
    runs: Vec<Run>,
    findings: Vec<Finding>,
    more_findings: u64,
    running: bool,
    /// The last event that has left hot storage; 0 where none has.
    border: u64,
    /// Whether a verification reads the archives too.
    both_tiers: bool,
    /// Nothing is signed until the checkpoints beside the archives were compared.
    withheld: bool,
}

/// A line of the history.
struct Run {
    when: When,
    age: String,
    verdict: Verdict,
    covers: String,
    keys: String,
    result: String,
}

/// A broken place, and what to do about it.
struct Finding {
    kind: String,
    message: String,
    place: String,
    expected: Option<String>,
    actual: Option<String>,
    /// The object of the archive, or what else it lies in.
    object: Option<String>,
    around: Vec<u64>,
    advice: &'static str,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let store = app.log.store();
    let now = SystemClock.now();
    let head = store.head().await?;
    let checkpoint = app.log.latest_checkpoint().await?;
    let reports = reports(&app, RUNS).await?;
    let standing = standing(&reports).map(|(_, report)| report);
    let all = standing.map_or(0, RunReport::all_findings);
    // Where a finding lies is of some tenant.
    let shown = standing.filter(|_| visitor.sees_all()).map_or(&[][..], |report| &report.findings);
    let findings: Vec<_> = shown.iter().take(FINDINGS).map(finding).collect();
    page(&Trust {
        size: head.size,
        head_hash: head.hash.to_hex(),
        checkpoint_age: checkpoint.as_ref().map(|record| ago(record.at, now)).unwrap_or_default(),
        foreign: checkpoint.as_ref().map_or(0, |record| foreign(record, app.log.key_ring())),
        checkpoint,
        keys: app.log.keys().to_vec(),
        runs: reports.iter().map(|(at, report)| run(*at, report, now)).collect(),
        more_findings: all - findings.len() as u64,
        findings,
        running: app.log.metrics().verifying || app.cold.as_ref().is_some_and(dezky_cold::Cold::is_verifying),
        border: store.hot().await?.border,
        both_tiers: app.cold.is_some(),
        withheld: app.log.awaits_comparison(),
        frame: Frame::of(&app, &visitor, Section::Trust, "Trust").await?,
    })
}

/// How many of a checkpoint's signatures are of keys that this log does not have: perhaps of witnesses, checked by nobody here.
fn foreign(record: &CheckpointRecord, ring: &KeyRing) -> usize {
    Note::parse(record.note.as_bytes()).map_or(0, |note| ring.check(&note, record.size).unknown)
}

fn run(at: dezky_audit_core::time::Timestamp, report: &RunReport, now: dezky_audit_core::time::Timestamp) -> Run {
    let verdict = match report.verdict(at, now) {
        // Old, but that is what came out then.
        Verdict::Stale => Verdict::Verified,
        verdict => verdict,
    };
    let (first, last) = (report.first_seq.unwrap_or(0), report.last_seq.unwrap_or(0));
    Run {
        when: When::of(at),
        age: ago(at, now),
        verdict,
        covers: format!("#{} to #{}, {} signed", grouped(first), grouped(last), grouped(report.authenticated_size)),
        keys: report.trust.iter().map(|key| short_key(key)).collect::<Vec<_>>().join(", "),
        result: match report.all_findings() {
            0 => format!("{} events, integrity {}, {}", grouped(report.events), report.integrity, report.completeness),
            1 => "1 finding".to_owned(),
            n => format!("{} findings", grouped(n)),
        },
    }
}

fn finding(finding: &RunFinding) -> Finding {
    let seq = finding.seq.or(finding.head_seq).or(finding.start_seq);
    let around = finding.seq.map(|seq| (seq.saturating_sub(1).max(1)..=seq + 1).collect()).unwrap_or_default();
    Finding {
        kind: finding.kind.clone(),
        message: finding.message.clone(),
        place: seq.map(|seq| format!("#{}", grouped(seq))).unwrap_or_default(),
        expected: finding.expected.clone(),
        actual: finding.actual.clone(),
        object: finding.place.clone(),
        around,
        advice: advice(&finding.kind),
    }
}

/// What somebody does who reads this in a hurry.
fn advice(kind: &str) -> &'static str {
    match kind {
        "event-hash-mismatch" | "malformed-event" | "part-digest-mismatch" => {
            "The stored event was changed. Keep a copy of the database as it is, restore this event from a backup or an export, and find out who could write there."
        }
        "seq-gap" | "truncated" => {
            "Events are missing. Keep a copy of the database as it is, and look for them in backups and archives."
        }
        "event-prev-hash-mismatch" | "tenant-chain-mismatch" => {
            "An event was inserted, removed or moved near here. Compare with a backup or an export that was verified."
        }
        "checkpoint-signature-mismatch" | "checkpoint-head-mismatch" | "checkpoint-root-mismatch" | "checkpoint-fork" => {
            "What was signed does not go with what is stored. Compare with checkpoints that were kept elsewhere before anything else is done."
        }
        "archive-object-missing" | "archive-gap" => {
            "Objects of the archive are missing. Look for a deletion marker or an older version in the bucket, or put a copy of the objects back; then verify again."
        }
        "archive-digest-mismatch" | "archive-object-unexpected" => {
            "An object of the archive is not what was archived. Keep a copy of it, bring back the older version or another copy, and find out who could write there."
        }
        "malformed-manifest"
        | "manifest-signature-mismatch"
        | "manifest-link-mismatch"
        | "manifest-range-mismatch"
        | "manifest-root-mismatch" => {
            "A manifest of the archive is not one that this log has signed for this place. Bring back the older version or another copy, and find out who could write there."
        }
        "projection-mismatch" => {
            "The event is intact, but its searchable copy is not: lists and filters may show something else. Keep a copy of the database, then have the copy rebuilt."
        }
        _ => "Keep a copy of the database as it is, and run dezky-verify over an export with a key that was handed over earlier.",
    }
}

/// Signs the log as it is now.
pub(crate) async fn checkpoint(State(app): State<App>, OnBehalf(acting): OnBehalf) -> Result<Response, Problem> {
    force(&app, acting).await?;
    see("/trust")
}

/// Verifies the log: both tiers where this process has archives, unless only what is hot is asked for. A script is told how far it is,
/// line by line, and cancels by going away; a form waits for the end.
pub(crate) async fn verify(
    State(app): State<App>,
    _: Visitor,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let hot_only = match parameters.only("tiers")?.as_deref() {
        None => false,
        Some("hot") => true,
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "parameter 'tiers': hot, or none")),
    };
    let watched = Watched { progress: Arc::default(), both: app.cold.is_some() && !hot_only };
    let verifying = verification(&app, &watched);
    let by_script = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/x-ndjson");
    if !by_script {
        verifying.await?;
        return see("/trust");
    }
    let of = app.log.store().head().await?.size;
    let mut ticks = interval(TOLD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling { log: app.log.clone(), watched, of, ticks, verifying: Some(verifying) };
    let lines = unfold(telling, |telling| async move {
        telling.next().await.map(|(line, rest)| (Ok::<_, std::convert::Infallible>(line), rest))
    });
    let media_type = [(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
    Ok((media_type, Body::from_stream(lines)).into_response())
}

/// A verification, to be awaited; dropped, it is cancelled.
fn verification(app: &App, watched: &Watched) -> BoxFuture<'static, Result<Verification, Problem>> {
    let (app, progress) = (app.clone(), Arc::clone(&watched.progress));
    match app.cold.clone().filter(|_| watched.both) {
        Some(cold) => Box::pin(async move { Ok(cold.verify_watched(MAX_FINDINGS, progress).await?) }),
        None => Box::pin(async move { Ok(app.log.verify(VerifyOptions::default()).await?) }),
    }
}

/// Where it is seen how far a verification is.
struct Watched {
    progress: Arc<Progress>,
    /// Through the archives; else the log itself counts.
    both: bool,
}

/// Telling of a verification under way.
struct Telling {
    log: AuditLog,
    watched: Watched,
    of: u64,
    ticks: Interval,
    verifying: Option<BoxFuture<'static, Result<Verification, Problem>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Told {
    Walked {
        walked: u64,
        of: u64,
    },
    #[serde(rename_all = "camelCase")]
    Done {
        exit_code: u8,
        findings: u64,
    },
    Failed {
        failed: String,
    },
}

impl Telling {
    async fn next(mut self) -> Option<(String, Self)> {
        let mut verifying = self.verifying.take()?;
        let told = tokio::select! {
            biased;
            done = &mut verifying => match done {
                Ok(done) => Told::Done { exit_code: done.exit_code, findings: done.report.findings.len() as u64 + done.report.findings_omitted },
                Err(problem) => Told::Failed { failed: problem.detail().to_owned() },
            },
            _ = self.ticks.tick() => {
                self.verifying = Some(verifying);
                let both = self.watched.both;
                let walked = if both { self.watched.progress.walked() } else { self.log.metrics().verified_events };
                Told::Walked { walked, of: self.of }
            }
        };
        let line = serde_json::to_string(&told).unwrap_or_default() + "\n";
        Some((line, self))
    }
}

/// When a checkpoint is made, for people.
fn occasion(reason: &str) -> &str {
    match reason {
        "startup" => "on start",
        "interval" => "by the clock",
        "threshold" => "after many events",
        "manual" => "on demand",
        "heartbeat" => "after a quiet hour",
        other => other,
    }
}
