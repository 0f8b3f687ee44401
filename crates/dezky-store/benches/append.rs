//! How fast batches are made durable: `cargo bench -p dezky-store --bench append -- [EVENTS] [BATCH]`.
//!
//! Appends EVENTS (50,000) in batches of BATCH (64), first into plain tables of the same rows, with nothing computed and nothing
//! copied, then into a store; prints both, their ratio, and how long the search copy took to follow.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::Origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{Append, EventLog, Identity, NewEvent, SearchCopy, Store, Tip};
use rusqlite::{Connection, TransactionBehavior};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |default: usize| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (events, batch) = (number(50_000), number(64));
    let origin = Origin::new("bench/append").unwrap();
    let mut scribe = Scribe::new(&origin);
    let mut batches: Vec<(Tip, Arc<[NewEvent]>)> = Vec::new();
    for first in (0..events).step_by(batch) {
        let samples: Vec<Sample> = (first..events.min(first + batch)).map(sample).collect();
        batches.push((scribe.tip(), scribe.seal(&samples)));
    }
    let folder = tempfile::tempdir().unwrap();
    let plain = insert(&folder.path().join("plain.db"), &batches);
    println!("rows alone  {:>9.0} events/s", rate(events, plain));

    let path = folder.path().join("audit.db");
    let store = SqliteStore::open(&path, Identity::Given(origin), SqliteOptions::default()).await.unwrap();
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for (tip, batch) in batches {
        let n = batch.len();
        let one = Instant::now();
        assert_eq!(store.append(tip, batch).await.unwrap(), Append::Appended { n });
        slowest = slowest.max(one.elapsed());
    }
    let whole = began.elapsed();
    let behind = store.gauges().uncopied_events;
    store.settle().await.unwrap();
    println!(
        "store       {:>9.0} events/s, {:.2} of that, slowest batch {slowest:.1?}",
        rate(events, whole),
        plain.as_secs_f64() / whole.as_secs_f64()
    );
    println!("search copy {behind} behind at the end, complete {:.1?} later", began.elapsed() - whole);
    store.close().await;
}

fn insert(path: &Path, batches: &[(Tip, Arc<[NewEvent]>)]) -> Duration {
    let mut connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536;
             CREATE TABLE event (seq INTEGER PRIMARY KEY, line BLOB NOT NULL);
             CREATE TABLE receipt (source TEXT, external_id TEXT, seq INTEGER, hash BLOB, mac BLOB, PRIMARY KEY (source, external_id)) WITHOUT ROWID",
        )
        .unwrap();
    let began = Instant::now();
    for (_, batch) in batches {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        {
            let mut event_row = transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2)").unwrap();
            let mut receipt_row = transaction.prepare_cached("INSERT INTO receipt VALUES (?1, ?2, ?3, ?4, ?5)").unwrap();
            for event in batch.iter() {
                event_row.execute((event.seq.get().cast_signed(), &event.line)).unwrap();
                if let Some(key) = &event.key {
                    let mac = key.content_mac.unwrap();
                    let (source, id) = (key.source.as_str(), key.external_id.as_str());
                    receipt_row
                        .execute((source, id, event.seq.get().cast_signed(), event.hash.as_bytes(), mac.as_bytes()))
                        .unwrap();
                }
            }
        }
        transaction.commit().unwrap();
    }
    began.elapsed()
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

fn rate(events: usize, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}
