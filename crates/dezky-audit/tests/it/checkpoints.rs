//! Time is tokio's own here, paused: whatever is due happens as soon as everybody waits.

use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{CheckpointError, CheckpointRecord, Reason, Store, Stored};
use dezky_audit_core::checkpoint::{Opened, open};
use dezky_audit_core::note::{KeyRing, VerifyingKey};

use crate::faulty::Faulty;
use crate::scratch::{Backend, ORIGIN, Scratch, draft, member};

async fn sizes(store: &dyn Store) -> Vec<(u64, String)> {
    let records = store.checkpoints(0, 1_000).await.unwrap();
    records.into_iter().map(|record| (record.size, record.reason)).collect()
}

fn verifies(scratch: &Scratch, record: &CheckpointRecord) {
    let mut ring = KeyRing::new();
    ring.add(scratch.log.keys()[0].vkey.parse::<VerifyingKey>().unwrap()).unwrap();
    let Opened::Verified(verified) = open(record.note.as_bytes(), ORIGIN, &ring) else { panic!("{}", record.note) };
    assert_eq!((verified.checkpoint.size, verified.checkpoint.root), (record.size, record.root));
}

/// The spool's thread knows no tokio time, so that it has to run again while it is waited for.
async fn finish(scratch: Scratch) -> Vec<Stored> {
    tokio::time::resume();
    scratch.finish().await
}

#[tokio::test]
async fn an_empty_log_is_signed_at_startup_and_nothing_new_is_not_signed_again() {
    let scratch = Scratch::new(Backend::Memory).await;
    let first = scratch.log.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!((first.size, first.reason.as_str()), (0, "startup"));
    verifies(&scratch, &first);
    assert_eq!(scratch.log.checkpoint(Reason::Manual).await.unwrap(), first);
    scratch.log.record(draft("a")).await.unwrap();
    let second = scratch.log.checkpoint(Reason::Manual).await.unwrap();
    assert_eq!((second.size, second.reason.as_str()), (1, "manual"));
    verifies(&scratch, &second);
    assert_eq!(scratch.log.checkpoint(Reason::Manual).await.unwrap(), second);
    assert_eq!(scratch.log.checkpoint_at(1).await.unwrap(), Some(second));
    assert_eq!(scratch.log.checkpoint_at(2).await.unwrap(), None);
    assert_eq!(scratch.log.metrics().checkpoints, 2);
    scratch.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_signed_for_within_five_minutes() {
    let scratch = Scratch::new(Backend::Memory).await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    scratch.log.record(draft("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(sizes(&*scratch.store).await, []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sizes(&*scratch.store).await, [(1, "interval".to_owned())]);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(sizes(&*scratch.store).await.len(), 1);
    finish(scratch).await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_events_are_signed_for_at_most_once_a_second() {
    let scratch = Scratch::new(Backend::Memory).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    for _ in 0..5 {
        scratch.log.record_batch((0..100).map(|_| draft("a")).collect()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let signed = sizes(&*scratch.store).await;
    assert_eq!(signed[0], (100, "threshold".to_owned()));
    assert_eq!(signed.last().unwrap().0, 500);
    assert_eq!(signed.len(), 3);
    finish(scratch).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_hour_the_log_shows_that_it_is_alive() {
    let scratch = Scratch::new(Backend::Memory).await;
    scratch.log.record(draft("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 3_600 + 60)).await;
    let reasons: Vec<_> = sizes(&*scratch.store).await;
    let beat = |size| (size, "heartbeat".to_owned());
    assert_eq!(reasons, [(1, "interval".to_owned()), beat(2), beat(3), beat(4)]);
    let events = finish(scratch).await;
    assert_eq!(member(&events, "action"), ["a", "audit.heartbeat", "audit.heartbeat", "audit.heartbeat"]);
    assert_eq!(member(&events, "source")[1], "audit");
    assert_eq!(member(&events, "actorType")[1], "system");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(Backend::Memory.open(dir.path()).await);
    let scratch = Scratch::over(Arc::clone(&store) as _, dir).await;
    scratch.log.record(draft("a")).await.unwrap();
    store.set_down(true);
    assert!(matches!(scratch.log.checkpoint(Reason::Manual).await, Err(CheckpointError::Store(_))));
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(scratch.log.metrics().checkpoint_failures > 1);
    store.set_down(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(sizes(&*store.inner).await, [(1, "interval".to_owned())]);
    finish(scratch).await;
}

#[tokio::test]
async fn all_who_ask_at_once_get_an_answer() {
    let scratch = Scratch::new(Backend::Sqlite).await;
    scratch.log.record(draft("a")).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let log = scratch.log.clone();
        callers.spawn(async move { log.checkpoint(Reason::Manual).await.unwrap().size });
    }
    while let Some(size) = callers.join_next().await {
        assert_eq!(size.unwrap(), 1);
    }
    scratch.finish().await;
}

/// Another process on the same store, with the same keys.
async fn beside(scratch: &Scratch) -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    copy_keys(scratch, &dir);
    let config = crate::scratch::config(dir.path());
    Scratch::configured(config, Arc::clone(&scratch.store), dir).await
}

fn copy_keys(scratch: &Scratch, dir: &tempfile::TempDir) {
    let keys = dir.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    for name in ["log.key", "ingest.secret"] {
        std::fs::copy(scratch.dir.path().join("keys").join(name), keys.join(name)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_processes_one_signs_by_the_clock_also_for_the_events_of_the_others() {
    let first = Scratch::new(Backend::Memory).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = beside(&first).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    second.log.record(draft("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(320)).await;
    assert_eq!(sizes(&*first.store).await, [(1, "interval".to_owned())]);
    assert_eq!((first.log.metrics().checkpoints, second.log.metrics().checkpoints), (2, 0));
    // Whoever is asked signs at once; and the one hour without an event is one hour.
    first.log.record(draft("b")).await.unwrap();
    assert_eq!(second.log.checkpoint(Reason::Manual).await.unwrap().size, 2);
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    assert_eq!(sizes(&*first.store).await.last().unwrap(), &(3, "heartbeat".to_owned()));
    // What the other signed is known, and kept beside the store.
    let kept = std::fs::read_to_string(second.dir.path().join("keys/checkpoint.note")).unwrap();
    assert_eq!(kept, first.log.latest_checkpoint().await.unwrap().unwrap().note);
    drop(second);
    finish(first).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_takes_over_when_the_one_that_signs_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Backend::Memory.open(dir.path()).await;
    // One that died without a word.
    let now = crate::scratch::time("2026-05-01T00:00:00.000Z");
    store.lease("checkpointer", "dead", Duration::from_secs(30), now).await.unwrap();
    let scratch = Scratch::over(store, dir).await;
    scratch.log.record(draft("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(sizes(&*scratch.store).await, []);
    scratch.clock.advance(Duration::from_secs(31));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(sizes(&*scratch.store).await, [(1, "interval".to_owned())]);
    // One that stops gives the lease back.
    let second = beside(&scratch).await;
    drop(scratch.log);
    tokio::time::sleep(Duration::from_secs(20)).await;
    second.log.record(draft("b")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert_eq!(sizes(&*second.store).await.last().unwrap(), &(2, "interval".to_owned()));
    finish(second).await;
}

#[tokio::test]
async fn two_that_sign_at_once_sign_one_tree() {
    let first = Scratch::new(Backend::Memory).await;
    let second = beside(&first).await;
    for round in 0..50 {
        let (a, b) = tokio::join!(first.log.record(draft("a")), second.log.record(draft("b")));
        assert!(a.is_ok() && b.is_ok());
        let (a, b) = tokio::join!(first.log.checkpoint(Reason::Manual), second.log.checkpoint(Reason::Manual));
        assert_eq!((a.unwrap().size, b.unwrap().size), (2 * round + 2, 2 * round + 2));
    }
    let signed = sizes(&*first.store).await;
    assert!(signed.is_sorted());
    drop(second);
    first.finish().await;
}

#[tokio::test]
async fn a_process_with_a_key_of_its_own_never_signs() {
    let first = Scratch::new(Backend::Memory).await;
    first.log.record(draft("a")).await.unwrap();
    let signed = first.log.checkpoint(Reason::Manual).await.unwrap();
    // It would have to have been let in before the first checkpoint: then its next one is refused.
    let dir = tempfile::tempdir().unwrap();
    let empty = Faulty::new(Backend::Memory.open(dir.path()).await);
    let stranger = Scratch::over(Arc::clone(&empty) as _, dir).await;
    empty.swap(Arc::clone(&first.store));
    let error = stranger.log.checkpoint(Reason::Manual).await.unwrap_err();
    assert!(matches!(error, CheckpointError::OtherSigner { size: 1, .. }), "{error}");
    // And on an empty store the first to register its keys is the one whose log it is.
    let fresh = Backend::Memory.open(stranger.dir.path()).await;
    fresh.move_bookmark("signing-keys", 0, &first.log.keys()[0].vkey).await.unwrap();
    let config = crate::scratch::config(stranger.dir.path());
    let refused = dezky_audit::AuditLog::open(config, fresh, crate::scratch::world().0).await.err().unwrap();
    assert!(matches!(refused, dezky_audit::OpenError::OtherSigner { .. }), "{refused}");
    assert_eq!(first.log.latest_checkpoint().await.unwrap(), Some(signed));
    first.finish().await;
}
