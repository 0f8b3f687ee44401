use std::sync::Arc;

use dezky_audit::{AuditLog, Filter, HmacSecret, ProveError, Query, Reason, Scope, Store};
use dezky_audit_core::checkpoint::{Checkpoint, Opened, open};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::note::{KeyAlgorithm, KeyRing, VerifyingKey};
use dezky_audit_core::proof::TlogProof;

use crate::scratch::{BACKENDS, Backend, ORIGIN, Scratch, config, draft, member, of_tenant, read_all};

fn ring(log: &AuditLog) -> KeyRing {
    let mut ring = KeyRing::new();
    let public = log.keys().iter().find(|key| key.algorithm == KeyAlgorithm::Ed25519).unwrap();
    ring.add(public.vkey.parse::<VerifyingKey>().unwrap()).unwrap();
    ring
}

fn verified(note: &str, origin: &str, ring: &KeyRing) -> Checkpoint {
    match open(note.as_bytes(), origin, ring) {
        Opened::Verified(verified) => verified.checkpoint,
        other => panic!("{other:?}"),
    }
}

/// What an auditor does with a proof of the main log: the event's position.
fn check_proof(text: &str, ring: &KeyRing) -> u64 {
    let proof = TlogProof::parse(text.as_bytes()).unwrap();
    let checkpoint = verified(&proof.note, ORIGIN, ring);
    let (extra, mut preimage) = (proof.extra.clone().unwrap(), Vec::new());
    let LineCheck::Event(event) = check_line(&extra, &mut preimage) else { panic!("malformed") };
    assert_eq!(event.seq.get() - 1, proof.index);
    proof.leads(&event.computed_hash, &checkpoint).unwrap();
    event.seq.get()
}

fn tenants(slugs: &[&str]) -> Scope {
    Scope::Tenants(slugs.iter().map(|slug| slug.parse().unwrap()).collect())
}

fn slug(text: &str) -> TenantSlug {
    text.parse().unwrap()
}

/// Tenants `acme` and `globex` in turn, and every third event without a tenant.
async fn record_some(scratch: &Scratch, n: usize) {
    let some = |n: usize| match n % 3 {
        0 => of_tenant("acme", draft("tenant.updated")),
        1 => of_tenant("globex", draft("user.login")),
        _ => draft("platform.started"),
    };
    scratch.log.record_batch((0..n).map(some).collect()).await.unwrap();
}

#[tokio::test]
async fn every_event_has_a_proof_and_the_newest_gets_a_checkpoint_first() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        // Past a full tile.
        record_some(&scratch, 600).await;
        let ring = ring(&scratch.log);
        for seq in [1, 2, 255, 256, 257, 511, 512, 513, 599, 600] {
            let proof = scratch.log.proof(&Scope::All, Seq::new(seq).unwrap()).await.unwrap().unwrap();
            assert_eq!(check_proof(&proof, &ring), seq);
        }
        assert_eq!(scratch.log.latest_checkpoint().await.unwrap().unwrap().size, 600);
        scratch.log.record(draft("one.more")).await.unwrap();
        // An older event is proven by the checkpoint that is there.
        scratch.log.proof(&Scope::All, Seq::FIRST).await.unwrap();
        assert_eq!(scratch.log.latest_checkpoint().await.unwrap().unwrap().size, 600);
        assert_eq!(scratch.log.proof(&Scope::All, Seq::new(602).unwrap()).await.unwrap(), None);
        scratch.finish().await;
    }
}

#[tokio::test]
async fn outside_its_scope_an_event_does_not_exist() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        record_some(&scratch, 3).await;
        let acme = tenants(&["acme"]);
        for (seq, exists) in [(1, true), (2, false), (3, false)] {
            let seq = Seq::new(seq).unwrap();
            assert_eq!(scratch.log.get(&acme, seq).await.unwrap().is_some(), exists);
            assert_eq!(scratch.log.proof(&acme, seq).await.unwrap().is_some(), exists);
        }
        assert!(scratch.log.tenant_checkpoint(&acme, &slug("acme")).await.unwrap().is_some());
        assert!(scratch.log.tenant_checkpoint(&acme, &slug("globex")).await.unwrap().is_none());
        assert!(scratch.log.tenant_checkpoint(&Scope::All, &slug("nobody")).await.unwrap().is_none());
        let page = scratch.log.list(&acme, &Query::default()).await.unwrap();
        assert_eq!(page.events.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1]);
        let budget = std::time::Duration::from_secs(10);
        assert_eq!(scratch.log.count(&acme, &Filter::all(), budget).await.unwrap().n, 1);
        scratch.finish().await;
    }
}

#[tokio::test]
async fn a_tenant_gets_its_own_checkpoint_and_the_proof_that_it_is_in_the_log() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let store = backend.open(dir.path()).await;
        let secret = HmacSecret::new(*b"0123456789abcdef0123456789abcdef").unwrap();
        let mut config = config(dir.path());
        config.signing_secret = Some(secret);
        let scratch = Scratch::configured(config, store, dir).await;
        record_some(&scratch, 50).await;
        let ring = ring(&scratch.log);
        let acme = slug("acme");
        let handed = scratch.log.tenant_checkpoint(&tenants(&["acme"]), &acme).await.unwrap().unwrap();
        assert_eq!(handed.note.matches('—').count(), 2);
        let own = verified(&handed.note, &format!("{ORIGIN}/tenant/acme"), &ring.for_tenant(&acme));
        assert_eq!(own.size, 17);
        assert_eq!(check_proof(&handed.proof, &ring), 49);
        // The stream, hashed again from the export that the tenant gets.
        let lines = exported(&scratch, tenants(&["acme"]), Filter::all()).await;
        let mut tree = dezky_audit_core::merkle::Frontier::new();
        for line in &lines {
            let mut preimage = Vec::new();
            let LineCheck::Event(event) = check_line(line, &mut preimage) else { panic!("malformed") };
            tree.push_event(&event.computed_hash);
        }
        assert_eq!((tree.size(), tree.root()), (own.size, own.root));
        scratch.finish().await;
    }
}

#[tokio::test]
async fn nothing_is_proven_about_an_event_that_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Backend::Sqlite.open(dir.path()).await;
    let scratch = Scratch::over(store, dir).await;
    record_some(&scratch, 10).await;
    crate::verification::tamper(
        scratch.dir.path(),
        "UPDATE event SET line = replace(line, 'tenant.updated', 'tenant.deleted') WHERE seq = 4",
    );
    let error = scratch.log.proof(&Scope::All, Seq::new(4).unwrap()).await.unwrap_err();
    assert!(matches!(error, ProveError::Mismatch { seq } if seq.get() == 4), "{error}");
    crate::verification::tamper(
        scratch.dir.path(),
        "UPDATE event SET line = (SELECT line FROM event WHERE seq = 5) WHERE seq = 10",
    );
    assert!(matches!(scratch.log.tenant_checkpoint(&Scope::All, &slug("acme")).await, Err(ProveError::Mismatch { .. })));
}

async fn exported(scratch: &Scratch, scope: Scope, filter: Filter) -> Vec<Vec<u8>> {
    let mut export = scratch.log.export(scope, filter).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = export.next().await.unwrap() {
        assert!(!chunk.is_empty() && chunk.len() <= (1 << 20) + 1_000);
        bytes.extend(chunk);
    }
    assert_eq!(export.next().await.unwrap(), None);
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()));
    lines
}

#[tokio::test]
async fn an_export_is_the_log_up_to_its_checkpoint() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        assert!(scratch.log.export(Scope::All, Filter::all()).await.unwrap().next().await.unwrap().is_none());
        record_some(&scratch, 2_500).await;
        let mut export = scratch.log.export(Scope::All, Filter::all()).await.unwrap();
        assert_eq!(export.checkpoint().size, 2_500);
        scratch.log.record(draft("too.late")).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = export.next().await.unwrap() {
            bytes.extend(chunk);
        }
        let expected: Vec<u8> =
            read_all(&*scratch.store, 2_500).await.into_iter().flat_map(|stored| [&stored.line[..], b"\n"].concat()).collect();
        assert!(bytes == expected);
        scratch.finish().await;
    }
}

#[tokio::test]
async fn filtered_exports_stay_in_the_order_of_the_log() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        record_some(&scratch, 1_500).await;
        let filter = Query::parse([("action", "tenant.*")]).unwrap().filter;
        let all = read_all(&*scratch.store, 1_500).await;
        let matching: Vec<_> = all.iter().filter(|stored| (stored.seq - 1) % 3 == 0).cloned().collect();
        let lines = exported(&scratch, Scope::All, filter.clone()).await;
        assert!(lines.iter().eq(matching.iter().map(|stored| &stored.line)));
        assert_eq!(member(&matching[..1], "action"), ["tenant.updated"]);
        assert!(exported(&scratch, tenants(&["globex"]), filter).await.is_empty());
        assert_eq!(exported(&scratch, tenants(&["globex", "acme"]), Filter::all()).await.len(), 1_000);
        assert!(exported(&scratch, tenants(&[]), Filter::all()).await.is_empty());
        scratch.finish().await;
    }
}

#[tokio::test]
async fn a_broken_line_is_exported_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Backend::Sqlite.open(dir.path()).await;
    let scratch = Scratch::over(store, dir).await;
    record_some(&scratch, 4).await;
    crate::verification::tamper(scratch.dir.path(), "UPDATE event SET line = x'ff7b' WHERE seq = 2");
    let lines = exported(&scratch, Scope::All, Filter::all()).await;
    assert_eq!((lines.len(), &lines[1][..]), (4, &b"\xff{"[..]));
    assert_eq!(exported(&scratch, tenants(&["globex"]), Filter::all()).await.len(), 0);
    assert_eq!(scratch.log.checkpoint(Reason::Manual).await.unwrap().size, 4);
}

#[tokio::test]
async fn what_cannot_be_signed_any_more_is_exported_as_evidence() {
    let scratch = Scratch::new(Backend::Sqlite).await;
    for _ in 0..5 {
        scratch.log.record(draft("a")).await.unwrap();
    }
    let newest = scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let file = rusqlite::Connection::open(scratch.dir.path().join("audit.db")).unwrap();
    assert_eq!(file.execute("UPDATE tile SET hashes = zeroblob(length(hashes))", ()).unwrap(), 1);
    assert!(scratch.log.checkpoint(Reason::Manual).await.is_err());
    let mut export = scratch.log.export(Scope::All, Filter::all()).await.unwrap();
    assert_eq!(*export.checkpoint(), newest);
    let lines = export.next().await.unwrap().unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 5);
}
