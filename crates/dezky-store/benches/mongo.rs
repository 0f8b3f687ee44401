//! The shared store beside the bare driver: `cargo bench -p dezky-store --features mongo --bench mongo -- [EVENTS] [BATCH]`.
//!
//! Appends EVENTS (30,000) in batches of BATCH (1,000) through the store, and inserts the very same documents by `insert_many`
//! into a collection with the same indexes, with the same write concern, in turns of a tenth each; reads all of them through the
//! store and by a bare cursor; and asks for pages by free text. On SecantusDB, or what `DEZKY_TEST_MONGODB_URI` names.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::Origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::mongo::{MongoOptions, MongoStore};
use dezky_store::{Append, EventLog, Identity, Query, ReadLimit, Scope, Search, Store};
use dezky_testkit::mongo_server::{fresh_database, shared_uri};
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Client, Collection};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |default: usize| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (events, batch) = (number(30_000), number(1_000));
    let origin = Origin::new("bench/mongo").unwrap();
    let open = async || {
        let options = MongoOptions { database: Some(fresh_database()), ..MongoOptions::default() };
        MongoStore::open(&shared_uri(), Identity::Given(origin.clone()), options).await.unwrap()
    };
    let (store, twin) = (open().await, open().await);
    let client = Client::with_uri_str(shared_uri()).await.unwrap();
    let own: Collection<Document> = client.database(store.database()).collection("event");
    let bare: Collection<Document> = client.database(twin.database()).collection("event");
    let mut concern = WriteConcern::default();
    (concern.w, concern.journal) = (Some(Acknowledgment::Majority), Some(true));

    let mut scribe = Scribe::new(&origin);
    let (mut through, mut alone) = (Duration::ZERO, Duration::ZERO);
    let slice = (events / 10).max(batch);
    for first in (0..events).step_by(slice) {
        let batches: Vec<_> = (first..events.min(first + slice))
            .step_by(batch)
            .map(|from| (scribe.tip(), scribe.seal(&(from..from + batch).map(sample).collect::<Vec<_>>())))
            .collect();
        let began = Instant::now();
        for (tip, batch) in &batches {
            let n = batch.len();
            assert_eq!(store.append(*tip, Arc::clone(batch)).await.unwrap(), Append::Appended { n });
        }
        through += began.elapsed();
        let range = doc! { "_id": { "$gt": i64::try_from(first).unwrap() } };
        let mut same = Vec::new();
        let mut cursor = own.find(range).sort(doc! { "_id": 1 }).await.unwrap();
        while cursor.advance().await.unwrap() {
            same.push(cursor.deserialize_current().unwrap());
        }
        let began = Instant::now();
        for documents in same.chunks(batch) {
            bare.insert_many(documents).write_concern(concern.clone()).await.unwrap();
        }
        alone += began.elapsed();
    }
    report("insert_many", events, alone, alone);
    report("append", events, through, alone);

    let began = Instant::now();
    let mut cursor = own.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
    let mut n = 0;
    while cursor.advance().await.unwrap() {
        n += 1;
    }
    let alone = began.elapsed();
    report("bare cursor", n, alone, alone);
    let (began, mut next) = (Instant::now(), 1);
    while let Some(last) = store.read(next..=u64::MAX, ReadLimit::default()).await.unwrap().last() {
        next = last.seq + 1;
    }
    report("read", n, began.elapsed(), alone);

    for asked in [&[][..], &[("q", "name 77")], &[("q", "nowhere")], &[("tenantSlug", "tenant-7"), ("q", "name 77")]] {
        let began = Instant::now();
        let page = store.list(&Scope::All, &Query::parse(asked.iter().copied()).unwrap()).await.unwrap();
        println!("{asked:?}: {} events in {:.1?}, more: {}", page.events.len(), began.elapsed(), page.next.is_some());
    }
    store.close().await;
    twin.close().await;
    client.shutdown().await;
}

fn report(what: &str, events: usize, time: Duration, baseline: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = events as f64 / time.as_secs_f64();
    println!("{what:<12} {rate:>9.0} events/s, {:.2} of the bare driver", baseline.as_secs_f64() / time.as_secs_f64());
}

fn sample(nth: usize) -> Sample {
    let nth = nth as u64;
    Sample {
        actor_email: format!("user{}@mail.example.org", nth % 997),
        resource_id: format!("{:016x}", nth.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        resource_name: format!("folder {} / a document with a name {}", nth % 53, nth % 7_919),
        ip: format!("10.0.{}.{}", nth % 199, nth % 241),
        ..Sample::at(1_770_000_000_000 + nth * 3)
    }
    .of(&format!("tenant-{}", nth % 211))
    .keyed(&format!("{:016x}", nth.wrapping_mul(0xD134_2543_DE82_EF95)))
}
