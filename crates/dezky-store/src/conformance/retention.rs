//! Leaving hot storage, coming back, erasure, and moving house.

use dezky_audit_core::event::{LineCheck, PartForm, PartName, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};

use super::scribe::{Sample, Scribe};
use super::{Fixture, all_pages, held, origin, query, time};
use crate::Store;
use crate::archives::{BatchId, BatchRecord};
use crate::error::StoreError;
use crate::leases::Fence;
use crate::log::{ReadLimit, Stored, TenantHead};
use crate::retention::Hot;
use crate::search::{CountBy, Scope};
use crate::transfer::Relic;

fn batch(start: u64, end: u64) -> BatchRecord {
    BatchRecord { id: BatchId { start, end, revision: 0 }, document: "{}".to_owned() }
}

async fn archive(store: &dyn Store, fence: &Fence, start: u64, end: u64) {
    store.put_batch(&batch(start, end), fence).await.unwrap();
    store.delete_prefix(&batch(start, end).id, fence).await.unwrap();
}

async fn seqs(store: &dyn Store) -> Vec<u64> {
    let read = store.read(1..=u64::MAX, ReadLimit { events: 100_000, bytes: 1 << 30 }).await.unwrap();
    read.iter().map(|stored| stored.seq).collect()
}

fn keyed(n: u64) -> Vec<Sample> {
    (1..=n).map(|nth| Sample::at(nth * 1_000).of("acme").keyed(&format!("id-{nth}"))).collect()
}

pub async fn deleting_a_prefix_keeps_what_must_last(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &keyed(700)).await;
    store.settle().await.unwrap();
    let acme = TenantSlug::new("acme").unwrap();
    let before = (store.head().await.unwrap(), store.tenant_head(&acme).await.unwrap(), store.tile(0, 0).await.unwrap());
    let hourly = store.hourly(&Scope::All, time(0), time(9_000_000), CountBy::Tenant).await.unwrap();
    let fence = held(&*store, "archiver").await;
    archive(&*store, &fence, 1, 600).await;
    assert_eq!(store.hot().await.unwrap(), Hot { border: 600, restored: vec![] });
    let after = (store.head().await.unwrap(), store.tenant_head(&acme).await.unwrap(), store.tile(0, 0).await.unwrap());
    assert_eq!(after, before);
    assert_eq!(store.hourly(&Scope::All, time(0), time(9_000_000), CountBy::Tenant).await.unwrap(), hourly);
    let key = |id: &str| (Source::new("platform-api").unwrap(), ExternalId::new(id).unwrap());
    let seen = store.seen(&[key("id-1"), key("id-700")]).await.unwrap();
    assert_eq!(seen.iter().flatten().map(|receipt| receipt.seq.get()).collect::<Vec<_>>(), [1, 700]);
    assert!(seqs(&*store).await.into_iter().eq(601..=700));
    let mut listed = all_pages(&*store, &Scope::All, &query(&[("tenantSlug", "acme")])).await;
    listed.reverse();
    assert!(listed.into_iter().eq(601..=700));
    assert_eq!(store.get(&Scope::All, Seq::new(600).unwrap()).await.unwrap(), None);
    // Again is no error; and the log goes on, to its very end and beyond.
    store.delete_prefix(&batch(1, 600).id, &fence).await.unwrap();
    archive(&*store, &fence, 601, 700).await;
    assert!(seqs(&*store).await.is_empty());
    assert_eq!(store.head().await.unwrap(), before.0);
    scribe.append(&*store, &[Sample::at(5).of("acme")]).await;
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[])).await, [701]);
}

pub async fn deleting_needs_a_batch_and_a_fence(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &keyed(10)).await;
    let fence = held(&*store, "archiver").await;
    let refused = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Refused { .. })), "{result:?}");
    refused(store.delete_prefix(&batch(1, 5).id, &fence).await);
    store.put_batch(&batch(1, 5), &fence).await.unwrap();
    store.put_batch(&batch(6, 10), &fence).await.unwrap();
    refused(store.delete_prefix(&batch(6, 10).id, &fence).await);
    let other = Fence { lease: "archiver".to_owned(), token: fence.token + 1 };
    let unknown = Fence { lease: "unknown".to_owned(), token: 1 };
    for fence in [other, unknown] {
        let result = store.delete_prefix(&batch(1, 5).id, &fence).await;
        assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
    }
    assert_eq!(seqs(&*store).await.len(), 10);
    store.delete_prefix(&batch(1, 5).id, &fence).await.unwrap();
    store.delete_prefix(&batch(6, 10).id, &fence).await.unwrap();
    assert!(seqs(&*store).await.is_empty());
}

pub async fn restored_events_come_and_go(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    // The same times again and again, so that what comes back has its places among others.
    let samples: Vec<_> = (0..60).map(|nth| Sample { at: nth % 5, ..keyed(60)[usize::try_from(nth).unwrap()].clone() }).collect();
    scribe.append(&*store, &samples).await;
    let whole = all_pages(&*store, &Scope::All, &query(&[])).await;
    let lines = store.read(1..=60, ReadLimit::default()).await.unwrap();
    let part = |first: usize, last: usize| lines[first - 1..last].to_vec();
    let fence = held(&*store, "archiver").await;
    archive(&*store, &fence, 1, 40).await;

    let refused = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Refused { .. })), "{result:?}");
    refused(store.restore(30..=41, time(500), part(30, 41)).await);
    refused(store.restore(30..=40, time(500), part(29, 30)).await);
    store.restore(10..=20, time(500), part(10, 15)).await.unwrap();
    store.restore(10..=20, time(500), part(14, 20)).await.unwrap();
    store.restore(18..=30, time(900), part(18, 30)).await.unwrap();
    let hot = store.hot().await.unwrap();
    let ranges: Vec<_> = hot.restored.iter().map(|restored| (restored.range.clone(), restored.until.unix_ms())).collect();
    assert_eq!((hot.border, ranges), (40, vec![(10..=20, 500), (18..=30, 900)]));
    assert!(seqs(&*store).await.into_iter().eq((10..=30).chain(41..=60)));
    let hot_ones: Vec<u64> = whole.iter().copied().filter(|seq| (10..=30).contains(seq) || *seq > 40).collect();
    for limit in [3, 100] {
        let mut query = query(&[]);
        query.limit = limit;
        assert_eq!(all_pages(&*store, &Scope::All, &query).await, hot_ones);
    }
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[("tenantSlug", "acme")])).await, hot_ones);
    // What is restored is not archived again.
    assert_eq!(store.last_recorded_before(time(1_770_000_000_030)).await.unwrap(), None);
    assert!(store.check(1..=60, ReadLimit::default()).await.unwrap().iter().all(|checked| checked.differences.is_empty()));

    assert_eq!(store.expire_restored(time(499)).await.unwrap(), 0);
    assert_eq!(store.expire_restored(time(500)).await.unwrap(), 8);
    assert!(seqs(&*store).await.into_iter().eq((18..=30).chain(41..=60)));
    store.rebuild().await.unwrap();
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[])).await.len(), 33);
    assert_eq!(store.expire_restored(time(900)).await.unwrap(), 13);
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[])).await.len(), 20);
    assert_eq!(store.hot().await.unwrap().restored, []);
}

pub async fn the_last_old_event_is_found(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    // The recorder's clock goes back once.
    for (clock_ms, n) in [(1_000, 1_500), (900, 1_500), (5_000, 2_000)] {
        scribe.clock_ms = clock_ms;
        scribe.append(&*store, &vec![Sample::at(1); n]).await;
    }
    let last = async |ms| store.last_recorded_before(time(ms)).await.unwrap().map(Seq::get);
    // 1..=1500 at 1000.., 1501..=3000 at 900.., 3001..=5000 at 5000..
    assert_eq!(last(900).await, None);
    assert_eq!(last(901).await, Some(1_501));
    assert_eq!(last(1_000).await, Some(1_600));
    assert_eq!(last(2_400).await, Some(3_000));
    assert_eq!(last(2_500).await, Some(3_000));
    assert_eq!(last(5_001).await, Some(3_001));
    assert_eq!(last(99_999).await, Some(5_000));
    let fence = held(&*store, "archiver").await;
    archive(&*store, &fence, 1, 2_998).await;
    assert_eq!(last(1_000).await, None);
    assert_eq!(last(2_500).await, Some(3_000));
}

pub async fn a_withheld_part_is_gone(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let mut sample = Sample::at(10).of("acme");
    sample.actor_email = "anna@example.org".to_owned();
    let events = scribe.append(&*store, &[sample.clone(), sample]).await;
    let seq = Seq::FIRST;
    let by_email = query(&[("actorEmail", "anna@example.org")]);
    assert_eq!(all_pages(&*store, &Scope::All, &by_email).await, [2, 1]);
    let digest = store.withhold(seq, PartName::Actor).await.unwrap().unwrap();
    let line = store.get(&Scope::All, seq).await.unwrap().unwrap().line;
    let LineCheck::Event(event) = check_line(&line, &mut Vec::new()) else { panic!("no event any more") };
    assert_eq!(event.parts[PartName::Actor.index()].unwrap().form, PartForm::Withheld(digest));
    assert!(!String::from_utf8(line.clone()).unwrap().contains("anna"));
    assert!(line != events[0].line && event.computed_hash == events[0].hash);
    assert_eq!(all_pages(&*store, &Scope::All, &by_email).await, [2]);
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[("q", "anna@")])).await, [2]);
    assert_eq!(all_pages(&*store, &Scope::All, &query(&[("tenantSlug", "acme")])).await, [2, 1]);
    assert!(store.check(1..=2, ReadLimit::default()).await.unwrap().iter().all(|checked| checked.differences.is_empty()));
    assert_eq!(store.withhold(seq, PartName::Actor).await.unwrap(), Some(digest));
    assert_eq!(store.withhold(seq, PartName::Client).await.unwrap(), None);
    assert_eq!(store.withhold(Seq::new(3).unwrap(), PartName::Actor).await.unwrap(), None);
}

pub async fn a_log_moves_to_another_store(fresh: impl AsyncFn() -> Fixture) {
    let (Fixture { store: old, guard: _old_guard }, Fixture { store: new, guard: _new_guard }) = (fresh().await, fresh().await);
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*old, &keyed(300)).await;
    let fence = held(&*old, "archiver").await;
    archive(&*old, &fence, 1, 290).await;

    // Whoever moves a log knows the head at the border from the archive; here it is all archived.
    archive(&*old, &fence, 291, 300).await;
    let head = old.head().await.unwrap();
    let refused = new.begin(head.clone()).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    let mut relics = Vec::new();
    let mut after = None;
    loop {
        let some = old.receipts(after.as_ref(), 70).await.unwrap();
        let Some(last) = some.last() else { break };
        after = Some((last.0.clone(), last.1.clone()));
        relics.extend(some.into_iter().map(|(source, external_id, receipt)| Relic::Receipt { source, external_id, receipt }));
    }
    for (tenant, head) in old.tenant_heads(None, 10).await.unwrap() {
        relics.push(Relic::TenantHead { tenant, head });
    }
    for (level, index) in [(0, 0), (0, 1), (1, 0)] {
        let hashes: Vec<Hash> = old.tile(level, index).await.unwrap().unwrap();
        relics.push(Relic::Tile { level, index, hashes });
    }
    for _ in 0..2 {
        new.adopt(relics.clone()).await.unwrap();
    }
    new.begin(head.clone()).await.unwrap();
    assert_eq!((new.head().await.unwrap(), new.hot().await.unwrap().border), (head, 300));
    assert!(matches!(new.adopt(Vec::new()).await, Err(StoreError::Refused { .. })));
    let more: Vec<Sample> = (0..300).map(|nth| Sample::at(nth).of("acme")).collect();
    let mut twin = scribe.clone();
    scribe.append(&*old, &more).await;
    twin.append(&*new, &more).await;
    assert_eq!(new.head().await.unwrap(), old.head().await.unwrap());
    assert_eq!(new.tile(0, 1).await.unwrap(), old.tile(0, 1).await.unwrap());
    assert_eq!(new.tenant_heads(None, 10).await.unwrap(), old.tenant_heads(None, 10).await.unwrap());
    assert_eq!(new.receipts(None, 1_000).await.unwrap(), old.receipts(None, 1_000).await.unwrap());
    let moved: Vec<Stored> = new.read(1..=999, ReadLimit::default()).await.unwrap();
    assert_eq!(moved, old.read(1..=999, ReadLimit::default()).await.unwrap());
    assert_eq!(all_pages(&*new, &Scope::All, &query(&[])).await.len(), 300);

    // Peaks that were not known at the border are put right at the end of the stream, and nothing else ever is.
    let ends = old.tenant_heads(None, 10).await.unwrap();
    let ends: Vec<_> = ends.into_iter().map(|(tenant, head)| Relic::TenantHead { tenant, head }).collect();
    let Relic::TenantHead { tenant, head } = &ends[0] else { panic!("no head") };
    let wrong = Relic::TenantHead {
        tenant: tenant.clone(),
        head: TenantHead { peaks: vec![Hash::new([0; 32]); head.peaks.len()], ..head.clone() },
    };
    new.adopt(vec![wrong]).await.unwrap();
    new.adopt(ends).await.unwrap();
    assert_eq!(new.tenant_heads(None, 10).await.unwrap(), old.tenant_heads(None, 10).await.unwrap());
    assert!(matches!(new.adopt(relics).await, Err(StoreError::Refused { .. })));
    let more: Vec<Sample> = (300..310).map(|nth| Sample::at(nth).of("acme")).collect();
    scribe.append(&*old, &more).await;
    twin.append(&*new, &more).await;
    assert_eq!(new.tenant_heads(None, 10).await.unwrap(), old.tenant_heads(None, 10).await.unwrap());
}
