//! Sources into SQLite, durable: lines of an OCIS file, and webhook bodies of a hundred events.
//!
//! `cargo bench -p dezky-ingest --bench durable [-- EVENTS]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench measures and prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dezky_audit::{AuditLog, Config, SystemClock};
use dezky_audit_core::source::stalwart::AllowList;
use dezky_ingest::tail::FileTail;
use dezky_ingest::webhook::{Emptying, Form, Inbox, InboxLimits, Intake, Proof, Sender, SignatureKey};
use dezky_ingest::{Delivery, Health, Progress, StaticDirectory, Work};
use futures_util::stream;
use tokio::sync::Notify;

#[tokio::main]
async fn main() {
    let events: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open_in(dir.path(), Config::in_dir(dir.path())).await.unwrap();
    let delivery = |source: &str| {
        Delivery::new(log.clone(), Arc::new(StaticDirectory::default()), Arc::new(SystemClock), Health::new(source))
    };

    let path = dir.path().join("ocis.log");
    let line = |number: usize| {
        format!(
            "{{\"RemoteAddr\":\"\",\"User\":\"\",\"URL\":\"\",\"Method\":\"\",\"UserAgent\":\"\",\"Time\":\"2026-11-20T09:15:02Z\",\"App\":\"admin_audit\",\
             \"Message\":\"user '60708dda-e897-11ef-919f-bbb7437d6ec2' created file 'f-{number}'\",\"Action\":\"file_create\",\"CLI\":false,\"Level\":1,\
             \"Path\":\"\",\"Owner\":\"4c510ada-c86b-4815-8820-42cdf82c3d51\",\"FileID\":\"f-{number}\"}}\n"
        )
    };
    std::fs::write(&path, (0..events).map(line).collect::<String>()).unwrap();
    let mut tail = FileTail::resume(delivery("ocis"), path).await.unwrap();
    let start = Instant::now();
    while tail.round().await.unwrap() == Progress::More {}
    show("lines of a file", events, start.elapsed());

    let inbox = Inbox::open(dir.path().join("inbox"), InboxLimits::default()).unwrap();
    let key = SignatureKey::of_stalwart("key").unwrap();
    let intake = Intake::new(Proof::Signature(key.clone()), Arc::clone(&inbox), Arc::new(Notify::new()));
    let body = |number: usize| {
        let event = |n: usize| {
            format!(
                r#"{{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"auth.failed","data":{{"accountName":"jdoe@corp.example","accountId":{},"spanId":304404571900346370,"reason":"Authentication failed","remoteIp":"198.51.100.23","listenerId":"submissions","localPort":465}}}}"#,
                number * 100 + n
            )
        };
        format!(r#"{{"events":[{}]}}"#, (0..100).map(event).collect::<Vec<_>>().join(","))
    };
    let bodies: Vec<_> = (0..events / 100).map(body).collect();
    let start = Instant::now();
    for body in &bodies {
        let signature = key.sign(body.as_bytes());
        let sender = Sender { proof: Some(signature.as_bytes()), peer: [127, 0, 0, 1].into(), passed_on: false };
        intake.accept(sender, stream::iter([Ok::<_, std::io::Error>(Bytes::from(body.clone()))])).await.unwrap();
    }
    show("webhooks acknowledged", events, start.elapsed());
    let start = Instant::now();
    let mut emptying = Emptying::new(delivery("stalwart"), inbox, Arc::new(Form::Stalwart(AllowList::default())));
    while emptying.round().await.unwrap() == Progress::More {}
    show("webhooks recorded", events, start.elapsed());
    assert!(log.shutdown(Duration::from_secs(60)).await.complete);
}

fn show(what: &str, events: usize, took: Duration) {
    println!("{what:<24} {:>8.0} events a second", events as f64 / took.as_secs_f64());
}
