//! Mapping samples of each source from memory on one core.
//!
//! `cargo bench -p dezky-audit-core --bench sources [-- EVENTS]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench measures and prints"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use dezky_audit_core::source::authentik::map_event;
use dezky_audit_core::source::ocis::{map_line, map_message};
use dezky_audit_core::source::stalwart::{AllowList, map_batch};
use dezky_audit_core::source::{Mapped, SourceKey};

const ROUNDS: usize = 5;

fn main() {
    let events: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(50_000);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/sources/samples");
    let sample = |name: &str| std::fs::read(samples.join(name)).unwrap();
    let key = SourceKey::new([1; 32]);
    let allow = AllowList::default();
    let login = sample("authentik/01_login.json");
    let line = sample("ocis/audit.jsonl").split(|byte| *byte == b'\n').next().unwrap().to_vec();
    let message = sample("ocis/nats/01_FileUploaded.msg.json");
    let one = r#"{"id":"1795166102421135","createdAt":"2026-11-20T09:15:02Z","type":"auth.failed","data":{"accountName":"jdoe@corp.example","accountId":12,"spanId":304404571900346370,"reason":"Authentication failed","remoteIp":"198.51.100.23","listenerId":"submissions","localPort":465,"remotePort":40112}}"#;
    let batch = format!(r#"{{"events":[{}]}}"#, vec![one; 100].join(","));
    rate("authentik", events, login.len(), || vec![map_event(&login, &key)]);
    rate("stalwart, 100 a body", events, one.len(), || map_batch(batch.as_bytes(), &key, &allow).collect());
    rate("ocis, lines", events, line.len(), || map_line(&line, 1, 7, &key));
    rate("ocis, messages", events, message.len(), || vec![map_message(&message, "main-queue:1:1", &key)]);
}

fn rate(what: &str, events: usize, bytes: usize, map: impl Fn() -> Vec<Mapped>) {
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let mut done = 0;
        while done < events {
            done += black_box(map()).len();
        }
        start.elapsed().as_secs_f64() / done as f64
    });
    let best = best.fold(f64::INFINITY, f64::min);
    println!("{what:<22} {bytes:>5} bytes an event  {:>8.0} events a second", 1.0 / best);
}
