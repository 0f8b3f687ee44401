use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::future::poll_fn;
use std::io::Write;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use dezky_audit_core::source::stalwart::AllowList;
use dezky_ingest::authentik::{self, Client, Memory, PollSettings, Token};
use dezky_ingest::tail::FileTail;
use dezky_ingest::webhook::{Emptying, Form, Inbox, InboxLimits, Intake, Proof, Sender, SignatureKey};
use dezky_ingest::{Delivery, Progress, Work};
use futures_util::stream;
use tokio::sync::Notify;

use super::scratch::{Scratch, line, number};
use dezky_testkit::authentik_server::{FakeAuthentik, Row, TOKEN};

/// 2026-11-20T09:00:00Z in microseconds.
const START: u64 = 1_795_165_200_000_000;
const SECONDS: u64 = 3_600;
/// So many seconds pass at once.
const TICK: usize = 5;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Works until there is nothing more or it fails; now and then it is dropped in the middle of a round. What failed or was
/// dropped is made anew the next time.
async fn work<W: Work>(at_work: &mut Option<W>, dice: &mut Dice) {
    let Some(mut work) = at_work.take() else { return };
    loop {
        if dice.below(40) == 0 {
            let mut round = work.round();
            for _ in 0..dice.below(6) {
                if poll_fn(|cx| Poll::Ready(round.as_mut().poll(cx).is_ready())).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
            return;
        }
        match work.round().await {
            Ok(Progress::More) => {}
            Ok(Progress::CaughtUp) => break,
            Err(_) => return,
        }
    }
    *at_work = Some(work);
}

#[tokio::test]
async fn an_hour_of_traffic_and_faults_ends_with_every_event_once() {
    let mut dice = Dice(7);
    let mut scratch = Scratch::on_disk().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let rotated = folder.path().join("audit.log.1");
    let server = FakeAuthentik::start().await;
    let key = SignatureKey::of_stalwart("key").unwrap();

    let (mut lines, mut rows, mut mails) = (0, 0_u64, 0_u64);
    let mut hidden: Vec<(u64, Row)> = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    let mut inbox = Inbox::open(folder.path().join("inbox"), InboxLimits::default()).unwrap();
    let mut memory = Memory::default();
    let client = Arc::new(Client::new(&server.url, Token::new(TOKEN).unwrap()).unwrap());

    let (mut tail, mut poll, mut emptying) = (None, None, None);

    for second in (0..SECONDS).step_by(TICK) {
        scratch.clock.advance(Duration::from_secs(TICK as u64));
        let last = second + TICK as u64 == SECONDS;
        // What happens in the world.
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for _ in 0..dice.below(20) {
            file.write_all(line(lines).as_bytes()).unwrap();
            lines += 1;
        }
        drop(file);
        for _ in 0..dice.below(4) {
            let row = Row {
                pk: format!("pk-{rows}"),
                created: START + second * 1_000_000 + dice.below(3) * 250_000,
                rest: format!(r#""action":"login","user":{{"pk":{rows},"username":"u{rows}","email":""}},"context":{{}}"#),
            };
            rows += 1;
            // Some transactions take a while.
            let visible = second + if dice.below(5) == 0 { dice.below(120) } else { 0 };
            hidden.push((visible, row));
        }
        hidden.retain(|(visible, row)| {
            let now = *visible <= second || last;
            if now {
                server.state().add(row.clone());
            }
            !now
        });
        for _ in 0..dice.below(12) {
            pending.push(format!(
                r#"{{"id":"{mails}","createdAt":"2026-11-20T09:{:02}:{:02}Z","type":"auth.success","data":{{"accountName":"u{mails}@corp.example","accountId":{mails}}}}}"#,
                second / 60,
                second % 60
            ));
            mails += 1;
        }
        // Authentik is down for five minutes, and knows nobody for three.
        server.state().refusal = match second {
            600..900 => Some((502, String::new())),
            2_000..2_180 => Some((403, r#"{"detail":"Token invalid/expired"}"#.to_owned())),
            _ => None,
        };

        // What we do; sometimes the log is closed beneath it, as when the store is away.
        if dice.below(80) == 0 {
            scratch.log.shutdown(Duration::from_secs(5)).await;
        }
        if !pending.is_empty() {
            let body = format!(r#"{{"events":[{}]}}"#, pending.join(","));
            let intake = Intake::new(Proof::Signature(key.clone()), Arc::clone(&inbox), Arc::new(Notify::new()));
            let signature = key.sign(body.as_bytes());
            let sender = Sender { proof: Some(signature.as_bytes()), peer: [203, 0, 113, 9].into(), passed_on: false };
            let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from(body))]);
            // It does not always reach us, nor our answer them.
            if dice.below(10) > 0 || last {
                intake.accept(sender, pieces).await.unwrap();
                if dice.below(6) > 0 {
                    pending.clear();
                }
            }
        }
        let delivery = |source: &str| -> Delivery { scratch.delivery(source) };
        if tail.is_none() {
            tail = FileTail::resume(delivery("ocis"), path.clone()).await.ok();
        }
        work(&mut tail, &mut dice).await;
        if second % 60 == 0 {
            if poll.is_none() {
                let made =
                    authentik::Poll::resume(delivery("authentik"), Arc::clone(&client), PollSettings::default(), memory.clone());
                poll = made.await.ok();
            }
            work(&mut poll, &mut dice).await;
        }
        let form = Arc::new(Form::Stalwart(AllowList::default()));
        emptying.get_or_insert_with(|| Emptying::new(delivery("stalwart"), Arc::clone(&inbox), form));
        work(&mut emptying, &mut dice).await;
        match second % 600 {
            295 => {
                fs::copy(&path, &rotated).unwrap();
                File::create(&path).unwrap();
            }
            595 => fs::rename(&path, &rotated).unwrap(),
            _ => {}
        }
        // Killed every few minutes: only what is on the disk and in the store is left.
        if dice.below(40) == 0 || last {
            scratch = scratch.reopened().await;
            scratch.clock.advance(Duration::from_secs(second + TICK as u64));
            inbox = Inbox::open(folder.path().join("inbox"), InboxLimits::default()).unwrap();
            memory = Memory::default();
            (tail, poll, emptying) = (None, None, None);
        }
    }
    // Everybody catches up.
    for _ in 0..3 {
        let mut tail = FileTail::resume(scratch.delivery("ocis"), path.clone()).await.unwrap();
        super::scratch::run(&mut tail).await;
        super::scratch::run(&mut tail).await;
        super::scratch::run(&mut tail).await;
        let poll =
            authentik::Poll::resume(scratch.delivery("authentik"), Arc::clone(&client), PollSettings::default(), memory.clone());
        super::scratch::run(&mut poll.await.unwrap()).await;
        let form = Arc::new(Form::Stalwart(AllowList::default()));
        let mut emptying = Emptying::new(scratch.delivery("stalwart"), Arc::clone(&inbox), form);
        super::scratch::run(&mut emptying).await;
    }

    let events = scratch.events().await;
    let numbers: Vec<_> = events.iter().filter_map(number).collect();
    assert_eq!(numbers.len(), numbers.iter().collect::<HashSet<_>>().len());
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (0..lines).collect());
    let of = |source: &str| events.iter().filter(|event| event["source"] == source).count() as u64;
    assert_eq!((of("ocis"), of("authentik"), of("stalwart")), (lines as u64, rows, mails));
    scratch.finish().await;
}
