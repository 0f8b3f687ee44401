//! The small state.

use std::time::Duration;

use dezky_audit_core::hash::Hash;

use super::scribe::{Sample, Scribe};
use super::{Fixture, held, origin, time};
use crate::archives::{BatchId, BatchRecord, Intent};
use crate::bookmarks::{Bookmark, Swap};
use crate::checkpoints::CheckpointRecord;
use crate::directory::{Change, FLAGS, TENANTS};
use crate::error::StoreError;
use crate::leases::{Fence, Lease};
use crate::log::ReadLimit;
use crate::runs::VerificationRun;

pub async fn checkpoints_are_only_added(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    assert_eq!(store.latest_checkpoint().await.unwrap(), None);
    let record = |size: u64, note: &str| CheckpointRecord {
        at: time(size * 10),
        size,
        head_hash: Hash::of(note.as_bytes()),
        root: Hash::of(&size.to_be_bytes()),
        reason: "interval".to_owned(),
        note: note.to_owned(),
    };
    let records = [record(5, "five"), record(0, "nothing"), record(9, "nine"), record(5, "five again"), record(7, "seven")];
    for record in &records {
        store.put_checkpoint(record).await.unwrap();
    }
    // Once more, with what is not part of the note changed: the first stays.
    store.put_checkpoint(&CheckpointRecord { reason: "manual".to_owned(), ..records[0].clone() }).await.unwrap();
    let [five, nothing, nine, again, seven] = records;
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some(nine.clone()));
    assert_eq!(store.checkpoint_at(5).await.unwrap(), Some(again.clone()));
    assert_eq!(store.checkpoint_at(6).await.unwrap(), None);
    assert_eq!(store.checkpoint_covering(6).await.unwrap(), Some(seven.clone()));
    assert_eq!(store.checkpoint_covering(5).await.unwrap(), Some(again.clone()));
    assert_eq!(store.checkpoint_covering(10).await.unwrap(), None);
    assert_eq!(store.checkpoint_at(0).await.unwrap(), Some(nothing));
    assert_eq!(store.checkpoints(0, 10).await.unwrap(), [five.clone(), again.clone(), seven, nine]);
    assert_eq!(store.checkpoints(0, 1).await.unwrap(), [five, again]);
    assert_eq!(store.checkpoints(9, 10).await.unwrap(), []);
}

pub async fn bookmarks_are_swapped(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    assert_eq!(store.bookmark("authentik").await.unwrap(), None);
    assert_eq!(store.move_bookmark("authentik", 3, "x").await.unwrap(), Swap::Conflict { version: 0 });
    assert_eq!(store.move_bookmark("authentik", 0, "a").await.unwrap(), Swap::Done { version: 1 });
    assert_eq!(store.move_bookmark("authentik", 0, "b").await.unwrap(), Swap::Conflict { version: 1 });
    assert_eq!(store.move_bookmark("authentik", 1, "c").await.unwrap(), Swap::Done { version: 2 });
    let expected = Bookmark { version: 2, value: "c".to_owned() };
    assert_eq!(store.bookmark("authentik").await.unwrap(), Some(expected));
    assert_eq!(store.bookmark("ocis").await.unwrap(), None);
    for (name, value) in [("", "x".to_owned()), ("ocis", "x".repeat(70_000))] {
        assert!(matches!(store.move_bookmark(name, 0, &value).await, Err(StoreError::Refused { .. })));
    }
}

pub async fn batches_do_not_cross(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    Scribe::new(&origin()).append(&*store, &vec![Sample::at(1); 30]).await;
    let fence = held(&*store, "archiver").await;
    let batch = |start, end, revision, document: &str| BatchRecord {
        id: BatchId { start, end, revision },
        document: document.to_owned(),
    };
    assert_eq!(store.newest_batch().await.unwrap(), None);
    let (first, second, again) = (batch(1, 10, 0, "a"), batch(11, 20, 0, "b"), batch(1, 10, 1, "c"));
    for record in [&first, &second, &again, &first] {
        store.put_batch(record, &fence).await.unwrap();
    }
    for bad in
        [batch(1, 10, 0, "other"), batch(5, 10, 0, "x"), batch(20, 25, 0, "x"), batch(21, 31, 0, "x"), batch(25, 24, 0, "x")]
    {
        let result = store.put_batch(&bad, &fence).await;
        assert!(matches!(result, Err(StoreError::Refused { .. })), "{bad:?} {result:?}");
    }
    assert_eq!(store.batches(1..=u64::MAX, 10).await.unwrap(), [again.clone(), second.clone()]);
    assert_eq!(store.batches(10..=11, 10).await.unwrap(), [again.clone(), second.clone()]);
    assert_eq!(store.batches(11..=11, 10).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.batches(1..=20, 1).await.unwrap(), [again]);
    assert_eq!(store.batches(21..=30, 10).await.unwrap(), []);
    assert_eq!(store.newest_batch().await.unwrap(), Some(second));

    let intent = Intent { start: 21, end: 30, document: "{}".to_owned() };
    assert_eq!(store.archive_intent().await.unwrap(), None);
    store.set_archive_intent(Some(&intent), &fence).await.unwrap();
    assert_eq!(store.archive_intent().await.unwrap(), Some(intent));
    store.set_archive_intent(None, &fence).await.unwrap();
    assert_eq!(store.archive_intent().await.unwrap(), None);
    let old = Fence { token: fence.token + 7, ..fence };
    assert!(matches!(store.set_archive_intent(None, &old).await, Err(StoreError::Fenced { .. })));
    assert!(matches!(store.put_batch(&batch(21, 30, 0, "x"), &old).await, Err(StoreError::Fenced { .. })));
}

pub async fn leases_fence(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let ask = async |holder: &str, now| store.lease("job", holder, Duration::from_millis(100), time(now)).await.unwrap();
    let held = |token, until| Lease::Held { fence: Fence { lease: "job".to_owned(), token }, until: time(until) };
    assert_eq!(ask("a", 1_000).await, held(1, 1_100));
    assert_eq!(ask("b", 1_050).await, Lease::Taken { holder: "a".to_owned(), until: time(1_100) });
    assert_eq!(ask("a", 1_080).await, held(1, 1_180));
    assert_eq!(ask("b", 1_180).await, held(2, 1_280));
    assert_eq!(ask("a", 1_200).await, Lease::Taken { holder: "b".to_owned(), until: time(1_280) });
    // Who lost it cannot give it back; and who comes back late is somebody else.
    store.release(&Fence { lease: "job".to_owned(), token: 1 }).await.unwrap();
    assert_eq!(ask("a", 1_210).await, Lease::Taken { holder: "b".to_owned(), until: time(1_280) });
    store.release(&Fence { lease: "job".to_owned(), token: 2 }).await.unwrap();
    assert_eq!(ask("a", 1_220).await, held(3, 1_320));
    assert_eq!(ask("a", 2_000).await, held(4, 2_100));
    let other = store.lease("other", "b", Duration::MAX, time(1)).await.unwrap();
    assert!(matches!(other, Lease::Held { fence: Fence { token: 1, .. }, .. }), "{other:?}");
}

pub async fn runs_are_listed_newest_first(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let run = |at, report: &str| VerificationRun { at: time(at), report: report.to_owned() };
    for nth in [run(1, "{}"), run(3, "[]"), run(2, "0")] {
        store.add_run(&nth).await.unwrap();
    }
    assert_eq!(store.runs(2).await.unwrap(), [run(2, "0"), run(3, "[]")]);
    assert_eq!(store.runs(9).await.unwrap().len(), 3);
}

pub async fn documents_and_outbox_change_together(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let change = |collection: &str, key: &str, expected, body: &str| Change {
        collection: collection.to_owned(),
        key: key.to_owned(),
        expected,
        body: body.to_owned(),
    };
    let entries = |bodies: &[&str]| bodies.iter().map(|body| (*body).to_owned()).collect::<Vec<_>>();
    let put = async |change: Change, outbox: &[&str]| store.change_document(&change, &entries(outbox)).await.unwrap();
    assert_eq!(put(change(TENANTS, "b", 0, "1"), &["created b"]).await, Swap::Done { version: 1 });
    assert_eq!(put(change(TENANTS, "b", 0, "2"), &["never"]).await, Swap::Conflict { version: 1 });
    assert_eq!(put(change(TENANTS, "c", 4, "2"), &["never"]).await, Swap::Conflict { version: 0 });
    assert_eq!(put(change(TENANTS, "b", 1, "3"), &["updated b", "told b"]).await, Swap::Done { version: 2 });
    assert_eq!(put(change(TENANTS, "a", 0, "4"), &[]).await, Swap::Done { version: 1 });
    assert_eq!(put(change(FLAGS, "a", 0, "5"), &[]).await, Swap::Done { version: 1 });
    let listed = store.documents(TENANTS, None, 10).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|d| (d.key.as_str(), d.version, d.body.as_str())).collect();
    assert_eq!(listed, [("a", 1, "4"), ("b", 2, "3")]);
    assert_eq!(store.documents(TENANTS, Some("a"), 10).await.unwrap().len(), 1);
    assert_eq!(store.documents(TENANTS, None, 1).await.unwrap()[0].key, "a");
    assert_eq!(store.document(FLAGS, "a").await.unwrap().unwrap().body, "5");
    assert_eq!(store.document(FLAGS, "b").await.unwrap(), None);
    let outbox = store.outbox(10).await.unwrap();
    let bodies: Vec<_> = outbox.iter().map(|entry| entry.body.as_str()).collect();
    assert_eq!(bodies, ["created b", "updated b", "told b"]);
    store.ack_outbox(&[outbox[1].id, 999]).await.unwrap();
    assert_eq!(store.outbox(10).await.unwrap(), [outbox[0].clone(), outbox[2].clone()]);
    assert_eq!(store.outbox(1).await.unwrap(), [outbox[0].clone()]);
    for bad in [
        change("Tenants", "a", 0, ""),
        change("", "a", 0, ""),
        change(FLAGS, "", 0, ""),
        change(FLAGS, "x", 0, &"x".repeat(2 << 20)),
    ] {
        assert!(matches!(store.change_document(&bad, &[]).await, Err(StoreError::Refused { .. })));
    }
}

pub async fn settings_are_made_once(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    assert_eq!(store.setting("colour").await.unwrap(), None);
    assert_eq!(store.get_or_create_setting("colour", "red").await.unwrap(), "red");
    assert_eq!(store.get_or_create_setting("colour", "blue").await.unwrap(), "red");
    assert_eq!(store.setting("colour").await.unwrap().as_deref(), Some("red"));
}

pub async fn a_closed_store_is_unavailable(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[Sample::at(1)]).await;
    store.close().await;
    let unavailable = |error: StoreError| assert!(error.is_temporary(), "{error:?}");
    unavailable(store.head().await.unwrap_err());
    unavailable(store.read(1..=1, ReadLimit::default()).await.unwrap_err());
    unavailable(store.append(scribe.tip(), scribe.clone().seal(&[Sample::at(2)])).await.unwrap_err());
    store.close().await;
}
