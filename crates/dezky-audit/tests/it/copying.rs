use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dezky_audit::copy::{Copied, CopyError, CopyOptions, Progress, Stage, copy};
use dezky_audit::{KeyRing, Reason, Store, VerifyOptions};
use dezky_audit_core::note::VerifyingKey;
use dezky_store::memory::MemoryStore;
use dezky_store::{BatchId, BatchRecord, Change, Lease, Settings, VerificationRun};

use crate::faulty::{Fault, Faulty, rival_append};
use crate::scratch::{BACKENDS, Backend, Scratch, check_log, draft, keyed, of_tenant, origin, read_all, time};

/// A log with what a log has: tenants, known keys, checkpoints, a verification, documents, a cursor.
async fn furnished(backend: Backend) -> Scratch {
    let scratch = Scratch::new(backend).await;
    for round in 0..12 {
        let mut drafts = Vec::new();
        for n in 0..50 {
            let plain = if n % 3 == 0 { draft("a.b") } else { keyed("a.c", &format!("id-{round}-{n}")) };
            drafts.push(if n % 2 == 0 { of_tenant(["acme", "globex", "initech"][n % 3], plain) } else { plain });
        }
        scratch.log.record_batch(drafts).await.unwrap();
        scratch.log.checkpoint(Reason::Manual).await.unwrap();
    }
    assert_eq!(scratch.log.verify(VerifyOptions::default()).await.unwrap().exit_code, 0);
    let change = Change { collection: "tenants".to_owned(), key: "acme".to_owned(), expected: 0, body: "{\"n\":1}".to_owned() };
    scratch.store.change_document(&change, &[]).await.unwrap();
    scratch.store.move_bookmark("source/ocis", 0, "17:4").await.unwrap();
    scratch
}

fn options(scratch: &Scratch) -> CopyOptions {
    let mut keys = KeyRing::new();
    keys.add(scratch.log.keys()[0].vkey.parse::<VerifyingKey>().unwrap()).unwrap();
    CopyOptions { keys, bookmarks: vec!["source/ocis".to_owned()] }
}

async fn copied(from: &dyn Store, to: &dyn Store, options: &CopyOptions) -> Result<Copied, CopyError> {
    copy(from, to, options, time("2026-05-01T01:00:00.000Z"), &|_| {}).await
}

/// Everything that the contract lets one ask for is the same.
async fn assert_same(from: &dyn Store, to: &dyn Store) {
    let head = from.head().await.unwrap();
    assert_eq!(to.head().await.unwrap(), head);
    assert_eq!(read_all(to, head.size).await, read_all(from, head.size).await);
    assert_eq!(to.tenant_heads(None, 100).await.unwrap(), from.tenant_heads(None, 100).await.unwrap());
    assert_eq!(to.receipts(None, 10_000).await.unwrap(), from.receipts(None, 10_000).await.unwrap());
    assert_eq!(to.checkpoints(0, 1_000).await.unwrap(), from.checkpoints(0, 1_000).await.unwrap());
    assert_eq!(to.checkpoint_at(0).await.unwrap(), from.checkpoint_at(0).await.unwrap());
    assert_eq!(to.runs(100).await.unwrap(), from.runs(100).await.unwrap());
    assert_eq!(to.documents("tenants", None, 10).await.unwrap(), from.documents("tenants", None, 10).await.unwrap());
    for name in ["source/ocis", "signing-keys"] {
        let values = [to, from].map(|store| store.bookmark(name));
        let [ours, theirs] = values;
        assert_eq!(ours.await.unwrap().unwrap().value, theirs.await.unwrap().unwrap().value);
    }
    assert_eq!(to.batches(1..=head.size, 100).await.unwrap(), from.batches(1..=head.size, 100).await.unwrap());
    assert_eq!(to.hot().await.unwrap().border, from.hot().await.unwrap().border);
}

#[tokio::test]
async fn a_log_goes_from_one_backend_to_another_and_back() {
    for backend in BACKENDS {
        let scratch = furnished(backend).await;
        let options = options(&scratch);
        let folder = tempfile::tempdir().unwrap();
        let there = Backend::Sqlite.open(folder.path()).await;
        let back: Arc<dyn Store> = Arc::new(MemoryStore::new(origin()));
        for (from, to) in [(&scratch.store, &there), (&there, &back)] {
            let copied = copied(&**from, &**to, &options).await.unwrap();
            assert_eq!((copied.size, copied.written, copied.archived), (600, 600, 0));
            assert_eq!((copied.report.exit_code, copied.report.events), (0, 600));
            assert_eq!(copied.root, scratch.store.latest_checkpoint().await.unwrap().unwrap().root);
            assert_same(&*scratch.store, &**to).await;
            check_log(&**to).await;
        }
        // Again: nothing is left to do. And what came since follows.
        assert_eq!(copied(&*scratch.store, &*back, &options).await.unwrap().written, 0);
        scratch.log.record(of_tenant("acme", keyed("late", "late-1"))).await.unwrap();
        assert_eq!(copied(&*scratch.store, &*back, &options).await.unwrap().written, 1);
        // The dates of the keys came along, and the contents that repetitions are compared with.
        let id = scratch.log.keys()[0].vkey.split('+').nth(1).unwrap().to_owned();
        let setting = Settings::setting(&*back, &format!("key-since/ed25519/{id}")).await.unwrap();
        assert_eq!(setting.unwrap().parse(), Ok(scratch.log.keys()[0].since));
        let dir = scratch.dir;
        drop(scratch.log);
        let moved = Scratch::over(back, dir).await;
        let again = moved.log.record(of_tenant("acme", keyed("late", "late-1"))).await.unwrap();
        assert_eq!((again.seq.get(), again.duplicate), (601, true));
        assert!(moved.log.record(keyed("other", "late-1")).await.is_err());
        moved.finish().await;
    }
}

#[tokio::test]
async fn an_interrupted_copy_goes_on() {
    let scratch = furnished(Backend::Memory).await;
    let options = options(&scratch);
    let folder = tempfile::tempdir().unwrap();
    let inner = Backend::Sqlite.open(folder.path()).await;
    // Some, then the target is gone; then answers get lost, and only some of a batch is kept.
    let to = Faulty::new(Arc::clone(&inner));
    to.script([Fault::Prefix(70), Fault::Unavailable]);
    assert!(matches!(copied(&*scratch.store, &*to, &options).await, Err(CopyError::OtherWriter | CopyError::Target(_))));
    let kept = inner.head().await.unwrap().size;
    assert!(kept < 600);
    let fresh = Backend::Memory.open(folder.path()).await;
    let to = Faulty::new(Arc::clone(&fresh));
    to.script([Fault::UnknownPrefix(70), Fault::UnknownKept]);
    let done = copied(&*scratch.store, &*to, &options).await.unwrap();
    assert_eq!((done.size, done.written), (600, 600));
    assert_same(&*scratch.store, &*fresh).await;
    let to = Faulty::new(Arc::new(MemoryStore::new(origin())));
    to.script([Fault::UnknownLost, Fault::UnknownLost, Fault::UnknownPrefix(3), Fault::Unavailable]);
    assert!(matches!(copied(&*scratch.store, &*to, &options).await, Err(CopyError::Target(_))));
    assert_eq!(to.inner.head().await.unwrap().size, 3);
    let done = copied(&*scratch.store, &*to.inner, &options).await.unwrap();
    assert_eq!((done.size, done.written), (600, 597));
    assert_same(&*scratch.store, &*to.inner).await;
}

#[tokio::test]
async fn an_archived_prefix_stays_archived() {
    let scratch = furnished(Backend::Sqlite).await;
    let Lease::Held { fence, .. } =
        scratch.store.lease("archiver", "a", std::time::Duration::from_secs(60), time("2026-05-01T00:00:00.000Z")).await.unwrap()
    else {
        panic!("taken")
    };
    let batch = BatchRecord { id: BatchId { start: 1, end: 333, revision: 0 }, document: "{}".to_owned() };
    scratch.store.put_batch(&batch, &fence).await.unwrap();
    scratch.store.delete_prefix(&batch.id, &fence).await.unwrap();
    // A tenant of which nothing is hot, and one of which everything is.
    scratch.log.record(of_tenant("young", draft("a"))).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let options = options(&scratch);
    let there = Faulty::new(Arc::new(MemoryStore::new(origin())));
    there.script([Fault::UnknownPrefix(50), Fault::Unavailable]);
    assert!(copied(&*scratch.store, &*there, &options).await.is_err());
    assert_eq!(there.inner.head().await.unwrap().size, 383);
    let there = Arc::clone(&there.inner);
    let folder = tempfile::tempdir().unwrap();
    let back = Backend::Sqlite.open(folder.path()).await;
    for (from, to, written) in [(&scratch.store, &there, 218), (&there, &back, 268)] {
        let done = copied(&**from, &**to, &options).await.unwrap();
        assert_eq!((done.size, done.archived, done.written), (601, 333, written));
        assert_eq!((done.report.exit_code, done.report.events), (0, 268));
        assert_same(&*scratch.store, &**to).await;
    }
    // All of it archived.
    let rest = BatchRecord { id: BatchId { start: 334, end: 601, revision: 0 }, document: "{}".to_owned() };
    scratch.store.put_batch(&rest, &fence).await.unwrap();
    scratch.store.delete_prefix(&rest.id, &fence).await.unwrap();
    let empty: Arc<dyn Store> = Arc::new(MemoryStore::new(origin()));
    let done = copied(&*scratch.store, &*empty, &options).await.unwrap();
    assert_eq!((done.size, done.archived, done.report.events), (601, 601, 0));
    assert_same(&*scratch.store, &*empty).await;
    // What was archived since the target's end cannot be had any more.
    let short: Arc<dyn Store> = Arc::new(MemoryStore::new(origin()));
    rival_append(&*short, draft("x")).await;
    assert!(matches!(copied(&*scratch.store, &*short, &options).await, Err(CopyError::ArchivedSince { border: 601, size: 1 })));
}

#[tokio::test]
async fn what_is_not_a_prefix_is_refused() {
    let scratch = furnished(Backend::Memory).await;
    let options = options(&scratch);
    let refused = async |to: &dyn Store| copied(&*scratch.store, to, &options).await.unwrap_err();
    let other = MemoryStore::new("audit.example.eu/other".parse().unwrap());
    assert!(matches!(refused(&other).await, CopyError::OtherLog { .. }));
    let forked = MemoryStore::new(origin());
    rival_append(&forked, draft("rival")).await;
    assert!(matches!(refused(&forked).await, CopyError::NoPrefix { size: 1, .. }));
    let longer: Arc<dyn Store> = Arc::new(MemoryStore::new(origin()));
    copied(&*scratch.store, &*longer, &options).await.unwrap();
    rival_append(&*longer, draft("rival")).await;
    let error = refused(&*longer).await;
    assert!(matches!(error, CopyError::NoPrefix { size: 601, .. }), "{error}");
    assert!(error.to_string().contains("copy into an empty store"));
    // Another writer in the middle of it.
    let raced = Faulty::new(Arc::new(MemoryStore::new(origin())));
    raced.script([Fault::Rival(Box::new(draft("rival")))]);
    assert!(matches!(refused(&*raced).await, CopyError::OtherWriter));
}

#[tokio::test]
async fn a_source_that_is_damaged_or_not_done_is_not_copied() {
    let scratch = Scratch::new(Backend::Sqlite).await;
    for _ in 0..5 {
        scratch.log.record(draft("a")).await.unwrap();
    }
    let file = rusqlite::Connection::open(scratch.dir.path().join("audit.db")).unwrap();
    let changed =
        file.execute("UPDATE event SET line = CAST(replace(CAST(line AS TEXT), '\"a\"', '\"b\"') AS BLOB) WHERE seq = 3", ());
    assert_eq!(changed.unwrap(), 1);
    let to = MemoryStore::new(origin());
    let error = copied(&*scratch.store, &to, &options(&scratch)).await.unwrap_err();
    assert!(matches!(error, CopyError::Broken { seq: 3 }), "{error}");

    let scratch = furnished(Backend::Memory).await;
    let change = Change { collection: "tenants".to_owned(), key: "b".to_owned(), expected: 0, body: "{}".to_owned() };
    scratch.store.change_document(&change, &["{}".to_owned()]).await.unwrap();
    let error = copied(&*scratch.store, &MemoryStore::new(origin()), &options(&scratch)).await.unwrap_err();
    assert!(matches!(error, CopyError::Outbox { waiting: 1 }), "{error}");
}

#[tokio::test]
async fn without_keys_nobody_vouches_and_progress_ends_at_its_total() {
    let scratch = furnished(Backend::Memory).await;
    let seen = [const { AtomicU64::new(0) }; 3];
    let progress = |progress: Progress| {
        assert!(progress.done <= progress.total && progress.total == 600);
        let stage = match progress.stage {
            Stage::Copying => 0,
            Stage::Comparing => 1,
            Stage::Verifying => 2,
        };
        seen[stage].store(progress.done, Ordering::Relaxed);
    };
    let to = MemoryStore::new(origin());
    let run = VerificationRun { at: time("2026-05-01T00:00:00.000Z"), report: "{}".to_owned() };
    scratch.store.add_run(&run).await.unwrap();
    let done = copy(&*scratch.store, &to, &CopyOptions::default(), time("2026-05-01T01:00:00.000Z"), &progress).await.unwrap();
    assert_eq!((done.report.exit_code, done.report.findings.len()), (4, 0));
    assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 600));
}
