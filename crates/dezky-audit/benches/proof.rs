//! How long one proof takes: `cargo bench -p dezky-audit --bench proof -- [EVENTS] [FILE]`.
//!
//! Opens the log in FILE, which holds EVENTS already (as the bench `search` of `dezky-store` leaves one), or records EVENTS
//! (20,000) into a new one; then proves 1,000 events anywhere in it, and checks that each leads from
//! the line that it carries to the root that was signed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Config, IngestSecret, Reason, Scope, World};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::ids::{Origin, Seq};
use dezky_audit_core::merkle::{leaf_hash, verify_inclusion};
use dezky_audit_core::proof::TlogProof;
use dezky_store::Identity;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_testkit::sample::{Random, Sampler};

const PROOFS: usize = 1_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let events: usize = arguments.next().map_or(20_000, |n| n.parse().unwrap());
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let given = arguments.next().map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| scratch.path().join("audit.db"));
    let origin = Identity::Otherwise(Origin::new("bench/proof").unwrap());
    let store = Arc::new(SqliteStore::open(path, origin, SqliteOptions::default()).await.unwrap());
    let began = Instant::now();
    let mut config = Config::in_dir(scratch.path());
    // The file may have events of another secret: nothing here compares contents.
    config.ingest_secret = Some(IngestSecret::new([7; 32]));
    let log = AuditLog::open(config, store, World::system()).await.unwrap();
    println!("opened after {:.1} s", began.elapsed().as_secs_f64());
    if given.is_none() {
        let mut sampler = Sampler::new(64);
        for _ in 0..events.div_ceil(1_000) {
            log.record_batch((0..1_000).map(|_| sampler.draft()).collect()).await.unwrap();
        }
    }
    let began = Instant::now();
    let checkpoint = log.checkpoint(Reason::Manual).await.unwrap();
    println!("checkpoint over {} events after {:.1} s", checkpoint.size, began.elapsed().as_secs_f64());

    let mut random = Random::new(7);
    let mut times: Vec<Duration> = Vec::with_capacity(PROOFS);
    for _ in 0..PROOFS {
        let seq = Seq::new(1 + random.number() % checkpoint.size).unwrap();
        let began = Instant::now();
        let proof = log.proof(&Scope::All, seq).await.unwrap().unwrap();
        times.push(began.elapsed());
        let proof = TlogProof::parse(proof.as_bytes()).unwrap();
        let (line, mut preimage) = (proof.extra.unwrap(), Vec::new());
        let LineCheck::Event(event) = check_line(&line, &mut preimage) else { panic!("malformed") };
        verify_inclusion(&leaf_hash(&event.computed_hash), seq.get() - 1, checkpoint.size, &proof.path, &checkpoint.root)
            .unwrap();
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{PROOFS} proofs: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        ms(times[PROOFS / 2]),
        ms(times[PROOFS * 99 / 100]),
        ms(times[PROOFS - 1])
    );
    log.shutdown(Duration::from_secs(60)).await;
}
