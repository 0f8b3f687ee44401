//! Every fault is followed by the check of the whole log in `finish`: nothing acknowledged is missing, nothing is there twice,
//! every link holds.

use std::sync::Arc;

use dezky_audit::{RecordError, RefusalReason};

use crate::faulty::{Fault, Faulty, rival_append};
use crate::scratch::{BACKENDS, Backend, Scratch, assert_holds, draft, keyed, member, of_tenant};

async fn faulty(backend: Backend) -> (Scratch, Arc<Faulty>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(backend.open(dir.path()).await);
    (Scratch::over(Arc::clone(&store) as _, dir).await, store)
}

#[tokio::test]
async fn unavailable_means_that_the_draft_is_not_in_the_log() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.script([Fault::Unavailable]);
        let error = scratch.log.record(draft("a")).await.unwrap_err();
        assert!(matches!(error, RecordError::Unavailable(_)) && error.is_temporary());
        scratch.log.record(draft("b")).await.unwrap();
        store.set_down(true);
        assert!(matches!(scratch.log.record(draft("c")).await, Err(RecordError::Unavailable(_))));
        store.set_down(false);
        scratch.log.record(draft("d")).await.unwrap();
        assert_eq!(scratch.log.metrics().unavailable, 2);
        assert_eq!(member(&scratch.finish().await, "action"), ["b", "d"]);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_found_out() {
    for backend in BACKENDS {
        for (fault, size) in [(Fault::UnknownKept, 5), (Fault::UnknownLost, 5), (Fault::UnknownPrefix(1), 5)] {
            let (scratch, store) = faulty(backend).await;
            scratch.log.record(of_tenant("acme", draft("before"))).await.unwrap();
            store.script([fault]);
            store.fail_heads(3);
            let batch = vec![of_tenant("acme", keyed("a", "id-1")), draft("b"), of_tenant("acme", draft("c"))];
            let receipts = scratch.log.record_batch(batch).await.unwrap();
            assert!(receipts.iter().all(|receipt| !receipt.duplicate));
            let after = scratch.log.record(of_tenant("acme", draft("after"))).await.unwrap();
            assert_eq!(scratch.log.metrics().recorded, 5);
            let events = scratch.finish().await;
            assert_eq!(events.len(), size);
            receipts.iter().chain([&after]).for_each(|receipt| assert_holds(&events, receipt));
            assert_eq!(member(&events, "action"), ["before", "a", "b", "c", "after"]);
        }
    }
}

#[tokio::test]
async fn an_append_that_takes_effect_late_is_not_recorded_twice() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.script([Fault::UnknownLate]);
        // Without an externalId nothing but its place tells that the event is there.
        let receipts = scratch.log.record_batch(vec![draft("a"), of_tenant("acme", draft("b"))]).await.unwrap();
        let events = scratch.finish().await;
        assert_eq!(member(&events, "action"), ["a", "b"]);
        receipts.iter().for_each(|receipt| assert_holds(&events, receipt));
    }
}

#[tokio::test]
async fn what_a_store_kept_of_a_batch_is_acknowledged_and_the_rest_is_relinked() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.script([Fault::Prefix(2), Fault::Prefix(1)]);
        let batch = (0..5).map(|n| of_tenant("acme", keyed("a", &format!("id-{n}")))).collect();
        let receipts = scratch.log.record_batch(batch).await.unwrap();
        let seqs: Vec<_> = receipts.iter().map(|receipt| receipt.seq.get()).collect();
        assert_eq!(seqs, [1, 2, 4, 6, 7]);
        let events = scratch.finish().await;
        receipts.iter().for_each(|receipt| assert_holds(&events, receipt));
        assert_eq!(member(&events, "externalId"), ["id-0", "id-1", "", "id-2", "", "id-3", "id-4"]);
    }
}

#[tokio::test]
async fn whoever_loses_a_race_relinks() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        scratch.log.record(of_tenant("acme", draft("a"))).await.unwrap();
        let rivals = (0..4).map(|_| Fault::Rival(Box::new(of_tenant("acme", draft("rival.came")))));
        store.script(rivals);
        let receipt = scratch.log.record(of_tenant("acme", draft("b"))).await.unwrap();
        assert_eq!(receipt.seq.get(), 6);
        assert_eq!(scratch.log.metrics().lost_races, 4);
        assert_holds(&scratch.finish().await, &receipt);
    }
}

#[tokio::test]
async fn a_rival_may_have_recorded_the_same_event() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.script([Fault::Rival(Box::new(keyed("a", "id-1")))]);
        // The rival's content has another MAC.
        let RecordError::Refused(refusals) = scratch.log.record(keyed("a", "id-1")).await.unwrap_err() else { panic!() };
        assert!(matches!(refusals[0].reason, RefusalReason::ConflictingContent { seq } if seq.get() == 1));
        assert_eq!(scratch.finish().await.len(), 1);
    }
}

#[tokio::test]
async fn another_process_may_append_at_any_time() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        for n in 0..5 {
            scratch.log.record(of_tenant("acme", draft("ours.came"))).await.unwrap();
            for _ in 0..n {
                rival_append(&*store.inner, of_tenant("acme", draft("rival.came"))).await;
            }
        }
        assert_eq!(scratch.finish().await.len(), 15);
    }
}

#[tokio::test]
async fn a_full_queue_turns_callers_away_and_what_was_taken_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Faulty::new(Backend::Memory.open(dir.path()).await);
    let mut config = crate::scratch::config(dir.path());
    config.record.queue_events = 10;
    let scratch = Scratch::configured(config, Arc::clone(&store) as _, dir).await;
    store.hold();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let log = scratch.log.clone();
        callers.spawn(async move { log.record(draft("a")).await });
    }
    // Those that are turned away come back first; the others wait for the store.
    let mut overloaded = 0;
    while scratch.log.metrics().overloaded == 0 {
        tokio::task::yield_now().await;
    }
    store.release();
    let mut recorded = 0;
    while let Some(result) = callers.join_next().await {
        match result.unwrap() {
            Ok(_) => recorded += 1,
            Err(RecordError::Overloaded) => overloaded += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(recorded >= 10 && overloaded > 0, "{recorded} {overloaded}");
    assert_eq!(scratch.finish().await.len(), recorded);
}

#[tokio::test]
async fn units_that_share_a_key_in_one_drain_get_one_event() {
    for backend in BACKENDS {
        let (scratch, store) = faulty(backend).await;
        store.hold();
        let first = tokio::spawn({
            let log = scratch.log.clone();
            async move { log.record(draft("a")).await }
        });
        while store.appends.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // All of these wait together behind the first.
        let mut callers = tokio::task::JoinSet::new();
        for n in 0..12 {
            let log = scratch.log.clone();
            callers
                .spawn(async move { log.record_batch(vec![keyed("b", "id-1"), keyed("c", &format!("id-{}", n % 3 + 2))]).await });
        }
        while scratch.log.metrics().queue_events < 24 {
            tokio::task::yield_now().await;
        }
        store.release();
        first.await.unwrap().unwrap();
        let mut fresh = 0;
        while let Some(receipts) = callers.join_next().await {
            fresh += receipts.unwrap().unwrap().iter().filter(|receipt| !receipt.duplicate).count();
        }
        assert_eq!(fresh, 4);
        assert_eq!(scratch.finish().await.len(), 5);
    }
}
