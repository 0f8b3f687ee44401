use std::sync::Arc;
use std::time::Duration;

use dezky_audit::Scope;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::verify::Trust;
use dezky_cold::{RestoreError, restore, restore_all};
use dezky_store::{EventLog, Store};

use crate::faulty::{Fault, LyingDepot};
use crate::scratch::{Scratch, sqlite};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn archived() -> Scratch {
    let scratch = Scratch::new().await;
    scratch.record(25).await;
    scratch.archiver().run().await.unwrap();
    scratch
}

#[tokio::test]
async fn a_batch_comes_back_for_a_while() {
    let scratch = archived().await;
    let archived = scratch.archived();
    let until = "2026-05-08T00:00:00.000Z".parse().unwrap();
    let dir = scratch.dir.path();
    let restored = restore(&scratch.log, &*scratch.depot, 11, until, scratch.now(), dir).await.unwrap();
    assert_eq!(restored, 10);
    let hot = scratch.hot().await;
    assert!((11..=20).all(|seq| hot[&seq] == archived[&seq]));
    let found = scratch.log.get(&Scope::All, Seq::new(15).unwrap()).await.unwrap();
    assert_eq!(found.unwrap().line, archived[&15]);
    // Again is the same; it is not archived again; and then it leaves.
    restore(&scratch.log, &*scratch.depot, 11, until, scratch.now(), dir).await.unwrap();
    let report = scratch.archiver_with(DAY, 10).run().await.unwrap();
    assert!(report.batches.is_empty() && report.expired == 0);
    scratch.clock.advance(8 * DAY);
    assert_eq!(scratch.archiver_with(90 * DAY, 10).run().await.unwrap().expired, 10);
    scratch.assert_archived_up_to(25).await;
}

#[tokio::test]
async fn what_does_not_verify_does_not_come_back() {
    let scratch = archived().await;
    let until = "2026-05-08T00:00:00.000Z".parse().unwrap();
    for (prefix, fault) in [("events/", Fault::WrongByte), ("manifests/", Fault::WrongByte), ("events/", Fault::NotThere)] {
        let depot = LyingDepot { inner: Arc::clone(&scratch.depot), prefix, script: std::sync::Mutex::new([fault].into()) };
        let refused = restore(&scratch.log, &depot, 1, until, scratch.now(), scratch.dir.path()).await.unwrap_err();
        assert!(matches!(refused, RestoreError::NotIntact { start: 1, .. }), "{refused}");
    }
    let refused = restore(&scratch.log, &*scratch.depot, 2, until, scratch.now(), scratch.dir.path()).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NoSuchBatch { start: 2 }), "{refused}");
    scratch.assert_archived_up_to(25).await;
}

fn trust(scratch: &Scratch) -> Trust {
    Trust::new(Some(scratch.log.origin().clone()), scratch.log.key_ring().clone(), None).unwrap()
}

async fn rebuild(scratch: &Scratch, to: &Arc<dyn Store>) -> Result<dezky_cold::Rebuilt, RestoreError> {
    let dir = scratch.dir.path().to_owned();
    restore_all(Arc::clone(&scratch.depot), Arc::clone(to), trust(scratch), scratch.now(), dir).await
}

#[tokio::test]
async fn a_whole_store_comes_back_from_the_archive_alone() {
    let scratch = archived().await;
    scratch.log.checkpoint(dezky_audit::Reason::Manual).await.unwrap();
    scratch.archiver().run().await.unwrap();
    let lines: Vec<_> = scratch.archived().into_values().collect();
    let to = sqlite(&scratch.dir.path().join("new.db")).await;
    let rebuilt = rebuild(&scratch, &to).await.unwrap();
    assert_eq!((rebuilt.size, rebuilt.written, rebuilt.report.exit_code), (28, 28, 0), "{:?}", rebuilt.report.findings);
    let read = EventLog::read(&*to, 1..=100, dezky_store::ReadLimit::default()).await.unwrap();
    assert!(read.iter().map(|stored| &stored.line).eq(&lines));
    // The same streams, tiles and receipts as where it came from, which has one event more.
    let tenant = "acme".parse().unwrap();
    let head = EventLog::tenant_head(&*scratch.store, &tenant).await.unwrap();
    assert_eq!(EventLog::tenant_head(&*to, &tenant).await.unwrap(), head);
    assert_eq!(to.batches(1..=28, 10).await.unwrap(), scratch.store.batches(1..=28, 10).await.unwrap());
    // Once more changes nothing.
    assert_eq!(rebuild(&scratch, &to).await.unwrap().written, 0);
    to.close().await;
}

#[tokio::test]
async fn a_store_that_holds_something_else_is_left_alone() {
    let (scratch, other) = (archived().await, Scratch::new().await);
    other.record(3).await;
    let before = other.hot().await;
    let refused = rebuild(&scratch, &other.store).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { size: 3 }), "{refused}");
    assert_eq!(other.hot().await, before);
}
