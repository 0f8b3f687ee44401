//! How fast a log on SQLite is archived into a folder: `cargo bench -p dezky-cold --bench archive -- [EVENTS] [ROUNDS]`.
//!
//! Each round records EVENTS (1,000,000) sample events, reads their rows and packs them with the same library and level into
//! one file, and then archives all of them: cut, put, read back, verified, recorded. Deleting them from hot storage is measured
//! beside it, and then pages that read on in the archive.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Config, Query, Reason, Scope, SystemClock, World};
use dezky_audit_core::event::{PartText, Resource};
use dezky_audit_core::time::Timestamp;
use dezky_cold::{ArchiveConfig, Archiver, BatchDocument, FolderDepot, Listed, Timeline, TimelineConfig};
use dezky_store::Identity;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_testkit::sample::Sampler;
use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;

const CALL: usize = 5_000;
/// What one event in each [`RARE_EVERY`] calls is about, so that every batch has at least one.
const RARE: &str = "rare-resource";
const RARE_EVERY: usize = 3;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |default: usize| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (events, rounds) = (number(1_000_000), number(3));
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // On the disk, not in memory: beside the build.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = record(folder.path(), events).await;
        let plain = pack(folder.path());
        let (archived, deleted, batches) = archive(&log, folder.path()).await;
        let ratio = archived.as_secs_f64() / plain.as_secs_f64();
        println!(
            "round {round}: read and packed in {:.2} s; archived in {batches} batches in {:.2} s, ratio {ratio:.2}; deleted in {:.2} s",
            plain.as_secs_f64(),
            archived.as_secs_f64(),
            deleted.as_secs_f64(),
        );
        page(&log, folder.path()).await;
        ratios.push(ratio);
        log.shutdown(Duration::from_secs(60)).await;
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} (to stay below: 2.00)", ratios[ratios.len() / 2]);
}

async fn record(folder: &Path, events: usize) -> AuditLog {
    let identity = Identity::Given("bench.example.eu/log".parse().unwrap());
    let store = SqliteStore::open(folder.join("audit.db"), identity, SqliteOptions::default()).await.unwrap();
    let log = AuditLog::open(Config::in_dir(folder), Arc::new(store), World::system()).await.unwrap();
    let mut sampler = Sampler::new(7);
    let (mut left, mut calls) = (events, 0);
    while left > 0 {
        let call = left.min(CALL);
        let mut drafts: Vec<_> = (0..call).map(|_| sampler.draft()).collect();
        if calls % RARE_EVERY == 0 {
            drafts[call / 2].resource = Some(Resource { id: Some(PartText::new(RARE).unwrap()), name: None });
        }
        log.record_batch(drafts).await.unwrap();
        (left, calls) = (left - call, calls + 1);
    }
    log.checkpoint(Reason::Manual).await.unwrap();
    log.store().settle().await.unwrap();
    log
}

/// Reads all rows and packs their lines.
fn pack(folder: &Path) -> Duration {
    let connection = Connection::open(folder.join("audit.db")).unwrap();
    let begun = Instant::now();
    let file = File::create(folder.join("plain.gz")).unwrap();
    let mut out = GzEncoder::new(BufWriter::with_capacity(256 << 10, file), Compression::new(6));
    let mut statement = connection.prepare("SELECT line FROM event ORDER BY seq").unwrap();
    let mut rows = statement.query(()).unwrap();
    while let Some(row) = rows.next().unwrap() {
        out.write_all(row.get_ref(0).unwrap().as_blob().unwrap()).unwrap();
        out.write_all(b"\n").unwrap();
    }
    out.finish().unwrap().into_inner().unwrap().sync_all().unwrap();
    begun.elapsed()
}

/// Times pages that need the last three batches whole, first from the depot and then from what was unpacked: a resource that few
/// events are about, and a text that nothing in them says.
async fn page(log: &AuditLog, folder: &Path) {
    let size = log.store().head().await.unwrap().size;
    let records = log.store().batches(1..=size, 10_000).await.unwrap();
    let batches: Vec<_> = records.iter().filter_map(BatchDocument::read).collect();
    // Behind everything that the batches before them have.
    let before = batches.iter().rev().skip(3).map(|batch| batch.max_at.unix_ms() + 1).max();
    let since = Timestamp::from_unix_ms(before.unwrap_or_default()).unwrap();
    let needed: Vec<_> = batches.iter().filter(|batch| batch.max_at >= since).collect();
    let (events, bytes) = needed.iter().fold((0, 0), |(n, b), batch| (n + batch.event_count, b + batch.bytes_uncompressed));
    println!("{} batches of {events} events, {} MiB unpacked:", needed.len(), bytes >> 20);
    let questions = [("resourceId", RARE), ("q", "nobody says this")];
    for (name, value) in questions {
        // A timeline of its own: nothing is unpacked yet.
        let depot = FolderDepot::open(folder.join("archive")).await.unwrap();
        let config = TimelineConfig { scratch: folder.to_owned(), cache_bytes: 512 << 20 };
        let timeline = Timeline::new(log.clone(), Arc::new(depot), config);
        let query = Query::parse([(name, value.to_owned()), ("since", since.to_string())]).unwrap();
        for state in ["closed", "open"] {
            let begun = Instant::now();
            let Listed { page, .. } = timeline.page(&Scope::All, &query).await.unwrap();
            let (took, found, whole) = (begun.elapsed().as_millis(), page.events.len(), page.next.is_none());
            let looked = page.visited;
            println!("  {name}={value}, {state}: {took} ms (to stay below: 500), {found} found in {looked}, to the end: {whole}");
        }
    }
}

/// How long it took, but for the deletion; the deletion; and how many batches it made.
async fn archive(log: &AuditLog, folder: &Path) -> (Duration, Duration, usize) {
    let depot = FolderDepot::open(folder.join("archive")).await.unwrap();
    let config = ArchiveConfig { retention: Duration::ZERO, scratch: folder.to_owned(), ..ArchiveConfig::default() };
    let archiver = Archiver::new(log.clone(), Arc::new(depot), Arc::new(SystemClock), config).unwrap();
    let begun = Instant::now();
    let report = archiver.run().await.unwrap();
    let all = begun.elapsed();
    let deleted = report.batches.iter().map(|batch| batch.times.delete).sum();
    (all.saturating_sub(deleted), deleted, report.batches.len())
}
