use std::collections::HashSet;

use dezky_audit::{Draft, Receipt, RecordError, Refusal, RefusalReason};
use dezky_audit_core::json::Value;

use crate::scratch::{BACKENDS, Backend, Scratch, assert_holds, draft, keyed, member, of_tenant};

#[tokio::test]
async fn an_event_is_in_the_log_when_its_receipt_comes() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let receipt = scratch.log.record(of_tenant("acme", draft("tenant.created"))).await.unwrap();
        assert_eq!((receipt.seq.get(), receipt.duplicate), (1, false));
        let events = scratch.finish().await;
        assert_holds(&events, &receipt);
        assert_eq!(member(&events, "recordedAt"), ["2026-05-01T00:00:00.000Z"]);
        assert_eq!(member(&events, "at"), ["2026-05-01T00:00:00.000Z"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_one_chain() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let mut callers = Vec::new();
        for caller in 0..64 {
            let log = scratch.log.clone();
            callers.push(tokio::spawn(async move {
                let mut receipts = Vec::new();
                for n in 0..12 {
                    // Tenants are shared, every third event has an id, and every sixth was sent by the caller before, too.
                    let mut draft = draft("user.login");
                    draft.tenant = (n % 4 != 0).then(|| format!("tenant-{}", (caller + n) % 7).parse().unwrap());
                    draft.external_id = (n % 3 == 0).then(|| format!("id-{}-{n}", caller / 2 * 2 + n / 6 % 2).parse().unwrap());
                    receipts.push(log.record(draft).await);
                }
                receipts
            }));
        }
        let (mut receipts, mut conflicts) = (Vec::new(), 0);
        for caller in callers {
            for result in caller.await.unwrap() {
                match result {
                    Ok(receipt) => receipts.push(receipt),
                    Err(RecordError::Refused(refusals)) => {
                        assert!(matches!(refusals[..], [Refusal { index: 0, reason: RefusalReason::ConflictingContent { .. } }]));
                        conflicts += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let metrics = scratch.log.metrics();
        let events = scratch.finish().await;
        receipts.iter().for_each(|receipt| assert_holds(&events, receipt));
        let (first, duplicates): (Vec<Receipt>, Vec<Receipt>) = receipts.iter().partition(|receipt| !receipt.duplicate);
        let distinct: HashSet<_> = first.iter().map(|receipt| receipt.seq).collect();
        assert_eq!((distinct.len(), events.len()), (first.len(), first.len()));
        assert_eq!(first.len() + duplicates.len() + conflicts, 64 * 12);
        assert!(conflicts > 0 && !duplicates.is_empty());
        assert_eq!(metrics.recorded, events.len() as u64);
        assert_eq!((metrics.duplicates, metrics.conflicts), (duplicates.len() as u64, conflicts as u64));
        assert_eq!(metrics.batch_events.sum, events.len() as f64);
    }
}

#[tokio::test]
async fn the_same_id_with_the_same_content_is_a_duplicate_and_with_another_a_conflict() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let first = scratch.log.record(keyed("user.login", "id-1")).await.unwrap();
        let again = scratch.log.record(keyed("user.login", "id-1")).await.unwrap();
        assert_eq!((again.seq, again.hash, again.duplicate), (first.seq, first.hash, true));
        // Another source's id is another id.
        let elsewhere = Draft { source: "authentik".parse().unwrap(), ..keyed("user.login", "id-1") };
        assert!(!scratch.log.record(elsewhere).await.unwrap().duplicate);
        let error = scratch.log.record(keyed("user.logout", "id-1")).await.unwrap_err();
        let RecordError::Refused(refusals) = error else { panic!("{error}") };
        assert_eq!(refusals, [Refusal { index: 0, reason: RefusalReason::ConflictingContent { seq: first.seq } }]);
        assert_eq!(scratch.finish().await.len(), 2);
    }
}

#[tokio::test]
async fn an_at_that_was_left_out_is_no_part_of_the_content() {
    let scratch = Scratch::new(Backend::Memory).await;
    scratch.log.record(keyed("user.login", "id-1")).await.unwrap();
    scratch.clock.advance(std::time::Duration::from_secs(60));
    assert!(scratch.log.record(keyed("user.login", "id-1")).await.unwrap().duplicate);
    scratch.finish().await;
}

#[tokio::test]
async fn what_belongs_to_the_log_is_refused_by_name() {
    let scratch = Scratch::new(Backend::Memory).await;
    let reserved = Draft { metadata: Some(vec![("_audit".to_owned(), Value::from(true))]), ..draft("a") };
    let odd_outcome = Draft { outcome: "maybe".parse().unwrap(), ..draft("a") };
    for (draft, pointer) in [
        (draft("audit.heartbeat"), "/action"),
        (draft("audit"), "/action"),
        (Draft { source: "audit".parse().unwrap(), ..draft("a") }, "/source"),
        (reserved, "/metadata/_audit"),
        (odd_outcome, "/outcome"),
    ] {
        let error = scratch.log.record(draft.clone()).await.unwrap_err();
        let RecordError::Refused(refusals) = error else { panic!("{error}") };
        assert!(matches!(&refusals[0].reason, RefusalReason::Member { pointer: at, .. } if *at == pointer), "{refusals:?}");
        assert!(matches!(scratch.log.record_best_effort(draft).await, dezky_audit::Kept::Refused(_)));
    }
    assert_eq!(scratch.log.metrics().refused, 5);
    assert!(scratch.finish().await.is_empty());
}

#[tokio::test]
async fn a_batch_is_recorded_in_its_order_and_repeats_within_it_share_a_receipt() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let mut drafts: Vec<_> = (0..300).map(|n| of_tenant("acme", keyed("file.read", &format!("id-{n}")))).collect();
        drafts.push(of_tenant("acme", keyed("file.read", "id-7")));
        drafts.push(draft("file.closed"));
        let receipts = scratch.log.record_batch(drafts.clone()).await.unwrap();
        let seqs: Vec<_> = receipts.iter().map(|receipt| receipt.seq.get()).collect();
        assert_eq!(seqs[..300], (1..=300).collect::<Vec<_>>());
        assert_eq!((seqs[300], receipts[300].duplicate, seqs[301]), (8, true, 301));
        // Sent again, those with an id are known, and the one without is recorded anew.
        let again = scratch.log.record_batch(drafts).await.unwrap();
        assert!(again[..301].iter().all(|receipt| receipt.duplicate));
        assert_eq!((again[301].seq.get(), again[301].duplicate), (302, false));
        assert_eq!(scratch.finish().await.len(), 302);
    }
}

#[tokio::test]
async fn a_batch_is_refused_whole_with_every_reason() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        let known = scratch.log.record(keyed("user.login", "id-1")).await.unwrap();
        let batch = vec![draft("a"), draft("audit.x"), keyed("b", "id-2"), keyed("c", "id-2"), draft("audit.y")];
        let RecordError::Refused(refusals) = scratch.log.record_batch(batch).await.unwrap_err() else { panic!() };
        assert_eq!(refusals.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(refusals[1].reason, RefusalReason::ConflictingInCall { earlier: 2 });
        let batch = vec![draft("a"), keyed("user.logout", "id-1"), draft("b")];
        let RecordError::Refused(refusals) = scratch.log.record_batch(batch).await.unwrap_err() else { panic!() };
        assert_eq!(refusals, [Refusal { index: 1, reason: RefusalReason::ConflictingContent { seq: known.seq } }]);
        assert!(scratch.log.record_batch(Vec::new()).await.unwrap().is_empty());
        let error = scratch.log.record_batch(vec![draft("a"); 10_001]).await.unwrap_err();
        assert!(matches!(error, RecordError::TooLarge { count: 10_001, .. }));
        assert_eq!(scratch.finish().await.len(), 1);
    }
}

#[tokio::test]
async fn a_full_batch_fits() {
    let scratch = Scratch::new(Backend::Sqlite).await;
    let receipts = scratch.log.record_batch((0..10_000).map(|n| keyed("a", &format!("id-{n}"))).collect()).await.unwrap();
    assert_eq!(receipts.last().unwrap().seq.get(), 10_000);
    scratch.finish().await;
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused() {
    let scratch = Scratch::new(Backend::Memory).await;
    let large = Draft { metadata: Some(vec![("text".to_owned(), Value::from("x".repeat(1 << 20)))]), ..draft("a") };
    let RecordError::Refused(refusals) = scratch.log.record(large).await.unwrap_err() else { panic!() };
    assert!(matches!(refusals[0].reason, RefusalReason::Prepare(_)));
    scratch.finish().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let scratch = Scratch::new(Backend::Memory).await;
    let mut gone = Box::pin(scratch.log.record(draft("a")));
    assert!(futures_poll(&mut gone).is_none());
    drop(gone);
    let panicking = scratch.log.clone();
    let panicked = tokio::spawn(async move {
        let _fate = panicking.record_best_effort(draft("b"));
        panic!("a caller's own");
    });
    assert!(panicked.await.is_err());
    let receipt = scratch.log.record(draft("c")).await.unwrap();
    let events = scratch.finish().await;
    assert_holds(&events, &receipt);
    assert_eq!(member(&events, "action").iter().collect::<HashSet<_>>().len(), 3);
}

/// Polls once.
fn futures_poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn events_of_an_adapter_are_recorded_each_by_itself() {
    for backend in BACKENDS {
        let scratch = Scratch::new(backend).await;
        scratch.log.record(keyed("taken", "id-1")).await.unwrap();
        let noted = |draft: Draft| Draft { metadata: Some(vec![("_audit".to_owned(), Value::from("changed"))]), ..draft };
        let own = Draft { source: "audit".parse().unwrap(), ..draft("a") };
        let drafts = vec![
            noted(keyed("a", "id-2")),
            keyed("other", "id-1"),
            own,
            noted(keyed("a", "id-2")),
            keyed("b", "id-2"),
            noted(draft("audit.x")),
            draft("c"),
        ];
        let answers = scratch.log.record_adapted(drafts.clone()).await.unwrap();
        let seqs: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|r| (r.seq.get(), r.duplicate))).collect();
        assert_eq!(seqs, [Some((2, false)), None, None, Some((2, true)), None, None, Some((3, false))]);
        assert!(matches!(answers[1], Err(RefusalReason::ConflictingContent { seq }) if seq.get() == 1));
        assert!(matches!(answers[2], Err(RefusalReason::Member { pointer: "/source", .. })));
        assert!(matches!(answers[4], Err(RefusalReason::ConflictingInCall { earlier: 0 })));
        assert!(matches!(answers[5], Err(RefusalReason::Member { pointer: "/action", .. })));
        assert_eq!(scratch.log.record_adapted(Vec::new()).await.unwrap(), []);
        // All of it again: what has an externalId is known.
        let again = scratch.log.record_adapted(drafts[..1].to_vec()).await.unwrap();
        assert!(again[0].as_ref().unwrap().duplicate);
        assert_eq!(member(&scratch.finish().await, "action"), ["taken", "a", "c"]);
    }
}
