//! On a real server: SecantusDB, or what `DEZKY_TEST_MONGODB_URI` names (`dezky_testkit::mongo_server`).
//!
//! Where SecantusDB is not as MongoDB, found out here, and none of it changes a result:
//!
//! * a range or an order by `_id` walks the whole collection, and so does the highest `_id`: some 0.7 µs for each document
//!   (`secantusd-rs`; `secantusd-py` some 30 µs). Single `_id`s are found at once;
//! * an order by an index is made by sorting what the index's condition finds, so that a page costs as much as its condition
//!   admits, also where MongoDB would stop after a hundred entries;
//! * a partial index serves questions only where its condition is `$exists`, which is one reason why ours is;
//! * what was acknowledged survives the server's end only with `--sync-on-commit`, whatever the write concern says; the
//!   fixture gives it, except to the shared `secantusd-py`, which nobody stops and which it makes too slow;
//! * a single node: fail-over, roll-back and readings from a secondary cannot be shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::event::{LineCheck, PartName, check_line};
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::conformance::{Fixture, origin};
use dezky_store::mongo::{IndexReport, MongoOptions, MongoStore};
use dezky_store::{
    Append, EventLog, Identity, Query, ReadLimit, Retention, Scope, Search, SearchCopy, Store, StoreError, Tip, Transfer,
};
use dezky_testkit::mongo_server::{MongoServer, fresh_database, shared_uri};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};

async fn open_as(database: &str, identity: Identity) -> Result<MongoStore, StoreError> {
    // The server in Python is slow, and the machine may be busy.
    let answer = Duration::from_secs(120);
    let options = MongoOptions { database: Some(database.to_owned()), answer, ..MongoOptions::default() };
    MongoStore::open(&shared_uri(), identity, options).await
}

async fn open(database: &str) -> MongoStore {
    open_as(database, Identity::Given(origin())).await.unwrap()
}

async fn fresh() -> Fixture {
    Fixture { store: Arc::new(open(&fresh_database()).await), guard: Box::new(()) }
}

dezky_store::conformance_suite!(fresh);

/// A collection as any client sees it.
async fn plain(database: &str, collection: &str) -> Collection<Document> {
    Client::with_uri_str(shared_uri()).await.unwrap().database(database).collection(collection)
}

async fn listed(store: &MongoStore, parameters: &[(&str, &str)]) -> Vec<u64> {
    let mut query = Query::parse(parameters.iter().copied()).unwrap();
    (query.limit, query.budget) = (500, Duration::from_secs(60));
    let mut seqs = Vec::new();
    loop {
        let page = store.list(&Scope::All, &query).await.unwrap();
        seqs.extend(page.events.iter().map(|stored| stored.seq));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return seqs,
        }
    }
}

#[tokio::test]
async fn a_database_is_its_log_again() {
    let database = fresh_database();
    let mut scribe = Scribe::new(&origin());
    for _ in 0..3 {
        let store = open(&database).await;
        assert_eq!(store.head().await.unwrap().tip(), scribe.tip());
        scribe.append(&store, &vec![Sample::at(1).of("acme").keyed(""); 300]).await;
        store.close().await;
    }
    let store = open(&database).await;
    let tenant = store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap().unwrap();
    assert_eq!((tenant.tenant_seq, tenant.seq.get()), (900, 900));
    assert_eq!(listed(&store, &[("tenantSlug", "acme")]).await.len(), 900);
}

#[tokio::test]
async fn another_origin_is_refused() {
    let database = fresh_database();
    let other = Origin::new("test.example/other").unwrap();
    let store = open_as(&database, Identity::Otherwise(origin())).await.unwrap();
    assert_eq!(*store.origin(), origin());
    let error = open_as(&database, Identity::Given(other.clone())).await.err().unwrap();
    assert!(matches!(&error, StoreError::OtherOrigin { .. }), "{error:?}");
    assert_eq!(*open_as(&database, Identity::Otherwise(other)).await.unwrap().origin(), origin());
    let log = plain(&database, "log").await;
    log.update_one(doc! { "_id": "log" }, doc! { "$set": { "schema": 99_i64 } }).await.unwrap();
    let error = open_as(&database, Identity::Given(origin())).await.err().unwrap();
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_log_of_ours_is_refused() {
    let database = fresh_database();
    plain(&database, "event").await.insert_one(doc! { "_id": "mine" }).await.unwrap();
    let error = open_as(&database, Identity::Given(origin())).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_told() {
    let options = MongoOptions { server_selection: Duration::from_millis(200), ..MongoOptions::default() };
    let open = async |uri: &str| MongoStore::open(uri, Identity::Given(origin()), options.clone()).await.err().unwrap();
    let error = open("mongodb://127.0.0.1:1/").await;
    assert!(error.is_temporary() && error.to_string().contains("MONGODB_URI"), "{error:?}");
    for uri in ["postgres://127.0.0.1", "mongodb://127.0.0.1:1/?tls=maybe", ""] {
        let error = open(uri).await;
        assert!(matches!(&error, StoreError::Refused { reason } if reason.contains("MONGODB_URI")), "{error:?}");
    }
}

#[tokio::test]
async fn indexes_are_made_and_checked() {
    let database = fresh_database();
    let store = open(&database).await;
    assert_eq!(store.indexes().await.unwrap(), IndexReport::default());
    let events = plain(&database, "event").await;
    events.drop_index("actor_id").await.unwrap();
    events.drop_index("action").await.unwrap();
    let mut options = mongodb::options::IndexOptions::default();
    options.name = Some("action".to_owned());
    let other = mongodb::IndexModel::builder().keys(doc! { "action": 1 }).options(options).build();
    events.create_index(other).await.unwrap();
    let report = store.indexes().await.unwrap();
    assert_eq!((report.missing, report.different), (vec!["event.actor_id".to_owned()], vec!["event.action".to_owned()]));
    let error = open_as(&database, Identity::Given(origin())).await.err().unwrap();
    assert!(matches!(&error, StoreError::Refused { reason } if reason.contains("drop it")), "{error:?}");
    events.drop_index("action").await.unwrap();
    assert!(open(&database).await.indexes().await.unwrap().is_good());
}

#[tokio::test]
async fn what_somebody_changed_is_shown_and_told() {
    let database = fresh_database();
    let store = open(&database).await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&store, &vec![Sample::at(5); 9]).await;
    let events = plain(&database, "event").await;
    let line = String::from_utf8(store.read(2..=2, ReadLimit::default()).await.unwrap()[0].line.clone()).unwrap();
    let set = async |seq: i64, change: Document| drop(events.update_one(doc! { "_id": seq }, change).await.unwrap());
    set(2, doc! { "$set": { "line": line.replace("tenant.updated", "tenant.deleted") } }).await;
    set(3, doc! { "$set": { "line": "gone" } }).await;
    events.delete_one(doc! { "_id": 4_i64 }).await.unwrap();
    set(5, doc! { "$set": { "actor_id": "u-9" } }).await;
    set(6, doc! { "$set": { "at": 7, "outcome": 7 } }).await;
    set(7, doc! { "$unset": { "text": true } }).await;
    set(8, doc! { "$set": { "line": 8 } }).await;
    let checked = store.check(1..=9, ReadLimit::default()).await.unwrap();
    let told: Vec<(u64, Vec<&str>)> = checked.iter().map(|c| (c.seq, c.differences.iter().map(|d| d.column).collect())).collect();
    assert_eq!(told[0], (1, vec![]));
    assert_eq!(told[1], (2, vec!["action", "text"]));
    assert!(told[2].0 == 3 && told[2].1.contains(&"at") && told[2].1.contains(&"action"));
    assert_eq!(told[3], (5, vec!["actor_id"]));
    assert_eq!(checked[3].differences[0].actual, "u-9");
    assert_eq!(told[4], (6, vec!["at", "outcome"]));
    assert_eq!(told[5], (7, vec!["text"]));
    assert_eq!((told[6].0, &told[7]), (8, &(9, vec![])));

    let page = store.list(&Scope::All, &Query::default()).await.unwrap();
    assert!(page.events.iter().any(|stored| stored.seq == 3 && stored.line == b"gone"));
    assert!(page.events.iter().all(|stored| stored.seq != 4));
    store.rebuild().await.unwrap();
    let checked = store.check(1..=9, ReadLimit::default()).await.unwrap();
    assert!(checked.iter().all(|c| c.differences.is_empty()), "{checked:?}");
    assert_eq!(listed(&store, &[("action", "tenant.deleted")]).await, [2]);
    // The log goes on all the same.
    scribe.append(&store, &[Sample::at(6)]).await;
}

#[tokio::test]
async fn a_long_reading_sees_what_was_appended_and_withheld() {
    let store = open(&fresh_database()).await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&store, &vec![Sample::at(1); 450]).await;
    let page = ReadLimit { events: 150, bytes: 1 << 30 };
    let read = async |first| store.read(first..=u64::MAX, page).await.unwrap();
    assert!(read(1).await.iter().map(|stored| stored.seq).eq(1..=150));
    assert!(read(151).await.iter().map(|stored| stored.seq).eq(151..=300));
    let seq = Seq::new(301).unwrap();
    store.withhold(seq, PartName::Actor).await.unwrap().unwrap();
    let line = store.get(&Scope::All, seq).await.unwrap().unwrap().line;
    let third = read(301).await;
    assert!(third.iter().map(|stored| stored.seq).eq(301..=450));
    assert_eq!(third[0].line, line);
    scribe.append(&store, &vec![Sample::at(1); 10]).await;
    assert!(read(451).await.iter().map(|stored| stored.seq).eq(451..=460));
    // By bytes: a page ends before the event that is too much for it, and the next begins with that.
    let size = line.len();
    let few = ReadLimit { events: 150, bytes: size * 9 / 2 };
    let (mut next, mut pages) = (302, 0);
    while let Some(last) = store.read(next..=460, few).await.unwrap().last() {
        (next, pages) = (last.seq + 1, pages + 1);
    }
    assert!(next == 461 && pages >= 30, "{next} {pages}");
}

#[tokio::test]
async fn a_batch_stops_where_another_writer_is() {
    let database = fresh_database();
    let (a, b) = (open(&database).await, open(&database).await);
    let mut scribe = Scribe::new(&origin());
    scribe.append(&a, &vec![Sample::at(1).of("acme"); 10]).await;
    let tip = scribe.tip();
    let batch = scribe.clone().seal(&vec![Sample::at(2).of("acme"); 10]);
    // Another one that has appended five of the same is overtaken in the middle of its batch: the sixth is not its own.
    assert_eq!(b.append(tip, batch[..5].into()).await.unwrap(), Append::Appended { n: 5 });
    let mut other = scribe.clone();
    other.seal(&vec![Sample::at(2).of("acme"); 5]);
    other.append(&b, &[Sample::at(3).of("acme")]).await;
    assert_eq!(a.append(tip, Arc::clone(&batch)).await.unwrap(), Append::Appended { n: 5 });
    for store in [&a, &b] {
        assert_eq!(store.head().await.unwrap().tip(), other.tip());
        let tenant = store.tenant_head(&TenantSlug::new("acme").unwrap()).await.unwrap().unwrap();
        assert_eq!((tenant.tenant_seq, tenant.hash), (16, other.tip().hash));
    }
    assert_eq!(a.append(tip, batch[5..].into()).await.unwrap_err().to_string().split(' ').next(), Some("refused:"));
    // The very same again is known as one's own, and nothing is written twice.
    let mut third = other.clone();
    let (tip, batch) = (other.tip(), third.seal(&vec![Sample::at(4); 20]));
    assert_eq!(a.append(tip, batch[..12].into()).await.unwrap(), Append::Appended { n: 12 });
    assert_eq!(b.append(tip, Arc::clone(&batch)).await.unwrap(), Append::Appended { n: 20 });
    assert_eq!(a.head().await.unwrap().tip(), third.tip());
}

#[tokio::test]
async fn what_others_appended_is_learned_however_much_it_is() {
    let database = fresh_database();
    let (a, b) = (open(&database).await, open(&database).await);
    let mut scribe = Scribe::new(&origin());
    scribe.append(&a, &[Sample::at(1).of("acme"), Sample::at(1), Sample::at(1).of("globex")]).await;
    let acme = [TenantSlug::new("acme").unwrap()];
    for n in [1, 64, 65, 319, 320, 321, 600, 4_400] {
        let (tip, before) = (scribe.tip(), a.heads_of(&acme).await.unwrap());
        let mut late = scribe.clone();
        for some in vec![Sample::at(2).of("acme"); n].chunks(800) {
            scribe.append(&b, some).await;
        }
        // What it is about to append belongs behind the end that it knows, and so do the heads that it is told.
        assert_eq!(a.heads_of(&acme).await.unwrap(), before);
        assert_eq!(a.append(tip, late.seal(&[Sample::at(3).of("acme")])).await.unwrap(), Append::Conflict, "{n} behind");
        assert_eq!(a.head().await.unwrap().tip(), scribe.tip());
        let head = a.heads_of(&acme).await.unwrap().remove(0).unwrap();
        assert_eq!((head.seq.get(), &head), (scribe.tip().size, &b.tenant_head(&acme[0]).await.unwrap().unwrap()));
        scribe.append(&a, &[Sample::at(4).of("globex"), Sample::at(4).of("acme")]).await;
    }
    assert_whole(&b, scribe.tip().size).await;
}

/// Appends `n` events one batch after the other, each linked to the head that it finds.
async fn write(store: &MongoStore, name: &str, n: usize) {
    let mut scribe = Scribe::new(&origin());
    let mut written = 0;
    while written < n {
        let samples: Vec<_> = (written..n.min(written + 7)).map(|nth| Sample::at(5).keyed(&format!("{name}-{nth}"))).collect();
        let mut attempt = scribe.clone();
        let batch = attempt.seal(&samples);
        match store.append(scribe.tip(), batch).await.unwrap() {
            Append::Appended { n } if n == samples.len() => {
                scribe = attempt;
                written += n;
            }
            Append::Appended { n } => {
                written += n;
                scribe = scribe.moved_to(store.head().await.unwrap().tip());
            }
            Append::Conflict => scribe = scribe.moved_to(store.head().await.unwrap().tip()),
            Append::OutcomeUnknown => panic!("the server was there all the time"),
        }
    }
}

/// All lines in order, each linked to the one before.
async fn assert_whole(store: &MongoStore, n: u64) {
    let head = store.head().await.unwrap();
    assert_eq!(head.size, n);
    let read = store.read(1..=n, ReadLimit { events: 100_000, bytes: 1 << 30 }).await.unwrap();
    assert!(read.iter().map(|stored| stored.seq).eq(1..=n));
    let mut tip = Tip { size: 0, hash: origin().genesis() };
    for stored in &read {
        let LineCheck::Event(event) = check_line(&stored.line, &mut Vec::new()) else { panic!("no event") };
        assert_eq!((event.seq.get(), event.prev_hash), (tip.size + 1, tip.hash));
        tip = Tip { size: tip.size + 1, hash: event.computed_hash };
    }
    assert_eq!(tip, head.tip());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_write_one_chain() {
    let database = fresh_database();
    let (a, b) = (open(&database).await, open(&database).await);
    tokio::join!(write(&a, "a", 1_000), write(&b, "b", 1_000));
    for store in [&a, &b, &open(&database).await] {
        assert_whole(store, 2_000).await;
    }
    let receipts = a.receipts(None, 10_000).await.unwrap();
    let keys: BTreeSet<&str> = receipts.iter().map(|(_, id, _)| id.as_str()).collect();
    assert_eq!((receipts.len(), keys.len()), (2_000, 2_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_has_what_it_acknowledged() {
    if std::env::var_os("DEZKY_TEST_MONGODB_URI").is_some() {
        eprintln!("a server that is not ours is not stopped");
        return;
    }
    let mut server = MongoServer::start();
    let options = MongoOptions { server_selection: Duration::from_millis(300), ..MongoOptions::default() };
    let store = MongoStore::open(&server.uri(), Identity::Given(origin()), options).await.unwrap();
    let mut scribe = Scribe::new(&origin());
    for round in 0..3 {
        scribe.append(&store, &vec![Sample::at(round).of("acme"); 40]).await;
        server.stop();
        let batch = scribe.clone().seal(&[Sample::at(9)]);
        let error = store.append(scribe.tip(), Arc::clone(&batch)).await;
        assert!(matches!(&error, Err(StoreError::Unavailable { .. }) | Ok(Append::OutcomeUnknown)), "{error:?}");
        assert!(store.ping().await.unwrap_err().is_temporary());
        server.resume();
        assert_eq!(store.head().await.unwrap().tip(), scribe.tip());
        store.ping().await.unwrap();
    }
    assert_whole(&store, 120).await;
}
