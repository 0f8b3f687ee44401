use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, Draft, Kept, RecordError};
use dezky_audit_core::json::Value;
use tempfile::TempDir;

use crate::faulty::Faulty;
use crate::scratch::{BACKENDS, Backend, Scratch, check_log, config, draft, keyed, member, time, world};

async fn faulty(backend: Backend) -> (Scratch, Arc<Faulty>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(backend.open(dir.path()).await);
    (Scratch::over(Arc::clone(&store) as _, dir).await, store)
}

/// Returns when the condition holds; the runner's own limit ends a wait that is in vain.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn spool_is_empty(log: &AuditLog) -> bool {
    log.metrics().spool_entries == 0
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("e-{n:03}")).collect()
}

async fn spool_numbered(log: &AuditLog, range: std::ops::Range<usize>) {
    let fates: Vec<_> = numbered(range).iter().map(|id| log.record_best_effort(keyed("a", id))).collect();
    for fate in fates {
        assert_eq!(fate.await, Kept::Spooled);
    }
}

fn large(id: &str) -> Draft {
    Draft { metadata: Some(vec![("text".to_owned(), Value::from("x".repeat(200_000)))]), ..keyed("large.came", id) }
}

/// Copies the spool as a crash would leave it.
fn crashed(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for folder in fs::read_dir(dir.join("spool")).unwrap() {
        let folder = folder.unwrap().path();
        let target = copy.path().join("spool").join(folder.file_name().unwrap());
        fs::create_dir_all(&target).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
    }
    copy
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut segments = Vec::new();
    for folder in fs::read_dir(dir.join("spool")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.file_name().unwrap().to_str().unwrap().starts_with("seg-") {
                segments.push(file);
            }
        }
    }
    segments.sort();
    segments
}

#[tokio::test]
async fn with_the_store_there_events_go_straight_into_the_log() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let Kept::Recorded(receipt) = scratch.log.record_best_effort(draft("a")).await else { panic!() };
        assert_eq!(receipt.seq.get(), 1);
        let fates: Vec<_> = numbered(0..200).iter().map(|id| scratch.log.record_best_effort(keyed("a", id))).collect();
        for fate in fates {
            assert!(matches!(fate.await, Kept::Recorded(_)));
        }
        assert_eq!(scratch.log.metrics().spooled, 0);
        let events = scratch.finish().await;
        let ids = member(&events, "externalId");
        // The first was given an id of its own.
        assert_eq!(ids[0].len(), 32);
        assert_eq!(ids[1..], numbered(0..200));
    }
}

#[tokio::test]
async fn while_the_store_is_away_events_wait_and_then_arrive_in_order_once() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.set_down(true);
        spool_numbered(&scratch.log, 0..50).await;
        scratch.clock.advance(Duration::from_secs(3_600));
        let without_id = scratch.log.record_best_effort(draft("b"));
        assert_eq!(without_id.await, Kept::Spooled);
        assert!(matches!(scratch.log.record(draft("c")).await, Err(RecordError::Unavailable(_))));
        spool_numbered(&scratch.log, 50..60).await;
        let metrics = scratch.log.metrics();
        assert_eq!((metrics.spool_entries, metrics.spooled, metrics.lost), (61, 61, 0));
        assert!(metrics.spool_bytes > 0 && metrics.spool_bytes < metrics.spool_limit);
        scratch.clock.advance(Duration::from_secs(3_600));

        store.set_down(false);
        until(|| spool_is_empty(&scratch.log)).await;
        let Kept::Recorded(last) = scratch.log.record_best_effort(keyed("a", "last")).await else { panic!() };
        assert_eq!(last.seq.get(), 62);
        for segment in segments(scratch.dir.path()) {
            assert!(fs::read(segment).unwrap().iter().all(|byte| *byte == 0), "what was replayed is wiped");
        }
        let events = scratch.finish().await;
        let ids = member(&events, "externalId");
        assert_eq!(ids[..50], numbered(0..50));
        assert_eq!(ids[50].len(), 32);
        assert_eq!(ids[51..61], numbered(50..60));
        // When it happened, and when it came.
        assert_eq!(member(&events, "at")[50], "2026-05-01T01:00:00.000Z");
        assert_eq!(member(&events, "recordedAt")[50], "2026-05-01T02:00:00.000Z");
    }
}

#[tokio::test]
async fn a_source_that_repeats_what_was_spooled_gets_its_receipt() {
    let (scratch, store) = faulty(Backend::Memory).await;
    store.set_down(true);
    assert_eq!(scratch.log.record_best_effort(keyed("a", "id-1")).await, Kept::Spooled);
    store.set_down(false);
    until(|| spool_is_empty(&scratch.log)).await;
    scratch.clock.advance(Duration::from_secs(60));
    assert!(scratch.log.record(keyed("a", "id-1")).await.unwrap().duplicate);
    assert_eq!(scratch.finish().await.len(), 1);
}

#[tokio::test]
async fn a_store_that_hangs_delays_nobody() {
    let (scratch, store) = faulty(Backend::Memory).await;
    store.hold();
    // The recorder has it, and does not answer: so the spool has it too.
    assert_eq!(scratch.log.record_best_effort(keyed("a", "e-000")).await, Kept::Spooled);
    spool_numbered(&scratch.log, 1..5).await;
    store.release();
    until(|| spool_is_empty(&scratch.log)).await;
    assert_eq!(member(&scratch.finish().await, "externalId"), numbered(0..5));
}

#[tokio::test]
async fn what_a_crash_leaves_is_taken_over_and_arrives_once() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.set_down(true);
        spool_numbered(&scratch.log, 0..40).await;
        let left = crashed(scratch.dir.path());
        // The log lives on, and delivers; then another process finds what the crash left, and delivers it again.
        store.set_down(false);
        until(|| spool_is_empty(&scratch.log)).await;
        let config = Config { spool: config(left.path()).spool, ..config(scratch.dir.path()) };
        let other = AuditLog::open(config, Arc::clone(&store) as _, world().0).await.unwrap();
        until(|| spool_is_empty(&other)).await;
        assert_eq!(other.metrics().duplicates, 40);
        assert!(other.record_best_effort(keyed("a", "e-040")).await != Kept::Lost);
        assert_eq!(member(&check_log(&*store.inner).await, "externalId"), numbered(0..41));
        // The folder that was taken over is removed.
        until(|| fs::read_dir(left.path().join("spool")).unwrap().count() == 1).await;
        drop(other);
        scratch.finish().await;
    }
}

#[tokio::test]
async fn events_of_a_process_that_is_gone_come_before_our_own() {
    let (scratch, store) = faulty(Backend::Memory).await;
    store.set_down(true);
    spool_numbered(&scratch.log, 0..20).await;
    let left = crashed(scratch.dir.path());
    drop(scratch);

    let fresh = Faulty::new(Backend::Memory.open(left.path()).await);
    let other = Scratch::over(Arc::clone(&fresh) as _, left).await;
    let fates: Vec<_> = numbered(20..30).iter().map(|id| other.log.record_best_effort(keyed("a", id))).collect();
    for fate in fates {
        assert!(matches!(fate.await, Kept::Spooled | Kept::Recorded(_)));
    }
    until(|| spool_is_empty(&other.log)).await;
    assert_eq!(member(&other.finish().await, "externalId"), numbered(0..30));
}

#[tokio::test]
async fn a_torn_end_costs_only_what_was_torn() {
    let (scratch, store) = faulty(Backend::Memory).await;
    store.set_down(true);
    spool_numbered(&scratch.log, 0..20).await;
    let left = crashed(scratch.dir.path());
    drop(scratch);
    let segment = segments(left.path()).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 3..].fill(0);
    fs::write(&segment, bytes).unwrap();

    let fresh = Faulty::new(Backend::Memory.open(left.path()).await);
    let other = Scratch::over(Arc::clone(&fresh) as _, left).await;
    until(|| spool_is_empty(&other.log)).await;
    assert_eq!(other.log.metrics().lost, 0);
    assert_eq!(member(&other.finish().await, "externalId"), numbered(0..19));
}

#[tokio::test]
async fn a_spool_that_overflows_tells_how_much_was_lost() {
    for crash in [false, true] {
        let (scratch, store) = faulty(Backend::Memory).await;
        store.set_down(true);
        let (mut kept, mut lost) = (Vec::new(), 0);
        for id in numbered(0..30) {
            scratch.clock.advance(Duration::from_secs(1));
            match scratch.log.record_best_effort(large(&id)).await {
                Kept::Spooled => kept.push(id),
                Kept::Lost => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((kept.len(), lost), (20, 10));
        assert_eq!(scratch.log.metrics().lost, 10);
        let scratch = if crash {
            let left = crashed(scratch.dir.path());
            drop(scratch);
            Scratch::over(Faulty::new(Backend::Memory.open(left.path()).await), left).await
        } else {
            store.set_down(false);
            scratch
        };
        until(|| scratch.log.metrics().head_size == 21).await;
        // The space is free again.
        let later = scratch.log.record_best_effort(large("later")).await;
        assert!(matches!(later, Kept::Recorded(_)));
        let events = scratch.finish().await;
        assert_eq!(member(&events, "externalId")[..20], kept);
        let told: serde_json::Value = serde_json::from_slice(&events[20].line).unwrap();
        assert_eq!((told["action"].as_str(), told["source"].as_str()), (Some("audit.events_lost"), Some("audit")));
        let data = &told["metadata"]["data"];
        assert_eq!(data["count"], 10.0);
        assert!(time(data["since"].as_str().unwrap()) < time(data["until"].as_str().unwrap()));
        assert_eq!(events.len(), 22);
    }
}

#[tokio::test]
async fn the_memory_on_the_way_has_a_limit_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(Backend::Memory.open(dir.path()).await);
    let mut config = config(dir.path());
    config.spool.queue_events = 8;
    let scratch = Scratch::configured(config, Arc::clone(&store) as _, dir).await;
    // Nothing runs in between, so nobody takes them.
    let fates: Vec<_> = numbered(0..20).iter().map(|id| scratch.log.record_best_effort(keyed("a", id))).collect();
    let mut lost = 0;
    for fate in fates {
        lost += usize::from(fate.await == Kept::Lost);
    }
    assert_eq!(lost, 12);
    until(|| scratch.log.metrics().head_size == 9).await;
    let events = scratch.finish().await;
    let told: serde_json::Value = serde_json::from_slice(&events[8].line).unwrap();
    assert_eq!(told["metadata"]["data"]["count"], 12.0);
}

#[tokio::test]
async fn processes_that_share_a_spool_keep_apart() {
    let (scratch, store) = faulty(Backend::Memory).await;
    let other = AuditLog::open(config(scratch.dir.path()), Arc::clone(&store) as _, world().0).await.unwrap();
    store.set_down(true);
    spool_numbered(&scratch.log, 0..10).await;
    spool_numbered(&other, 10..20).await;
    assert_eq!(fs::read_dir(scratch.dir.path().join("spool")).unwrap().count(), 2);
    assert_eq!((scratch.log.metrics().spool_entries, other.metrics().spool_entries), (10, 10));
    store.set_down(false);
    until(|| spool_is_empty(&scratch.log) && spool_is_empty(&other)).await;
    drop(other);
    let ids = member(&scratch.finish().await, "externalId");
    let of =
        |range: std::ops::Range<usize>| ids.iter().filter(|id| numbered(range.clone()).contains(id)).cloned().collect::<Vec<_>>();
    assert_eq!((of(0..10), of(10..20)), (numbered(0..10), numbered(10..20)));
}

#[tokio::test]
async fn a_spooled_event_whose_id_is_taken_blocks_nobody() {
    let (scratch, store) = faulty(Backend::Memory).await;
    scratch.log.record(keyed("a", "e-001")).await.unwrap();
    store.set_down(true);
    assert_eq!(scratch.log.record_best_effort(keyed("b", "e-001")).await, Kept::Spooled);
    spool_numbered(&scratch.log, 2..4).await;
    // The same id twice in the spool: the same event.
    spool_numbered(&scratch.log, 3..4).await;
    store.set_down(false);
    until(|| spool_is_empty(&scratch.log)).await;
    assert_eq!(scratch.log.metrics().refused, 1);
    assert_eq!(member(&scratch.finish().await, "externalId"), numbered(1..4));
}

#[tokio::test]
async fn a_shutdown_leaves_in_the_spool_what_the_store_does_not_take() {
    let (scratch, store) = faulty(Backend::Memory).await;
    store.set_down(true);
    let fates: Vec<_> = numbered(0..10).iter().map(|id| scratch.log.record_best_effort(keyed("a", id))).collect();
    let drained = scratch.log.shutdown(Duration::from_secs(30)).await;
    assert_eq!((drained.complete, drained.spooled), (true, 10));
    for fate in fates {
        assert_eq!(fate.await, Kept::Spooled);
    }
    assert_eq!(scratch.log.record_best_effort(draft("late")).await, Kept::Lost);

    // The next start finds them; a start with nothing left removes its folder at the end.
    let fresh = Faulty::new(Backend::Memory.open(scratch.dir.path()).await);
    let fresh_keys = tempfile::tempdir().unwrap();
    let config = Config { spool: config(scratch.dir.path()).spool, ..config(fresh_keys.path()) };
    let next = Scratch::configured(config, fresh, fresh_keys).await;
    until(|| next.log.metrics().head_size == 10).await;
    assert_eq!(member(&next.finish().await, "externalId"), numbered(0..10));
    assert_eq!(fs::read_dir(scratch.dir.path().join("spool")).unwrap().count(), 0);
}
