//! Checking lines from memory on one core, against SHA-256 alone over the same bytes.
//!
//! `cargo bench -p dezky-audit-core --bench lines [-- EVENTS]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench measures and prints"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use dezky_audit_core::hash::Hash;
use dezky_audit_core::verify::{Start, Stepper, Subject, Walk};
use dezky_testkit::log::ScratchLog;

const ROUNDS: usize = 7;

fn main() {
    let events: u32 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let mut log = ScratchLog::new(1);
    let lines: Vec<Vec<u8>> = (0..events)
        .map(|_| {
            let mut line = Vec::new();
            log.sample(&mut line);
            line
        })
        .collect();
    let bytes: usize = lines.iter().map(Vec::len).sum();
    println!("{events} events, {} bytes a line", bytes / lines.len());
    let sha256 = best(|| {
        for line in &lines {
            black_box(Hash::of(line));
        }
    });
    let check = best(|| {
        let mut stepper = Stepper::new();
        for line in &lines {
            black_box(stepper.step(line));
        }
    });
    let verify = best(|| {
        let mut stepper = Stepper::new();
        let mut walk = Walk::new(Subject::Log, Some(log.origin.clone()), Start::Beginning, 10);
        for line in &lines {
            walk.push(&stepper.step(line));
        }
        assert_eq!(walk.tree().unwrap().root(), log.tree.root());
        assert!(walk.findings().list().is_empty());
    });
    for (what, time) in [("SHA-256 over the lines", sha256), ("check each line", check), ("check, walk and tree", verify)] {
        let per_event = time.as_nanos() / u128::from(events);
        println!("{what:<24} {per_event:>6} ns an event  {:>5.2} x", time.as_secs_f64() / sha256.as_secs_f64());
    }
}

fn best(mut run: impl FnMut()) -> Duration {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap()
}
