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
