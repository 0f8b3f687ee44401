//! The engine on the shared store, one process and three: `cargo bench -p dezky-audit --bench replicas -- [SECONDS] [CALLERS]`.
//!
//! * One process records for SECONDS (10) with CALLERS (64) callers, one event after the other, each durably. Then the very
//!   same documents are inserted by `insert_many` in the same batches, into a collection with the same indexes, with the same
//!   write concern.
//! * Three processes record into one database for as long: all of them together beside the one, and what the slowest got.
//! * `verify` over what the three have written, beside a bare cursor over the same documents.
//!
//! On SecantusDB, or what `DEZKY_TEST_MONGODB_URI` names.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]
#![expect(clippy::cast_precision_loss, reason = "rates for people")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Clock, Config, SharedKeys, Store, SystemRandomness, VerifyOptions, World};
use dezky_audit_core::ids::Origin;
use dezky_audit_core::time::Timestamp;
use dezky_store::Identity;
use dezky_store::mongo::{MongoOptions, MongoStore};
use dezky_testkit::mongo_server::{fresh_database, shared_uri};
use dezky_testkit::sample::Sampler;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Client, Collection};

/// What a process that only records is told: database, folder of the keys, its number, seconds, callers.
const WRITER: &str = "DEZKY_BENCH_WRITER";
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    if let Ok(told) = std::env::var(WRITER) {
        return write(&told).await;
    }
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |default: u64| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (seconds, callers) = (number(10), number(64));
    let keys = tempfile::tempdir().unwrap();
    SharedKeys::make(keys.path(), &origin(), &SystemRandomness).unwrap();
    let client = Client::with_uri_str(shared_uri()).await.unwrap();
    let mut ratios = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        let (one, three) = (fresh_database(), fresh_database());
        let alone = rate(&record(&one, keys.path(), 1, seconds, callers));
        let bare = insert_again(&client, &one).await;
        let shares = record(&three, keys.path(), 3, seconds, callers);
        let together = rate(&shares);
        let slowest =
            shares.iter().map(|(n, _)| *n).min().unwrap() as f64 * 3.0 / shares.iter().map(|(n, _)| *n).sum::<u64>() as f64;
        let (verified, cursor, n) = verify(&client, &three, keys.path()).await;
        println!(
            "round {round}: recorded {alone:.0} events/s, insert_many {bare:.0}: {:.2}; three processes {together:.0}: {:.2}, the slowest \
             {slowest:.2} of its fair share; verified {n} events in {verified:.1?}, bare cursor {cursor:.1?}: {:.2}",
            alone / bare,
            together / alone,
            cursor.as_secs_f64() / verified.as_secs_f64(),
        );
        let found = [alone / bare, together / alone, slowest, cursor.as_secs_f64() / verified.as_secs_f64()];
        for (ratios, found) in ratios.iter_mut().zip(found) {
            ratios.push(found);
        }
    }
    let [recording, together, slowest, verifying] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ROUNDS / 2]
    });
    println!(
        "medians: recording {recording:.2} (to reach: 0.90), three processes {together:.2} (0.80), the slowest {slowest:.2} of its share (0.20), \
         verifying {verifying:.2} (0.70)"
    );
}

fn origin() -> Origin {
    Origin::new("bench/replicas").unwrap()
}

fn rate(counted: &[(u64, Duration)]) -> f64 {
    let longest = counted.iter().map(|(_, time)| *time).max().unwrap();
    counted.iter().map(|(n, _)| n).sum::<u64>() as f64 / longest.as_secs_f64()
}

/// Lets processes record at the same time; how many events each got in, and in what time.
fn record(database: &str, keys: &Path, processes: u64, seconds: u64, callers: u64) -> Vec<(u64, Duration)> {
    let mut children: Vec<Child> = (0..processes)
        .map(|nth| {
            let told = format!("{database} {} {nth} {seconds} {callers}", keys.display());
            let mut command = Command::new(std::env::current_exe().unwrap());
            // All of them write to the server of this process.
            command.env(WRITER, told).env("DEZKY_TEST_MONGODB_URI", shared_uri());
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut outputs: Vec<_> = children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for output in &mut outputs {
        assert_eq!(output.next().unwrap().unwrap(), "ready");
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let counted = outputs.iter_mut().map(|output| {
        let line = output.next().unwrap().unwrap();
        let (n, micros) = line.split_once(' ').unwrap();
        (n.parse().unwrap(), Duration::from_micros(micros.parse().unwrap()))
    });
    let counted = counted.collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    counted
}

/// Every look at it is a millisecond later, so that the time of recording tells which events were appended together.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_770_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

async fn open(database: &str, keys: &Path, scratch: &Path) -> (AuditLog, Arc<dyn Store>) {
    let shared = SharedKeys::read(&keys.join("log.key"), &keys.join("ingest.secret")).unwrap();
    let options = MongoOptions { database: Some(database.to_owned()), ..MongoOptions::default() };
    let store: Arc<dyn Store> = Arc::new(MongoStore::open(&shared_uri(), Identity::Given(origin()), options).await.unwrap());
    let world = World { clock: Arc::new(Ticking(AtomicU64::new(0))), ..World::system() };
    let config = Config { shared: Some(shared), ..Config::in_dir(scratch) };
    (AuditLog::open(config, Arc::clone(&store), world).await.unwrap(), store)
}

/// One process that records until its time is over.
async fn write(told: &str) {
    let told: Vec<&str> = told.split(' ').collect();
    let [database, keys, nth, seconds, callers] = told[..] else { panic!("{told:?}") };
    let scratch = tempfile::tempdir().unwrap();
    let (log, _) = open(database, Path::new(keys), scratch.path()).await;
    let callers: u64 = callers.parse().unwrap();
    let nth: u64 = nth.parse().unwrap();
    println!("ready");
    std::io::stdin().lines().next().unwrap().unwrap();
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds.parse().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let log = log.clone();
        tasks.spawn(async move {
            let mut sampler = Sampler::new(1_000 * (nth + 1) + caller);
            let mut recorded = 0;
            while Instant::now() < end {
                // A key that two processes have in common is found to be a duplicate; it is no event.
                recorded += u64::from(!log.record(sampler.draft()).await.unwrap().duplicate);
            }
            recorded
        });
    }
    let recorded: u64 = tasks.join_all().await.into_iter().sum();
    println!("{recorded} {}", began.elapsed().as_micros());
    assert!(log.shutdown(Duration::from_secs(60)).await.complete);
}

/// The same documents in the same batches by the bare driver; events a second.
async fn insert_again(client: &Client, database: &str) -> f64 {
    let twin = fresh_database();
    let options = MongoOptions { database: Some(twin.clone()), ..MongoOptions::default() };
    let store = MongoStore::open(&shared_uri(), Identity::Given(origin()), options).await.unwrap();
    let mut concern = WriteConcern::default();
    (concern.w, concern.journal) = (Some(Acknowledgment::Majority), Some(true));
    let bare: Collection<Document> = client.database(&twin).collection("event");
    let mut batches: Vec<(String, Vec<Document>)> = Vec::new();
    let mut cursor =
        client.database(database).collection::<Document>("event").find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
    while cursor.advance().await.unwrap() {
        let document = cursor.deserialize_current().unwrap();
        let line: serde_json::Value = serde_json::from_slice(document.get_binary_generic("line").unwrap()).unwrap();
        let recorded_at = line["recordedAt"].as_str().unwrap().to_owned();
        match batches.last_mut() {
            Some((at, batch)) if *at == recorded_at => batch.push(document),
            _ => batches.push((recorded_at, vec![document])),
        }
    }
    let events: usize = batches.iter().map(|(_, batch)| batch.len()).sum();
    let began = Instant::now();
    for (_, batch) in &batches {
        bare.insert_many(batch).write_concern(concern.clone()).await.unwrap();
    }
    let time = began.elapsed();
    println!("         {events} events in batches of {:.1}", events as f64 / batches.len() as f64);
    store.close().await;
    events as f64 / time.as_secs_f64()
}

/// The time of verifying, that of a bare cursor, and how many events there are.
async fn verify(client: &Client, database: &str, keys: &Path) -> (Duration, Duration, u64) {
    let scratch = tempfile::tempdir().unwrap();
    let (log, _) = open(database, keys, scratch.path()).await;
    let began = Instant::now();
    let mut cursor =
        client.database(database).collection::<Document>("event").find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
    let mut events = 0;
    while cursor.advance().await.unwrap() {
        events += 1;
    }
    let bare = began.elapsed();
    let began = Instant::now();
    let verification = log.verify(VerifyOptions::default()).await.unwrap();
    let verified = began.elapsed();
    assert_eq!(verification.exit_code, 0, "{}", verification.json);
    assert!(log.shutdown(Duration::from_secs(60)).await.complete);
    (verified, bare, events)
}
