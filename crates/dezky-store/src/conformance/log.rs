//! The log itself: heads, append, receipts, tiles.

use std::collections::BTreeMap;
use std::sync::Arc;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_audit_core::merkle::tile::TileId;
use dezky_audit_core::merkle::tile::read::{TiledTree, tiles_for_inclusion};
use dezky_audit_core::merkle::{Frontier, leaf_hash, verify_inclusion};

use super::scribe::{Sample, Scribe};
use super::{Fixture, origin};
use crate::error::StoreError;
use crate::log::{Append, NewEvent, ReadLimit, Tip};

pub async fn an_empty_log_ends_at_genesis(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    assert_eq!(*store.origin(), origin());
    let head = store.head().await.unwrap();
    assert_eq!((head.size, head.hash, head.peaks), (0, origin().genesis(), vec![]));
    assert_eq!(store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap(), None);
    assert_eq!(store.read(0..=u64::MAX, ReadLimit::default()).await.unwrap(), []);
    assert_eq!(store.tile(0, 0).await.unwrap(), None);
    let tip = Tip { size: 0, hash: origin().genesis() };
    assert_eq!(store.append(tip, Arc::new([])).await.unwrap(), Append::Appended { n: 0 });
    store.ping().await.unwrap();
}

pub async fn appended_events_are_there(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let mut events: Vec<NewEvent> = Vec::new();
    for n in [1, 2, 5] {
        events.extend(scribe.append(&*store, &vec![Sample::at(1_000); n]).await.iter().cloned());
        let head = store.head().await.unwrap();
        assert_eq!(head.tip(), scribe.tip());
        assert_eq!(head.peaks, frontier(events.iter().map(|event| event.hash)).peaks());
    }
    let read = store.read(1..=100, ReadLimit::default()).await.unwrap();
    let expected: Vec<_> = events.iter().map(|event| (event.seq.get(), event.line.clone())).collect();
    assert_eq!(read.into_iter().map(|stored| (stored.seq, stored.line)).collect::<Vec<_>>(), expected);
}

pub async fn another_writer_gets_in_between(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut first = Scribe::new(&origin());
    first.append(&*store, &[Sample::at(1).of("acme")]).await;
    let mut second = first.clone();
    let stale = second.tip();
    let late = second.seal(&[Sample::at(3).of("acme").keyed("late"), Sample::at(4)]);
    first.append(&*store, &[Sample::at(2).of("acme")]).await;
    assert_eq!(store.append(stale, Arc::clone(&late)).await.unwrap(), Append::Conflict);
    // A tip that was never there is no better than an old one.
    let forged = Tip { size: 2, hash: Hash::of(b"x") };
    let batch = second.clone().seal(&[Sample::at(5)]);
    let batch: Arc<[NewEvent]> = batch.iter().map(|e| NewEvent { seq: Seq::new(3).unwrap(), ..e.clone() }).collect();
    assert_eq!(store.append(forged, batch).await.unwrap(), Append::Conflict);

    assert_eq!(store.head().await.unwrap().tip(), first.tip());
    assert_eq!(store.read(1..=9, ReadLimit::default()).await.unwrap().len(), 2);
    let key = (late[0].key.as_ref().unwrap().source.clone(), late[0].key.as_ref().unwrap().external_id.clone());
    assert_eq!(store.seen(&[key]).await.unwrap(), [None]);
    let tenant = store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap().unwrap();
    assert_eq!((tenant.tenant_seq, tenant.seq.get()), (2, 2));
    first.append(&*store, &[Sample::at(3).of("acme").keyed("late")]).await;
}

pub async fn two_writers_leave_no_gap(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let writer = async |name: &'static str| {
        let mut scribe = Scribe::new(&origin());
        let mut written = 0;
        while written < 40 {
            let mut attempt = scribe.clone();
            let batch = attempt.seal(&[Sample::at(written).keyed(&format!("{name}-{written}"))]);
            match store.append(scribe.tip(), batch).await.unwrap() {
                Append::Appended { n: 1 } => {
                    scribe = attempt;
                    written += 1;
                }
                Append::Conflict => scribe = scribe.moved_to(store.head().await.unwrap().tip()),
                other => panic!("{other:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writer("a"), writer("b"));
    let read = store.read(1..=100, ReadLimit::default()).await.unwrap();
    assert!(read.iter().map(|stored| stored.seq).eq(1..=80));
    assert_eq!(store.head().await.unwrap().size, 80);
}

pub async fn a_known_key_is_a_conflict(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[Sample::at(1).keyed("x")]).await;
    let tip = scribe.tip();
    let batch = scribe.clone().seal(&[Sample::at(2).of("acme"), Sample::at(3).keyed("x")]);
    assert_eq!(store.append(tip, batch).await.unwrap(), Append::Conflict);
    assert_eq!(store.head().await.unwrap().tip(), tip);
    assert_eq!(store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap(), None);
    // The same id of another source is another event.
    let mut other = Sample::at(2).keyed("x");
    other.source = "ocis".to_owned();
    scribe.append(&*store, &[other]).await;
}

pub async fn a_known_key_that_stands_alone_stops_at_most_what_follows(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[Sample::at(1).keyed("x")]).await;
    let tip = scribe.tip();
    let samples = [Sample::at(2).of("acme").keyed("a"), Sample::at(3).of("acme").keyed("x"), Sample::at(4).of("acme")];
    let mut batch = scribe.clone().seal(&samples).to_vec();
    for key in batch.iter_mut().filter_map(|event| event.key.as_mut()) {
        key.stands_alone = true;
    }
    let kept = match store.append(tip, Arc::from(batch.clone())).await.unwrap() {
        Append::Appended { n: 1 } => Tip { size: 2, hash: batch[0].hash },
        Append::Conflict => tip,
        other => panic!("{other:?}"),
    };
    assert_eq!(store.head().await.unwrap().tip(), kept);
    let acme = store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap();
    assert_eq!(acme.map_or(0, |head| head.tenant_seq), kept.size - 1);
    assert_eq!(store.read(1..=10, ReadLimit::default()).await.unwrap().len() as u64, kept.size);
}

pub async fn bad_batches_are_refused(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[Sample::at(1).of("acme")]).await;
    let tip = scribe.tip();
    let good = scribe.clone().seal(&[Sample::at(2).of("acme").keyed("a"), Sample::at(3).of("acme").keyed("b")]);
    let changed = |change: &dyn Fn(&mut NewEvent)| {
        let mut batch: Vec<NewEvent> = good.to_vec();
        change(&mut batch[1]);
        Arc::from(batch)
    };
    let bad: [Arc<[NewEvent]>; 5] = [
        changed(&|event| event.seq = Seq::new(4).unwrap()),
        changed(&|event| event.line = vec![b' '; (1 << 20) + 1]),
        changed(&|event| event.line.clear()),
        changed(&|event| event.key = good[0].key.clone()),
        changed(&|event| event.tenant.as_mut().unwrap().tenant_seq = 7),
    ];
    for batch in bad {
        let error = store.append(tip, batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
    assert_eq!(store.head().await.unwrap().tip(), tip);
    assert_eq!(store.append(tip, good).await.unwrap(), Append::Appended { n: 2 });
}

pub async fn receipts_are_found_by_key(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let events = scribe.append(&*store, &[Sample::at(1).keyed("a"), Sample::at(2), Sample::at(3).keyed("c")]).await;
    let key = |id: &str| (Source::new("platform-api").unwrap(), ExternalId::new(id).unwrap());
    let seen = store.seen(&[key("c"), key("b"), key("a"), key("c")]).await.unwrap();
    let receipts: Vec<_> = seen.iter().map(|r| r.as_ref().map(|r| (r.seq, r.hash, r.content_mac))).collect();
    let expected = |nth: usize| {
        let event = &events[nth];
        Some((event.seq, event.hash, event.key.as_ref().unwrap().content_mac))
    };
    assert_eq!(receipts, [expected(2), None, expected(0), expected(2)]);
    assert_eq!(store.seen(&[]).await.unwrap(), []);
}

pub async fn tenant_heads_follow_their_streams(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let mut streams: BTreeMap<&str, Vec<(Seq, Hash)>> = BTreeMap::new();
    let tenants = ["acme", "", "globex", "acme", "acme", "", "initech"];
    for batch in tenants.repeat(9).chunks(5) {
        let samples: Vec<_> = batch.iter().map(|tenant| Sample::at(1).of(tenant)).collect();
        let events = scribe.append(&*store, &samples).await;
        for (tenant, event) in batch.iter().zip(events.iter()).filter(|(tenant, _)| !tenant.is_empty()) {
            streams.entry(tenant).or_default().push((event.seq, event.hash));
        }
    }
    let listed = store.tenant_heads(None, 10).await.unwrap();
    assert!(listed.iter().map(|(tenant, _)| tenant.as_str()).eq(streams.keys().copied()));
    for (tenant, stream) in &streams {
        let head = store.tenant_head(&TenantSlug::new(*tenant).unwrap()).await.unwrap().unwrap();
        let last = stream.last().unwrap();
        assert_eq!((head.tenant_seq, head.seq, head.hash), (stream.len() as u64, last.0, last.1));
        assert_eq!(head.peaks, frontier(stream.iter().map(|(_, hash)| *hash)).peaks());
        assert!(listed.iter().any(|(slug, known)| slug.as_str() == *tenant && *known == head));
    }
    let asked = ["initech", "umbrella", "acme"].map(|tenant| TenantSlug::new(tenant).unwrap());
    let heads = store.heads_of(&asked).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.as_ref().map(|head| head.tenant_seq)).collect::<Vec<_>>(), [Some(9), None, Some(27)]);
}

pub async fn tiles_are_those_of_the_tree(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let mut hashes: Vec<Hash> = Vec::new();
    for n in [1, 3, 252, 1, 255, 700, 1, 130] {
        let events = scribe.append(&*store, &vec![Sample::at(1); n]).await;
        hashes.extend(events.iter().map(|event| event.hash));
        let size = hashes.len() as u64;
        let leaves: Vec<Hash> = hashes.iter().map(leaf_hash).collect();
        for (chunk, index) in leaves.chunks(256).zip(0..) {
            assert_eq!(store.tile(0, index).await.unwrap().unwrap(), chunk);
        }
        assert_eq!(store.tile(0, size.div_ceil(256)).await.unwrap(), None);
        assert_eq!(store.tile(7, 0).await.unwrap(), None);
        assert_eq!(store.tile(63, u64::MAX).await.unwrap(), None);
        let root = frontier(hashes.iter().copied()).root();
        for index in [0, size / 2, size - 1] {
            let mut tiles: BTreeMap<TileId, Vec<Hash>> = BTreeMap::new();
            for id in tiles_for_inclusion(index, size).unwrap() {
                tiles.insert(id, store.tile(id.level(), id.index()).await.unwrap().unwrap());
            }
            let mut tree = TiledTree::new(size, |id| Ok::<_, StoreError>(tiles[&id].clone()));
            let path = tree.inclusion(index).unwrap();
            let nth = usize::try_from(index).unwrap();
            verify_inclusion(&leaves[nth], index, size, &path, &root).unwrap();
        }
    }
}

pub async fn reads_keep_to_their_limits(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    let events = scribe.append(&*store, &vec![Sample::at(1); 20]).await;
    let size = events[0].line.len();
    let read = async |range, events, bytes| {
        let read = store.read(range, ReadLimit { events, bytes }).await.unwrap();
        read.iter().map(|stored| stored.seq).collect::<Vec<_>>()
    };
    assert_eq!(read(5..=8, 100, 1 << 20).await, [5, 6, 7, 8]);
    assert_eq!(read(5..=8, 2, 1 << 20).await, [5, 6]);
    assert_eq!(read(5..=8, 100, size * 2 + size / 2).await, [5, 6]);
    assert_eq!(read(5..=8, 100, 0).await, [5]);
    assert_eq!(read(19..=u64::MAX, 100, 1 << 20).await, [19, 20]);
    assert!(read(21..=30, 100, 1 << 20).await.is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "callers may ask for nothing")]
    let reversed = 8..=5;
    assert!(read(reversed, 100, 1 << 20).await.is_empty());
}

fn frontier(hashes: impl Iterator<Item = Hash>) -> Frontier {
    let mut frontier = Frontier::new();
    hashes.for_each(|hash| frontier.push_event(&hash));
    frontier
}
