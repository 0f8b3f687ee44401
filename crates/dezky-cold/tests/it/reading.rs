use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dezky_audit::{ProveError, Query, Reason, Scope};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use dezky_cold::depot::{Body, Content, Depot, DepotError, Entry, ObjectKey, Put};
use dezky_cold::{Reach, Timeline, TimelineConfig, TimelineError, restore};
use dezky_store::{Cursor, Filter, Order};

use crate::scratch::{Scratch, draft};

/// A depot that may be away.
struct Leaving {
    inner: Arc<dyn Depot>,
    away: AtomicBool,
}

#[async_trait]
impl Depot for Leaving {
    fn place(&self) -> String {
        "a depot that is away".to_owned()
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        self.inner.put(key, content, sha256).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        if self.away.load(Ordering::SeqCst) {
            let hint = "wait".to_owned();
            return Err(DepotError::Get { key: key.to_string(), place: self.place(), hint, source: None });
        }
        self.inner.get(key).await
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        self.inner.size(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        self.inner.list(prefix, after, limit).await
    }
}

fn timeline(scratch: &Scratch) -> Timeline {
    over(scratch, Arc::clone(&scratch.depot))
}

fn over(scratch: &Scratch, depot: Arc<dyn Depot>) -> Timeline {
    let config = TimelineConfig { scratch: scratch.dir.path().to_owned(), cache_bytes: 20_000 };
    Timeline::new(scratch.log.clone(), depot, config)
}

/// Sixty events of two tenants and of none, whose times jump; signed.
async fn jumping() -> Scratch {
    let scratch = Scratch::new().await;
    let drafts = (0..60_u64).map(|n| {
        let mut draft = draft(["user.created", "user.removed", "flag.updated"][usize::try_from(n % 3).unwrap()]);
        let ms = 1_770_000_000_000 + (n * 7 % 60) * 1_000 + if n == 20 { 90_000_000 } else { 0 };
        draft.at = Timestamp::from_unix_ms(ms);
        draft.tenant = ["acme", "umbrella"].get(usize::try_from(n % 4).unwrap()).map(|tenant| tenant.parse().unwrap());
        draft
    });
    scratch.log.record_batch(drafts.collect()).await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    scratch
}

fn query(parameters: &[(&str, &str)]) -> Query {
    Query::parse(parameters.iter().copied()).unwrap()
}

/// All pages of a list, joined, and what the archive had to do with any of them.
async fn all(timeline: &Timeline, scope: &Scope, mut query: Query) -> (Vec<Vec<u8>>, Option<Reach>) {
    let (mut lines, mut reach) = (Vec::new(), None);
    loop {
        let listed = timeline.page(scope, &query).await.unwrap();
        assert!(listed.page.events.len() <= query.limit);
        reach = reach.or(listed.archives);
        lines.extend(listed.page.events.into_iter().map(|stored| stored.line));
        let Some(next) = listed.page.next else { return (lines, reach) };
        assert_ne!(query.after, Some(next), "a page that does not get on");
        query.after = Some(next);
    }
}

#[tokio::test]
async fn lists_are_the_same_wherever_their_events_lie() {
    let scratch = jumping().await;
    let timeline = timeline(&scratch);
    let scopes = [Scope::All, Scope::Tenants(["acme".parse().unwrap()].into()), Scope::Tenants([].into())];
    let queries = [
        query(&[("limit", "7"), ("source", "platform-api")]),
        query(&[("limit", "1"), ("action", "user."), ("source", "platform-api")]),
        query(&[("limit", "500"), ("order", "asc"), ("source", "platform-api")]),
        query(&[("limit", "4"), ("order", "asc"), ("tenantSlug", "umbrella")]),
        query(&[("limit", "9"), ("action!", "flag.updated"), ("q", "USER"), ("source", "platform-api")]),
        query(&[("limit", "3"), ("since", "2026-02-02T02:40:20.000Z"), ("until", "2026-02-02T02:40:40.000Z")]),
    ];
    let mut hot = Vec::new();
    for scope in &scopes {
        for query in &queries {
            let (lines, reach) = all(&timeline, scope, query.clone()).await;
            assert_eq!(reach, None);
            hot.push(lines);
        }
    }
    assert!(hot.iter().take(queries.len()).all(|lines| !lines.is_empty()));
    scratch.archiver().run().await.unwrap();
    // And with one of the batches in both places.
    for back in [false, true] {
        if back {
            let until = "2026-05-08T00:00:00.000Z".parse().unwrap();
            restore(&scratch.log, &*scratch.depot, 21, until, scratch.now(), scratch.dir.path()).await.unwrap();
        }
        let mut before = hot.iter();
        for scope in &scopes {
            for query in &queries {
                let (lines, reach) = all(&timeline, scope, query.clone()).await;
                assert_eq!(&lines, before.next().unwrap(), "{scope:?} {query:?}");
                assert!(lines.is_empty() || reach == Some(Reach::Read), "{scope:?} {query:?}");
            }
        }
    }
    let day = std::time::Duration::from_secs(24 * 3_600);
    scratch.clock.advance(8 * day);
    assert_eq!(scratch.archiver_with(90 * day, 10).run().await.unwrap().expired, 10);
    scratch.assert_archived_up_to(60).await;
}

#[tokio::test]
async fn a_list_goes_on_where_events_leave_between_its_pages() {
    let scratch = jumping().await;
    let timeline = timeline(&scratch);
    let expected = all(&timeline, &Scope::All, query(&[("source", "platform-api")])).await.0;
    let mut pages = query(&[("limit", "11"), ("source", "platform-api")]);
    let mut lines = Vec::new();
    for page in 0.. {
        if page == 2 {
            scratch.archiver().run().await.unwrap();
        }
        let listed = timeline.page(&Scope::All, &pages).await.unwrap();
        lines.extend(listed.page.events.into_iter().map(|stored| stored.line));
        match listed.page.next {
            Some(next) => pages.after = Some(next),
            None => break,
        }
    }
    assert_eq!(lines, expected);
    scratch.assert_archived_up_to(60).await;
}

#[tokio::test]
async fn without_the_depot_the_hot_part_is_listed_and_says_so() {
    let scratch = jumping().await;
    scratch.archiver().run().await.unwrap();
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    let depot = Arc::new(Leaving { inner: Arc::clone(&scratch.depot), away: AtomicBool::new(true) });
    let timeline = over(&scratch, Arc::clone(&depot) as _);
    let newest = query(&[("limit", "20")]);
    let listed = timeline.page(&Scope::All, &newest).await.unwrap();
    // Six batches were told of, after everything else.
    assert_eq!((listed.page.events.len(), listed.archives), (6, Some(Reach::Unavailable)));
    let next = listed.page.next.unwrap();
    // Asked again it stays there, and goes on once the depot is back.
    let rest = Query { after: Some(next), ..newest };
    let still = timeline.page(&Scope::All, &rest).await.unwrap();
    assert_eq!((still.page.events.len(), still.page.next, still.archives), (0, Some(next), Some(Reach::Unavailable)));
    // What hot storage can answer alone never says so.
    let told = timeline.page(&Scope::All, &query(&[("limit", "5")])).await.unwrap();
    assert_eq!((told.page.events.len(), told.archives), (5, None));
    assert!(matches!(timeline.event(&Scope::All, Seq::new(3).unwrap()).await, Err(TimelineError::Depot(_))));
    depot.away.store(false, Ordering::SeqCst);
    assert_eq!(all(&timeline, &Scope::All, rest).await.0.len(), 60);
    scratch.assert_archived_up_to(60).await;
}

#[tokio::test]
async fn an_object_that_was_changed_is_not_shown() {
    let scratch = jumping().await;
    scratch.archiver().run().await.unwrap();
    let dir = scratch.archive_dir().join("events");
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    // Another batch in its place: well packed, and not what the store remembers.
    let first = std::fs::read(&names[0]).unwrap();
    std::fs::copy(&names[1], &names[0]).unwrap();
    let timeline = timeline(&scratch);
    assert!(matches!(timeline.event(&Scope::All, Seq::new(3).unwrap()).await, Err(TimelineError::Damaged { start: 1, .. })));
    let oldest = query(&[("order", "asc"), ("limit", "500")]);
    let listed = timeline.page(&Scope::All, &oldest).await.unwrap();
    assert_eq!(listed.archives, Some(Reach::Damaged));
    std::fs::write(&names[0], first).unwrap();
    assert!(timeline.event(&Scope::All, Seq::new(3).unwrap()).await.unwrap().is_some());
    scratch.assert_archived_up_to(60).await;
}

#[tokio::test]
async fn single_events_exports_and_proofs_reach_into_the_archive() {
    let scratch = jumping().await;
    let timeline = timeline(&scratch);
    let acme: Scope = Scope::Tenants(["acme".parse().unwrap()].into());
    let tenant = "acme".parse().unwrap();
    let hot = scratch.hot().await;
    let proofs = [scratch.log.proof(&Scope::All, Seq::new(7).unwrap()).await.unwrap().unwrap()];
    scratch.archiver_with(std::time::Duration::ZERO, 25).run().await.unwrap();
    for (seq, line) in &hot {
        let found = timeline.event(&Scope::All, Seq::new(*seq).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.line, *line);
        let seen = timeline.event(&acme, Seq::new(*seq).unwrap()).await.unwrap().is_some();
        assert_eq!(seen, (seq - 1) % 4 == 0, "{seq}");
    }
    assert!(timeline.event(&Scope::All, Seq::new(999).unwrap()).await.unwrap().is_none());
    // The tree outlives the lines: under the same checkpoint the same proof.
    let again = scratch.log.proof_of(Seq::new(7).unwrap(), hot[&7].clone()).await.unwrap();
    let path = |proof: &str| proof.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(path(&again)[..2], path(&proofs[0])[..2]);
    let forged = scratch.log.proof_of(Seq::new(8).unwrap(), hot[&7].clone()).await;
    assert!(matches!(forged, Err(ProveError::Mismatch { .. })));
    let Err(ProveError::Archived { seq }) = scratch.log.tenant_checkpoint(&acme, &tenant).await else { panic!("it is archived") };
    let last = timeline.event(&acme, seq).await.unwrap().unwrap();
    assert!(scratch.log.tenant_checkpoint_with(&acme, &tenant, last).await.unwrap().is_some());

    let lines = async |scope: Scope, filter: Filter| {
        let mut export = timeline.export(scope, filter).await.unwrap();
        let (mut text, size) = (Vec::new(), export.checkpoint().size);
        while let Some(chunk) = export.next().await.unwrap() {
            text.extend(chunk);
        }
        let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        assert!(lines.last().unwrap().is_empty());
        (lines[..lines.len() - 1].to_vec(), size)
    };
    let (whole, size) = lines(Scope::All, Filter::all()).await;
    assert_eq!((whole.len() as u64, &whole), (size, &scratch.all().await));
    let (own, _) = lines(acme, Filter::all()).await;
    assert_eq!(own.len(), 15);
    scratch.assert_archived_up_to(60).await;
}

#[tokio::test]
async fn a_page_of_a_cursor_behind_everything_is_the_last() {
    let scratch = jumping().await;
    scratch.archiver().run().await.unwrap();
    let after = Cursor { at: Timestamp::MIN, seq: 1, order: Order::Descending };
    let listed = timeline(&scratch).page(&Scope::All, &Query { after: Some(after), ..Query::default() }).await.unwrap();
    assert_eq!((listed.page.events.len(), listed.page.next, listed.archives), (0, None, None));
    scratch.assert_archived_up_to(60).await;
}
