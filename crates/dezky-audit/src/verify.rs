//! Verification of the live store: core's verifier over what the store returns, its search copy compared on the way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dezky_audit_core::checkpoint::Reason;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::{Frontier, leaf_hash, verify_inclusion};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{At, Conclude, Finding, HeadSource, Kind, Report, Start, Step, Stepper, Subject, Trust, Walk};
use dezky_store::runs::MAX_RUN_BYTES;
use dezky_store::{Checked, CheckpointRecord, Difference, ReadLimit, Store, StoreError, VerificationRun};

use crate::audit_log::{AuditLog, Inner};
use crate::copy::archived::hash_at;
use crate::tree;

/// Stored checkpoints that are read at once.
const HEADS: usize = 1_000;
/// A walk that events were archived under is begun anew, so often at most.
const ATTEMPTS: u32 = 3;
/// Events that are read, and checked, at once.
const CHUNK: ReadLimit = ReadLimit { events: 2_000, bytes: 4 << 20 };

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyOptions {
    /// Start behind the stored checkpoint of this size instead of at the beginning, or where hot storage begins if that is later.
    pub from: Option<u64>,
    /// The most findings named; `None`: as configured.
    pub max_findings: Option<usize>,
}

/// What came out. Findings are in the report; they are no error.
#[derive(Debug, Clone)]
pub struct Verification {
    /// When it ended.
    pub at: Timestamp,
    /// As `dezky-verify` would exit: 0 is intact and proven.
    pub exit_code: u8,
    pub report: Report,
    /// The report of the log format's section 8, as JSON.
    pub json: String,
}

/// Why the log could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// One at a time. The metrics tell how far the other is.
    #[error("another verification is running; wait for its result")]
    Running,
    /// There is no such checkpoint, or it does not verify.
    #[error("no checkpoint of size {size} to start from")]
    NoSuchCheckpoint { size: u64 },
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the log is closed")]
    Closed,
}

/// What is remembered between verifications.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    running: AtomicBool,
    last: Mutex<Option<LastVerification>>,
}

/// What a verification came to, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastVerification {
    /// When it ended.
    pub at: Timestamp,
    /// As `dezky-verify` would exit.
    pub exit_code: u8,
    /// How many, the omitted ones among them.
    pub findings: u64,
}

impl Verifier {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn last(&self) -> Option<LastVerification> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<Turn<'_>, VerifyError> {
        if self.running.swap(true, Ordering::AcqRel) { Err(VerifyError::Running) } else { Ok(Turn(self)) }
    }
}

/// Ends with the verification, however that ends.
struct Turn<'a>(&'a Verifier);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

impl AuditLog {
    /// The last one of this process that says something about the whole log; `None` before the first. It is known here also when the
    /// store could not keep it among its runs.
    pub fn last_verification(&self) -> Option<LastVerification> {
        self.inner.verifier.last()
    }
}

pub(crate) async fn run(log: &Inner, options: VerifyOptions) -> Result<Verification, VerifyError> {
    let _turn = log.verifier.begin()?;
    log.counters.verified_events.set(0);
    // Everything up to a fresh checkpoint; when the store is no longer signed for, everything that it says it has.
    let end = match log.requests.ask(Reason::Manual).await {
        Ok(record) => record.size,
        Err(_) => log.store.head().await?.size,
    };
    let trust = Trust::new(Some(log.origin.clone()), log.keys.ring().clone(), None).map_err(|_| VerifyError::Closed)?;
    let max_findings = options.max_findings.unwrap_or(log.max_findings);
    let walked = |events| log.counters.verified_events.add(events);
    let look = Look { store: &*log.store, trust: &trust, walked: &walked };
    let mut attempts = 0;
    loop {
        let border = log.store.hot().await?.border;
        let from = options.from.unwrap_or(0).max(border);
        let start = match from {
            0 => Start::Beginning,
            _ if from == border => behind_border(&*log.store, border).await?,
            _ => behind(log, from, &trust).await?,
        };
        let walk = look.walk(start, from + 1, end.max(from), max_findings).await?;
        attempts += 1;
        // What left hot storage in the middle of the walk is missing only there.
        if !walk.findings().missing() || attempts == ATTEMPTS || log.store.hot().await?.border == border {
            let at = log.world.clock.now();
            let report = walk.finish(Conclude { now: at, max_age_seconds: None, ends_early: false });
            // Whoever looks at a part sees nothing of what is wrong before it: only what is wrong is said of the log.
            let kept = options.from.is_none() || !report.findings.is_empty();
            return if kept { keep(log, at, report).await } else { Verification::of(at, report) };
        }
    }
}

/// The start behind archived events, as the tiles and the first hot event have it: a checkpoint that the walk meets later proves
/// both, since its root covers what was archived too.
async fn behind_border(store: &dyn Store, border: u64) -> Result<Start, StoreError> {
    let tree = tree::frontier_at(store, border).await?.ok();
    let head = store.head().await?;
    let head_hash = match hash_at(store, border, &head).await {
        // The first hot event is broken: the walk will say so, whatever it is held against.
        Err(StoreError::Corrupt { .. }) => head.hash,
        hash => hash?,
    };
    Ok(Start::After { size: border, head_hash, tree })
}

/// A look at the events and checkpoints of a store, whoever holds it.
pub(crate) struct Look<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) trust: &'a Trust,
    /// Told of each number of events that has been walked.
    pub(crate) walked: &'a (dyn Fn(u64) + Sync),
}

impl Look<'_> {
    /// Walks the events from `first`, where `start` is, to `end`. The next are read while those before are checked.
    pub(crate) async fn walk(&self, start: Start, first: u64, end: u64, max_findings: usize) -> Result<Walk, VerifyError> {
        let mut walk = Walk::new(Subject::Log, Some(self.store.origin().clone()), start, max_findings);
        if first == 1 {
            // Behind `after` means above it, so the empty log's is asked for by name.
            if let Some(record) = self.store.checkpoint_at(0).await? {
                add_head(&mut walk, self.trust, &record);
            }
        }
        let mut heads = Heads { after: first - 1, done: false };
        let mut from = first;
        let mut read = self.check(from, end).await?;
        while let Some(last) = read.last().map(|checked| checked.seq) {
            heads.up_to(self, &mut walk, last).await?;
            from = last.saturating_add(1);
            let walked = tokio::task::spawn_blocking(move || {
                walk_checked(&mut walk, &read);
                (walk, read.len())
            });
            let (next, walked) = tokio::join!(self.check(from, end), walked);
            // The runtime is going down.
            let (done, events) = walked.map_err(|_| VerifyError::Closed)?;
            walk = done;
            (self.walked)(events as u64);
            read = next?;
        }
        heads.up_to(self, &mut walk, u64::MAX).await?;
        Ok(walk)
    }

    async fn check(&self, from: u64, end: u64) -> Result<Vec<Checked>, StoreError> {
        if from > end { Ok(Vec::new()) } else { self.store.check(from..=end, CHUNK).await }
    }
}

/// Walks events as [`dezky_store::SearchCopy::check`] reads them, their search copies compared.
pub fn walk_checked(walk: &mut Walk, read: &[Checked]) {
    let mut stepper = Stepper::new();
    for checked in read {
        let step = stepper.step(&checked.line);
        walk.push(&step);
        // When the event itself was changed, nobody knows what its copy should say.
        let intact = matches!(&step, Step::Event(event) if event.stored_hash == event.computed_hash);
        if intact && !checked.differences.is_empty() {
            walk.add_finding(projection_mismatch(checked.seq, &checked.differences));
        }
    }
}

fn projection_mismatch(seq: u64, differences: &[Difference]) -> Finding {
    let list = |text: fn(&Difference) -> String| differences.iter().map(text).collect::<Vec<_>>().join("; ");
    let columns = list(|difference| difference.column.to_owned());
    let message = format!("the searchable copy of event {seq} is not what the event says: {columns}");
    Finding::new(Kind::ProjectionMismatch, At::Seq(seq), message)
        .comparing(
            list(|difference| format!("{}={}", difference.column, difference.expected)),
            list(|difference| format!("{}={}", difference.column, difference.actual)),
        )
        .in_place("search copy")
}

/// The stored checkpoints, added to the walk before it reaches them.
struct Heads {
    /// All up to this size were added.
    after: u64,
    done: bool,
}

impl Heads {
    async fn up_to(&mut self, look: &Look<'_>, walk: &mut Walk, size: u64) -> Result<(), StoreError> {
        while !self.done && self.after < size {
            let records = look.store.checkpoints(self.after, HEADS).await?;
            for record in &records {
                add_head(walk, look.trust, record);
            }
            match records.last() {
                Some(record) => self.after = record.size,
                None => self.done = true,
            }
        }
        Ok(())
    }
}

fn add_head(walk: &mut Walk, trust: &Trust, record: &CheckpointRecord) {
    let opened = trust.open_record(&record.into(), HeadSource::Store, "stored checkpoint");
    for finding in opened.findings {
        walk.add_finding(finding);
    }
    if let Some(head) = opened.head {
        walk.add_head(head);
    }
}

/// The start behind a stored checkpoint: its root is signed, the tree is read from the tiles and must have that root, and
/// the last event's hash must be its last leaf.
async fn behind(log: &Inner, size: u64, trust: &Trust) -> Result<Start, VerifyError> {
    let none = || VerifyError::NoSuchCheckpoint { size };
    let record = log.store.checkpoint_at(size).await?.ok_or_else(none)?;
    let opened = trust.open_record(&(&record).into(), HeadSource::Store, "stored checkpoint");
    let head = opened.head.filter(|_| opened.findings.is_empty()).ok_or_else(none)?;
    let tree = tree::frontier_at(&*log.store, size).await?.map_err(|_| none())?;
    let path = tree::inclusion(&*log.store, size - 1, size).await?.map_err(|_| none())?;
    let leads = verify_inclusion(&leaf_hash(&record.head_hash), size - 1, size, &path, &head.root).is_ok();
    if leads && Frontier::root(&tree) == head.root {
        Ok(Start::After { size, head_hash: Hash::clone(&record.head_hash), tree: Some(tree) })
    } else {
        Err(none())
    }
}

/// Keeps what came out, as a verification run and in the numbers.
pub(crate) async fn keep(log: &Inner, at: Timestamp, report: Report) -> Result<Verification, VerifyError> {
    let verification = Verification::of(at, report)?;
    let report = &verification.report;
    let findings = report.findings.len() as u64 + report.findings_omitted;
    let run = LastVerification { at, exit_code: report.exit_code, findings };
    *log.verifier.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    if report.exit_code != 0 {
        tracing::error!(exit_code = report.exit_code, findings, "the log does not verify");
    }
    if let Err(error) = log.store.add_run(&VerificationRun { at, report: shortened(report, MAX_RUN_BYTES)? }).await {
        // What was found out is worth more than its being kept.
        tracing::warn!(error = &error as &dyn std::error::Error, "the verification is not kept among the runs");
    }
    Ok(verification)
}

/// A report as JSON with as many of its findings as fit: half as many, until they do.
fn shortened(report: &Report, max_bytes: usize) -> Result<String, StoreError> {
    let mut report = report.clone();
    loop {
        let json = json(&report)?;
        if json.len() <= max_bytes || report.findings.is_empty() {
            return Ok(json);
        }
        let omitted = report.findings.split_off(report.findings.len() / 2);
        report.findings_omitted += omitted.len() as u64;
    }
}

fn json(report: &Report) -> Result<String, StoreError> {
    serde_json::to_string(report).map_err(|error| StoreError::Refused { reason: error.to_string() })
}

impl Verification {
    fn of(at: Timestamp, report: Report) -> Result<Self, VerifyError> {
        Ok(Self { at, exit_code: report.exit_code, json: json(&report)?, report })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_report_is_kept_with_fewer_findings() {
        let mut walk = Walk::new(Subject::Log, None, Start::Beginning, 1_000);
        for seq in 1..=100 {
            walk.add_finding(Finding::new(Kind::ProjectionMismatch, At::Seq(seq), "x".repeat(500)));
        }
        let report = walk.finish(Conclude { now: Timestamp::MIN, max_age_seconds: None, ends_early: false });
        let kept = |max_bytes| {
            let json = shortened(&report, max_bytes).unwrap();
            let kept: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(kept["exitCode"], report.exit_code);
            (json.len(), kept["findings"].as_array().unwrap().len(), kept["findingsOmitted"].as_u64().unwrap_or(0))
        };
        assert_eq!((kept(usize::MAX).1, kept(usize::MAX).2), (100, 0));
        let (bytes, findings, omitted) = kept(20_000);
        assert!(bytes <= 20_000 && findings > 20 && findings as u64 + omitted == 100, "{findings} in {bytes}");
        assert_eq!((kept(10).1, kept(10).2), (0, 100));
    }
}
