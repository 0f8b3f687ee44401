use std::path::Path;
use std::sync::Arc;

use dezky_audit::{Reason, Verification, VerifyError, VerifyOptions};
use dezky_audit_core::verify::{At, Completeness, HeadSource, Integrity, Kind};

use crate::scratch::{BACKENDS, Backend, Scratch, draft, of_tenant};

/// Somebody with access to the file.
pub(crate) fn tamper(dir: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(dir.join("audit.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// The events as they are, and back to them.
const SAVE: &str = "CREATE TABLE saved AS SELECT seq, line FROM event";
const RESTORE: &str = "DELETE FROM event; INSERT INTO event (seq, line) SELECT seq, line FROM saved";

async fn recorded(backend: Backend, n: usize) -> Scratch {
    let scratch = Scratch::new(backend).await;
    let some = |n: usize| if n.is_multiple_of(2) { of_tenant("acme", draft("user.login")) } else { draft("platform.started") };
    scratch.log.record_batch((0..n).map(some).collect()).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    scratch.store.settle().await.unwrap();
    scratch
}

async fn verify(scratch: &Scratch) -> Verification {
    scratch.log.verify(VerifyOptions::default()).await.unwrap()
}

fn kinds(verification: &Verification) -> Vec<(Kind, At)> {
    verification.report.findings.iter().map(|finding| (finding.kind, finding.at)).collect()
}

#[tokio::test]
async fn an_intact_log_verifies_up_to_a_fresh_checkpoint() {
    for backend in BACKENDS {
        let scratch = recorded(backend, 5_000).await;
        scratch.log.record(draft("not.signed.yet")).await.unwrap();
        let verification = verify(&scratch).await;
        let report = &verification.report;
        assert_eq!((report.integrity, report.completeness), (Integrity::Ok, Completeness::Complete));
        assert_eq!((report.events, report.authenticated_size, verification.exit_code), (5_001, 5_001, 0));
        let head = report.head.unwrap();
        assert_eq!((head.size, head.source), (5_001, HeadSource::Store));
        assert_eq!(report.trust.len(), 1);
        let runs = scratch.store.runs(10).await.unwrap();
        assert_eq!((runs.len(), &runs[0].report), (1, &verification.json));
        let metrics = scratch.log.metrics();
        assert_eq!((metrics.verifying, metrics.verified_events), (false, 5_001));
        assert_eq!((metrics.last_verify_exit_code, metrics.last_verify_findings), (Some(0), Some(0)));
        scratch.finish().await;
    }
}

#[tokio::test]
async fn an_empty_log_under_a_signed_size_0_is_proven() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let verification = verify(&scratch).await;
        assert_eq!(verification.exit_code, 0, "{}", verification.json);
        scratch.finish().await;
    }
}

#[tokio::test]
async fn verification_may_start_behind_a_checkpoint() {
    for backend in BACKENDS {
        let scratch = recorded(backend, 700).await;
        scratch.log.record_batch((0..300).map(|_| of_tenant("acme", draft("later"))).collect()).await.unwrap();
        let from = VerifyOptions { from: Some(700), ..VerifyOptions::default() };
        let verification = scratch.log.verify(from).await.unwrap();
        assert_eq!((verification.report.events, verification.exit_code), (300, 0), "{}", verification.json);
        // A look at a part is no verification of the log.
        assert_eq!((scratch.store.runs(9).await.unwrap(), scratch.log.last_verification()), (Vec::new(), None));
        verify(&scratch).await;
        let kept = scratch.log.last_verification().map(|last| last.at);
        assert_eq!(kept, scratch.store.runs(9).await.unwrap().first().map(|run| run.at));
        let unknown = VerifyOptions { from: Some(699), ..VerifyOptions::default() };
        assert!(matches!(scratch.log.verify(unknown).await, Err(VerifyError::NoSuchCheckpoint { size: 699 })));
        scratch.finish().await;
    }
}

#[tokio::test]
async fn every_change_behind_our_back_is_found_where_it_was_made() {
    let scratch = recorded(Backend::Sqlite, 100).await;
    let dir = scratch.dir.path();
    tamper(dir, SAVE);
    let cases = [
        ("UPDATE event SET line = replace(line, 'success', 'failure') WHERE seq = 42", (Kind::EventHashMismatch, At::Seq(42)), 1),
        ("DELETE FROM event WHERE seq = 50", (Kind::SeqGap, At::Seq(51)), 3),
        ("DELETE FROM event WHERE seq > 90", (Kind::Truncated, At::HeadSeq(100)), 3),
        ("UPDATE event SET line = 'x' WHERE seq = 7", (Kind::MalformedEvent, At::Seq(7)), 1),
        ("DELETE FROM event", (Kind::Truncated, At::HeadSeq(100)), 3),
    ];
    for (sql, expected, exit_code) in cases {
        tamper(dir, sql);
        let verification = verify(&scratch).await;
        assert_eq!(kinds(&verification), [expected], "{sql}");
        assert_eq!(verification.exit_code, exit_code, "{sql}");
        tamper(dir, RESTORE);
        assert_eq!(verify(&scratch).await.exit_code, 0, "restored after {sql}");
    }
    scratch.finish().await;
}

#[tokio::test]
async fn what_stands_behind_a_hole_of_any_length_is_walked_too() {
    let scratch = recorded(Backend::Sqlite, 9_500).await;
    let dir = scratch.dir.path();
    tamper(dir, SAVE);
    // Two thousand are read at once.
    for (first, last) in [(1_999, 2_002), (2_001, 4_000), (4_001, 6_500), (100, 9_400), (2, 4_001), (6_001, 9_499)] {
        tamper(dir, &format!("DELETE FROM event WHERE seq BETWEEN {first} AND {last}"));
        let verification = verify(&scratch).await;
        assert_eq!(kinds(&verification), [(Kind::SeqGap, At::Seq(last + 1))], "{first} to {last}");
        assert_eq!(verification.report.events, 9_500 - (last + 1 - first), "{first} to {last}");
        tamper(dir, RESTORE);
    }
    scratch.finish().await;
}

#[tokio::test]
async fn a_search_copy_that_says_something_else_is_found() {
    let scratch = recorded(Backend::Sqlite, 20).await;
    tamper(scratch.dir.path(), "UPDATE search SET actor_type = 'operator' WHERE seq = 9");
    let verification = verify(&scratch).await;
    assert_eq!(kinds(&verification), [(Kind::ProjectionMismatch, At::Seq(9))]);
    let finding = &verification.report.findings[0];
    assert_eq!((finding.expected.as_deref(), finding.actual.as_deref()), (Some("actor_type=user"), Some("actor_type=operator")));
    tamper(scratch.dir.path(), "UPDATE search SET actor_type = 'user' WHERE seq = 9");
    scratch.finish().await;
}

#[tokio::test]
async fn a_broken_signature_is_found() {
    let scratch = recorded(Backend::Sqlite, 20).await;
    scratch.log.record(draft("one.more")).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    tamper(scratch.dir.path(), "CREATE TABLE saved AS SELECT * FROM checkpoint");
    // The text of the note changes, its signature does not.
    let root = scratch.store.checkpoint_at(20).await.unwrap().unwrap().root.to_base64();
    let other = scratch.store.checkpoint_at(21).await.unwrap().unwrap().root.to_base64();
    tamper(scratch.dir.path(), &format!("UPDATE checkpoint SET note = replace(note, '{root}', '{other}') WHERE size = 20"));
    let verification = verify(&scratch).await;
    assert_eq!(kinds(&verification), [(Kind::CheckpointSignatureMismatch, At::HeadSeq(20))]);
    tamper(scratch.dir.path(), "DELETE FROM checkpoint; INSERT INTO checkpoint SELECT * FROM saved");
    scratch.finish().await;
}

#[tokio::test]
async fn findings_beyond_the_limit_are_counted() {
    let scratch = recorded(Backend::Sqlite, 50).await;
    tamper(scratch.dir.path(), "UPDATE event SET line = replace(line, 'success', 'failure')");
    let options = VerifyOptions { max_findings: Some(10), ..VerifyOptions::default() };
    let verification = scratch.log.verify(options).await.unwrap();
    assert_eq!((verification.report.findings.len(), verification.report.findings_omitted), (10, 40));
    assert_eq!(scratch.log.metrics().last_verify_findings, Some(50));
}

#[tokio::test]
async fn one_verification_runs_at_a_time_and_dropping_it_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::faulty::Faulty::new(Backend::Memory.open(dir.path()).await);
    let scratch = Scratch::over(Arc::clone(&store) as _, dir).await;
    scratch.log.record(draft("a")).await.unwrap();
    let running = tokio::spawn({
        let log = scratch.log.clone();
        async move { log.verify(VerifyOptions::default()).await }
    });
    while !scratch.log.metrics().verifying {
        tokio::task::yield_now().await;
    }
    assert!(matches!(scratch.log.verify(VerifyOptions::default()).await, Err(VerifyError::Running)));
    running.abort();
    drop(running.await);
    while scratch.log.metrics().verifying {
        tokio::task::yield_now().await;
    }
    scratch.finish().await;
}
