use std::path::PathBuf;
use std::process::Stdio;

use async_nats::jetstream::{self, consumer::PullConsumer};
use dezky_ingest::bus::{Bus, BusSettings, InvalidBusUrl, STREAM};
use dezky_ingest::{Delivery, Progress, Work};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::scratch::{Scratch, run};

/// A real server with JetStream, gone with the test.
struct Nats {
    url: String,
    _server: Child,
    _dir: TempDir,
}

impl Nats {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server =
            Command::new(if PathBuf::from("/usr/sbin/nats-server").exists() { "/usr/sbin/nats-server" } else { "nats-server" })
                .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
                .arg(dir.path())
                .args(more)
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap_or_else(|error| panic!("nats-server is missing ({error}): apt-get install nats-server"));
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut port = None;
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                port = address.trim().rsplit(':').next().map(str::to_owned);
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        // It goes on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url: format!("nats://127.0.0.1:{}", port.unwrap()), _server: server, _dir: dir }
    }

    async fn context(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(&self.url).await.unwrap())
    }

    /// As the first service of OCIS makes it: a name and nothing else.
    async fn make_stream(&self) -> jetstream::Context {
        let context = self.context().await;
        context.create_stream(jetstream::stream::Config { name: STREAM.to_owned(), ..Default::default() }).await.unwrap();
        context
    }

    fn settings(&self) -> BusSettings {
        BusSettings::new(&self.url, None).unwrap()
    }
}

async fn publish(context: &jetstream::Context, message: Vec<u8>) {
    context.publish(STREAM, message.into()).await.unwrap().await.unwrap();
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/sources/samples/ocis/nats");
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut samples: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".msg.json"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    samples.sort();
    samples
}

fn message(id: usize) -> Vec<u8> {
    format!(
        r#"{{"Timestamp":"2026-11-20T09:15:02.118734123Z","Metadata":{{"eventid":"e-{id}","eventtype":"events.UserSignedIn"}},"ID":"i-{id}","Topic":"main-queue","Payload":"eyJFeGVjdXRhbnQiOnsib3BhcXVlX2lkIjoidS0xIiwidHlwZSI6MX19"}}"#
    )
    .into_bytes()
}

async fn resume(delivery: &Delivery, nats: &Nats) -> Bus {
    Bus::resume(delivery.clone(), &nats.settings()).await.unwrap()
}

#[tokio::test]
async fn the_samples_come_over_the_bus() {
    let (nats, scratch) = (Nats::start().await, Scratch::new().await);
    let delivery = scratch.delivery("ocis");
    let context = nats.make_stream().await;
    for (_, sample) in samples() {
        publish(&context, sample).await;
    }
    publish(&context, b"no json".to_vec()).await;
    let mut bus = resume(&delivery, &nats).await;
    run(&mut bus).await;
    let counts = delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.skipped, counts.unreadable), (9, 2, 1));
    let events = scratch.events().await;
    let signed_in = events.iter().find(|event| event["action"] == "ocis.user_signed_in").unwrap();
    assert_eq!(signed_in["externalId"], "7d0f4a5e-0000-4000-8000-000000000005");
    let all = events.iter().map(ToString::to_string).collect::<String>();
    assert!(!all.contains("REVA-USER-JWT") && !all.contains("guess123"));
    // Whoever has no id is known by its place.
    let lost = events.iter().find(|event| event["action"] == "ocis.unreadable").unwrap();
    assert!(lost["externalId"].as_str().unwrap().starts_with("main-queue:"));
    scratch.finish().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_and_is_known() {
    let (nats, scratch) = (Nats::start().await, Scratch::new().await);
    let delivery = scratch.delivery("ocis");
    let context = nats.make_stream().await;
    for id in 0..1_200 {
        publish(&context, message(id)).await;
    }
    let mut bus = resume(&delivery, &nats).await;
    assert_eq!(bus.round().await.unwrap(), Progress::More);
    assert_eq!(delivery.health.now().waiting, Some(700));
    // Our process dies; the consumer is found again where it stood.
    drop(bus);
    let mut bus = resume(&delivery, &nats).await;
    run(&mut bus).await;
    assert_eq!(delivery.health.now().counts.duplicate, 0);
    // The consumer is lost: another one begins behind what was read.
    context.get_stream(STREAM).await.unwrap().delete_consumer(dezky_ingest::bus::CONSUMER).await.unwrap();
    let mut bus = resume(&delivery, &nats).await;
    run(&mut bus).await;
    let counts = delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.duplicate), (1_200, 0));
    // A process takes some and dies: they come again at once, not after the server's patience.
    for id in 1_200..1_210 {
        publish(&context, message(id)).await;
    }
    let stream = context.get_stream(STREAM).await.unwrap();
    let taking: PullConsumer = stream.get_consumer(dezky_ingest::bus::CONSUMER).await.unwrap();
    let mut taken = taking.fetch().max_messages(7).messages().await.unwrap();
    while taken.next().await.is_some() {}
    let mut bus = resume(&delivery, &nats).await;
    run(&mut bus).await;
    // What was read and is sent by OCIS once more, as O5 has it, is known.
    publish(&context, message(3)).await;
    run(&mut bus).await;
    let counts = delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.duplicate), (1_210, 1));
    assert_eq!(scratch.ids().await.len(), 1_210);
    scratch.finish().await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_noticed() {
    let (nats, scratch) = (Nats::start().await, Scratch::new().await);
    let delivery = scratch.delivery("ocis");
    let none = Bus::resume(delivery.clone(), &nats.settings()).await.err().unwrap();
    assert!(none.message.contains(STREAM));
    let context = nats.make_stream().await;
    publish(&context, b"first".to_vec()).await;
    let mut bus = resume(&delivery, &nats).await;
    run(&mut bus).await;
    // Another one, whose first message has the same number. Streams are told apart by the second in which they were made.
    let old = context.get_stream(STREAM).await.unwrap().cached_info().created.unix_timestamp();
    loop {
        context.delete_stream(STREAM).await.unwrap();
        nats.make_stream().await;
        if context.get_stream(STREAM).await.unwrap().cached_info().created.unix_timestamp() != old {
            break;
        }
    }
    publish(&context, b"first again".to_vec()).await;
    assert!(bus.round().await.is_err());
    let mut bus = resume(&delivery, &nats).await;
    assert!(delivery.health.now().warning.unwrap().contains("made anew"));
    run(&mut bus).await;
    assert_eq!(scratch.ids().await.len(), 2);
    scratch.finish().await;
}

#[tokio::test]
async fn a_bus_that_is_away_says_where_it_was_looked_for() {
    let scratch = Scratch::new().await;
    let settings = BusSettings::new("nats://127.0.0.1:1", None).unwrap();
    let problem = Bus::resume(scratch.delivery("ocis"), &settings).await.err().unwrap();
    assert!(problem.advice.contains("OCIS_NATS_URL"), "{problem:?}");
    scratch.finish().await;
}

#[tokio::test]
async fn who_must_say_who_they_are_does_and_is_never_shown() {
    let (nats, scratch) = (Nats::start_with(&["--user", "audit", "--pass", "s3cr3t"]).await, Scratch::new().await);
    let delivery = scratch.delivery("ocis");
    let named = |user: &str| (user.to_owned(), "s3cr3t".to_owned());
    let with_user = nats.url.replace("nats://", "nats://audit:s3cr3t@");
    for settings in [BusSettings::new(&nats.url, None), BusSettings::new(&nats.url, Some(named("other")))] {
        let refused = Bus::resume(delivery.clone(), &settings.unwrap()).await.err().unwrap();
        assert!(refused.message.contains("does not know us") && refused.advice.contains("ocis.nats_user"), "{refused}");
        assert!(!refused.to_string().contains("s3cr3t"), "{refused}");
    }
    for settings in [BusSettings::new(&nats.url, Some(named("audit"))), BusSettings::new(&with_user, None)] {
        let settings = settings.unwrap();
        assert!(!format!("{settings:?}").contains("s3cr3t"));
        // It is let in, and finds no stream.
        let refused = Bus::resume(delivery.clone(), &settings).await.err().unwrap();
        assert!(refused.message.contains(STREAM), "{refused}");
    }
    assert_eq!(BusSettings::new(&with_user, Some(named("audit"))).err(), Some(InvalidBusUrl::TwoUsers));
    for bad in ["", "http://a", "nats://", "a b"] {
        assert!(BusSettings::new(bad, None).is_err(), "{bad}");
    }
    scratch.finish().await;
}
