use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dezky_audit::{
    AuditLog, CheckpointError, Config, HmacSecret, KnownCheckpoint, OpenError, ProveError, Reason, RecordError, Scope, Store,
    VerifyOptions,
};
use dezky_audit_core::note::KeyAlgorithm;
use dezky_store::memory::MemoryStore;
use tempfile::TempDir;

use crate::faulty::Faulty;
use crate::scratch::{Backend, Scratch, check_log, config, draft, keyed, member, of_tenant, origin, read_all, world};

async fn refused(config: Config, store: &Arc<dyn Store>) -> OpenError {
    match AuditLog::open(config, Arc::clone(store), world().0).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The first `size` events of a store, in a store of their own.
async fn truncated(store: &dyn Store, size: u64) -> Arc<dyn Store> {
    let copy = MemoryStore::new(origin());
    for stored in read_all(store, size).await {
        crate::faulty::copy_event(&copy, &stored).await;
    }
    Arc::new(copy)
}

#[tokio::test]
async fn the_embedded_default_opens_in_a_folder_and_goes_on_where_it_ended() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let log = AuditLog::open_in(&data, config(&data)).await.unwrap();
    let made = log.origin().clone();
    assert!(made.as_str().starts_with("localhost/") && made.as_str().len() == 26);
    let keys = log.keys().to_vec();
    assert_eq!((keys.len(), keys[0].algorithm), (1, KeyAlgorithm::Ed25519));
    assert!(keys[0].vkey.starts_with(made.as_str()));
    let first = log.record(of_tenant("acme", keyed("a", "id-1"))).await.unwrap();
    assert!(log.shutdown(Duration::from_secs(30)).await.complete);
    for (path, expected) in
        [("keys", 0o700), ("keys/log.key", 0o600), ("keys/ingest.secret", 0o600), ("audit.db", 0o600), ("spool", 0o700)]
    {
        assert_eq!(mode(&data.join(path)), expected, "{path}");
    }

    let log = AuditLog::open_in(&data, config(&data)).await.unwrap();
    assert_eq!((log.origin(), log.keys()), (&made, &keys[..]));
    let newest = log.latest_checkpoint().await.unwrap().unwrap();
    assert_eq!((newest.size, newest.reason.as_str()), (1, "manual"));
    let again = log.record(of_tenant("acme", keyed("a", "id-1"))).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (first.seq, true));
    assert_eq!(log.record(of_tenant("acme", draft("b"))).await.unwrap().seq.get(), 2);
    check_log(&**log.store()).await;
    log.shutdown(Duration::from_secs(30)).await;

    let elsewhere = Config { origin: Some("audit.example.eu/other".parse().unwrap()), ..config(&data) };
    assert!(matches!(AuditLog::open_in(&data, elsewhere).await, Err(OpenError::Store(_))));
}

#[tokio::test]
async fn a_log_is_not_opened_under_another_name() {
    let dir = TempDir::new().unwrap();
    let store = Backend::Memory.open(dir.path()).await;
    let elsewhere = Config { origin: Some("audit.example.eu/other".parse().unwrap()), ..config(dir.path()) };
    assert!(matches!(refused(elsewhere, &store).await, OpenError::OtherOrigin { .. }));
}

#[tokio::test]
async fn keys_that_others_can_read_are_refused_and_so_are_those_of_another_log() {
    let scratch = Scratch::new(Backend::Memory).await;
    let keys = scratch.dir.path().join("keys");
    for name in ["log.key", "ingest.secret"] {
        fs::set_permissions(keys.join(name), fs::Permissions::from_mode(0o640)).unwrap();
        let message = refused(config(scratch.dir.path()), &scratch.store).await.to_string();
        assert!(message.contains(name) && message.contains("0640") && message.contains("chmod 600"), "{message}");
        fs::set_permissions(keys.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let other: Arc<dyn Store> = Arc::new(MemoryStore::new("audit.example.eu/other".parse().unwrap()));
    let message = refused(config(scratch.dir.path()), &other).await.to_string();
    assert!(message.contains("a key of the log 'audit.example.eu/test'"), "{message}");
    let good = fs::read_to_string(keys.join("log.key")).unwrap();
    for bad in [String::new(), good.replace("PRIVATE", "PUBLIC"), good.replace("test+", "test+0"), "x".repeat(5_000)] {
        fs::write(keys.join("log.key"), bad).unwrap();
        let message = refused(config(scratch.dir.path()), &scratch.store).await.to_string();
        assert!(message.contains("log.key") && !message.contains(good.trim()), "{message}");
    }
}

#[tokio::test]
async fn lost_keys_are_not_made_anew_in_silence() {
    let scratch = Scratch::new(Backend::Memory).await;
    scratch.log.record(draft("a")).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let keys = scratch.dir.path().join("keys");
    fs::rename(keys.join("ingest.secret"), keys.join("kept")).unwrap();
    assert!(refused(config(scratch.dir.path()), &scratch.store).await.to_string().contains("restore it"));
    fs::rename(keys.join("kept"), keys.join("ingest.secret")).unwrap();
    fs::rename(keys.join("log.key"), keys.join("kept")).unwrap();
    assert!(refused(config(scratch.dir.path()), &scratch.store).await.to_string().contains("restore the keys folder"));
    // Another key of the same name is not the one that signed.
    let other = tempfile::tempdir().unwrap();
    let stranger = Scratch::over(Backend::Memory.open(other.path()).await, other).await;
    fs::copy(stranger.dir.path().join("keys/log.key"), keys.join("log.key")).unwrap();
    let error = refused(config(scratch.dir.path()), &scratch.store).await;
    assert!(matches!(error, OpenError::OtherSigner { .. }), "{error}");
    let (ours, theirs) = (stranger.log.keys()[0].vkey.clone(), scratch.log.keys()[0].vkey.clone());
    // The base64 of the key may hold a '+' too.
    let [ours, theirs] = [ours, theirs].map(|vkey| vkey.splitn(3, '+').take(2).collect::<Vec<_>>().join("+"));
    assert!(error.to_string().contains(&format!("was signed by {theirs}, this process has {ours}")), "{error}");
}

#[tokio::test]
async fn a_change_of_keys_is_recorded_once() {
    let scratch = Scratch::new(Backend::Memory).await;
    let old = scratch.log.keys()[0].vkey.clone();
    scratch.log.record(draft("a")).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let secret = HmacSecret::new(*b"0123456789abcdef0123456789abcdef").unwrap();
    let with_hmac = || Config { signing_secret: Some(secret.clone()), ..config(scratch.dir.path()) };
    for _ in 0..2 {
        let (store, (world, clock)) = (Arc::clone(&scratch.store), world());
        clock.advance(Duration::from_secs(60));
        let log = AuditLog::open(with_hmac(), store, world).await.unwrap();
        let algorithms: Vec<_> = log.keys().iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, [KeyAlgorithm::HmacSha256, KeyAlgorithm::Ed25519]);
        let newest = log.latest_checkpoint().await.unwrap().unwrap();
        assert_eq!((newest.size, newest.reason.as_str()), (2, "startup"));
        assert_eq!(newest.note.lines().filter(|line| line.starts_with('—')).count(), 2);
        let hmac = log.keys()[0].vkey.clone();
        let events = check_log(&*scratch.store).await;
        assert_eq!(member(&events, "action"), ["a", "audit.key_changed"]);
        let told: serde_json::Value = serde_json::from_slice(&events[1].line).unwrap();
        let data = &told["metadata"]["data"];
        assert_eq!(data["old"], serde_json::json!([old]));
        let mut new = vec![old.clone(), hmac];
        new.sort();
        assert_eq!((&data["new"], &data["size"]), (&serde_json::json!(new), &serde_json::json!(1)));
    }
}

#[tokio::test]
async fn several_key_files_all_sign() {
    let scratch = Scratch::new(Backend::Memory).await;
    let other = tempfile::tempdir().unwrap();
    let stranger = Scratch::over(Backend::Memory.open(other.path()).await, other).await;
    let keys = scratch.dir.path().join("keys");
    fs::copy(stranger.dir.path().join("keys/log.key"), keys.join("new.key")).unwrap();
    let log = AuditLog::open(config(scratch.dir.path()), Arc::clone(&scratch.store), world().0).await.unwrap();
    assert_eq!(log.keys().len(), 2);
    assert_eq!(log.latest_checkpoint().await.unwrap().unwrap().note.matches('—').count(), 2);
    drop(log);
    // The old one retires: its public part still vouches for what it signed.
    fs::remove_file(keys.join("log.key")).unwrap();
    fs::write(keys.join("old.vkey"), format!("{}\n", scratch.log.keys()[0].vkey)).unwrap();
    let log = AuditLog::open(config(scratch.dir.path()), Arc::clone(&scratch.store), world().0).await.unwrap();
    assert_eq!(log.keys(), [stranger.log.keys()[0].clone()]);
    assert_eq!(log.latest_checkpoint().await.unwrap().unwrap().note.matches('—').count(), 1);
    // The verifier knows both.
    let verification = log.verify(VerifyOptions::default()).await.unwrap();
    assert_eq!(verification.exit_code, 0, "{}", verification.json);
    let actions = member(&check_log(&*scratch.store).await, "action");
    assert_eq!(actions, ["audit.key_changed", "audit.key_changed"]);
}

#[tokio::test]
async fn a_store_that_is_behind_its_checkpoint_is_refused_with_both_sizes() {
    let scratch = Scratch::new(Backend::Memory).await;
    for _ in 0..3 {
        scratch.log.record(draft("a")).await.unwrap();
    }
    let record = scratch.log.checkpoint(Reason::Manual).await.unwrap();

    // The store's own checkpoint is ahead of its events.
    let behind = truncated(&*scratch.store, 2).await;
    behind.put_checkpoint(&record).await.unwrap();
    let error = refused(config(scratch.dir.path()), &behind).await;
    assert!(matches!(error, OpenError::Behind { size: 2, signed: 3, .. }), "{error}");
    assert!(error.to_string().contains("ends at 2 events") && error.to_string().contains(&record.root.to_base64()), "{error}");

    // An old copy of the store does not know; what is kept beside it does, and so does whoever kept a note.
    let old = truncated(&*scratch.store, 2).await;
    assert!(matches!(refused(config(scratch.dir.path()), &old).await, OpenError::Behind { size: 2, signed: 3, .. }));
    fs::remove_file(scratch.dir.path().join("keys/checkpoint.note")).unwrap();
    let given = Config {
        known_checkpoints: vec![KnownCheckpoint { note: record.note.clone(), from: "a drawer".to_owned() }],
        ..config(scratch.dir.path())
    };
    assert!(matches!(refused(given, &old).await, OpenError::Behind { size: 2, signed: 3, .. }));

    // As many events, but others.
    let other = truncated(&*scratch.store, 2).await;
    crate::faulty::rival_append(&*other, draft("rival.came")).await;
    other.put_checkpoint(&record).await.unwrap();
    let error = refused(config(scratch.dir.path()), &other).await;
    assert!(matches!(error, OpenError::Fork { size: 3, signed, .. } if signed == record.root), "{error}");
}

#[tokio::test]
async fn what_is_to_be_compared_later_is_recorded_and_not_signed() {
    let scratch = Scratch::new(Backend::Memory).await;
    for _ in 0..3 {
        scratch.log.record(of_tenant("acme", draft("a"))).await.unwrap();
    }
    let record = scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let elsewhere = KnownCheckpoint { note: record.note, from: "a bucket".to_owned() };
    let later = || {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        for name in ["log.key", "ingest.secret"] {
            fs::copy(scratch.dir.path().join("keys").join(name), dir.path().join("keys").join(name)).unwrap();
        }
        (Config { compare_later: true, ..config(dir.path()) }, dir)
    };

    // An old copy: it takes events, signs nothing, and is found out when what is kept elsewhere can be read.
    let (config, dir) = later();
    let old = Scratch::configured(config, truncated(&*scratch.store, 2).await, dir).await;
    assert!(old.log.awaits_comparison() && old.log.metrics().awaits_comparison);
    for _ in 0..2 {
        old.log.record(of_tenant("acme", draft("b"))).await.unwrap();
    }
    let not_compared = |error: &CheckpointError| matches!(error, CheckpointError::NotCompared);
    assert!(not_compared(&old.log.checkpoint(Reason::Manual).await.unwrap_err()));
    let tenant = old.log.tenant_checkpoint(&Scope::All, &"acme".parse().unwrap()).await.unwrap_err();
    assert!(matches!(&tenant, ProveError::Checkpoint(error) if not_compared(error)), "{tenant}");
    assert!(matches!(old.log.compare(Some(&elsewhere)).await, Err(OpenError::Fork { size: 3, .. })));
    assert!(not_compared(&old.log.checkpoint(Reason::Manual).await.unwrap_err()));
    assert_eq!(old.log.latest_checkpoint().await.unwrap(), None);
    assert_eq!(old.log.verify(VerifyOptions::default()).await.unwrap().exit_code, 4);
    assert!(old.log.shutdown(Duration::from_secs(30)).await.complete);
    assert!(!old.dir.path().join("keys/checkpoint.note").exists());

    // The store itself: it goes on as if it had been compared at first.
    let (config, dir) = later();
    let whole = Scratch::configured(config, truncated(&*scratch.store, 3).await, dir).await;
    whole.log.record(draft("b")).await.unwrap();
    let mut newest = whole.log.checkpoints();
    whole.log.compare(Some(&elsewhere)).await.unwrap();
    let first = newest.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!((first.size, first.reason.as_str()), (4, "startup"));
    assert!(!whole.log.awaits_comparison());
    whole.finish().await;
    scratch.finish().await;
}

#[tokio::test]
async fn a_running_log_stops_signing_when_its_store_has_lost_something() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(Backend::Memory.open(dir.path()).await);
    let scratch = Scratch::over(Arc::clone(&store) as _, dir).await;
    for _ in 0..3 {
        scratch.log.record(draft("a")).await.unwrap();
    }
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    store.swap(truncated(&*scratch.store, 2).await);
    let error = scratch.log.checkpoint(Reason::Manual).await.unwrap_err();
    assert!(matches!(error, CheckpointError::Behind { size: 2, signed: 3 }), "{error}");
    for _ in 0..2 {
        scratch.log.record(draft("b")).await.unwrap();
    }
    let error = scratch.log.checkpoint(Reason::Manual).await.unwrap_err();
    assert!(matches!(error, CheckpointError::Fork { size: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_shutdown_records_what_waits_and_signs_it() {
    for backend in crate::scratch::BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let inner = backend.open(dir.path()).await;
        let store = Faulty::new(Arc::clone(&inner));
        let scratch = Scratch::over(Arc::clone(&store) as _, dir).await;
        store.hold();
        let mut callers = tokio::task::JoinSet::new();
        for n in 0..50 {
            let log = scratch.log.clone();
            callers.spawn(async move { log.record(draft("a")).await });
            // The first is being appended, the others wait behind it.
            while store.appends.load(Ordering::SeqCst) == 0 || scratch.log.metrics().queue_events < n {
                tokio::task::yield_now().await;
            }
        }
        let closing = tokio::spawn({
            let log = scratch.log.clone();
            async move { log.shutdown(Duration::from_secs(30)).await }
        });
        store.release();
        assert!(closing.await.unwrap().complete);
        while let Some(receipt) = callers.join_next().await {
            receipt.unwrap().unwrap();
        }
        assert!(matches!(scratch.log.record(draft("late")).await, Err(RecordError::Closed)));
        assert!(matches!(scratch.log.checkpoint(Reason::Manual).await, Err(CheckpointError::Closed)));
        if let Backend::Sqlite = backend {
            let store = backend.open(scratch.dir.path()).await;
            assert_eq!(check_log(&*store).await.len(), 50);
            assert_eq!(store.latest_checkpoint().await.unwrap().unwrap().size, 50);
        }
    }
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline_and_tells_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(Backend::Memory.open(dir.path()).await);
    let scratch = Scratch::over(Arc::clone(&store) as _, dir).await;
    store.hold();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let log = scratch.log.clone();
        callers.spawn(async move { log.record(draft("a")).await });
    }
    while store.appends.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let drained = scratch.log.shutdown(Duration::from_millis(50)).await;
    assert!(!drained.complete);
    while let Some(result) = callers.join_next().await {
        assert!(matches!(result.unwrap(), Err(RecordError::OutcomeUnknown | RecordError::Closed)));
    }
}

#[tokio::test]
async fn dropping_the_log_ends_its_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = Backend::Memory.open(dir.path()).await;
    let scratch = Scratch::over(store, dir).await;
    scratch.log.record(draft("a")).await.unwrap();
    let Scratch { log, store, dir, .. } = scratch;
    drop(log);
    // The tasks hold the store until they are done.
    while Arc::strong_count(&store) > 1 {
        tokio::task::yield_now().await;
    }
    while fs::read_dir(dir.path().join("spool")).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}
