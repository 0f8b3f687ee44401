use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use dezky_audit_core::source::stalwart::AllowList;
use dezky_ingest::webhook::{Emptying, Form, Inbox, InboxLimits, Intake, Proof, Refused, Sender, SignatureKey};
use dezky_ingest::{Delivery, Work};
use futures_util::stream;
use tokio::sync::Notify;

use super::scratch::{Scratch, run};

const KEY: &str = "ovos-moles";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Hook {
    scratch: Scratch,
    delivery: Delivery,
    inbox: Arc<Inbox>,
    intake: Intake,
    wake: Arc<Notify>,
}

impl Hook {
    async fn new(limits: InboxLimits, key: Option<&str>) -> Self {
        let scratch = Scratch::new().await;
        let delivery = scratch.delivery("stalwart");
        let inbox = Inbox::open(scratch.dir.path().join("inbox"), limits).unwrap();
        let wake = Arc::new(Notify::new());
        let proof = key.map_or(Proof::Place, |key| Proof::Signature(SignatureKey::of_stalwart(key).unwrap()));
        let intake = Intake::new(proof, Arc::clone(&inbox), Arc::clone(&wake));
        Self { scratch, delivery, inbox, intake, wake }
    }

    async fn signed() -> Self {
        Self::new(InboxLimits::default(), Some(KEY)).await
    }

    async fn post(&self, body: &[u8], signature: Option<&str>, peer: IpAddr) -> Result<u64, Refused> {
        let pieces: Vec<_> = body.chunks(70_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        let sender = Sender { proof: signature.map(str::as_bytes), peer, passed_on: false };
        self.intake.accept(sender, stream::iter(pieces)).await.map(|accepted| accepted.bytes)
    }

    async fn post_signed(&self, body: &[u8]) {
        let signature = SignatureKey::of_stalwart(KEY).unwrap().sign(body);
        self.post(body, Some(&signature), PEER).await.unwrap();
    }

    fn emptying(&self) -> Emptying {
        Emptying::new(self.delivery.clone(), Arc::clone(&self.inbox), Arc::new(Form::Stalwart(AllowList::default())))
    }

    async fn empty(&self) {
        run(&mut self.emptying()).await;
        assert_eq!((self.inbox.bodies(), self.inbox.fullness().0), (0, 0));
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.scratch.dir.path().join("inbox")).unwrap().count()
    }

    /// How many events of Stalwart there are, all told apart.
    async fn events(&self) -> usize {
        let ids = self.scratch.ids().await;
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        ids.len()
    }
}

fn sample(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/sources/samples/stalwart");
    std::fs::read(format!("{path}/{name}")).unwrap_or_else(|error| panic!("{path}/{name}: {error}"))
}

fn failed(minute: usize, number: usize) -> String {
    format!(
        r#"{{"id":"{minute}{number}","createdAt":"2026-11-20T09:{minute:02}:02Z","type":"auth.failed","data":{{"accountName":"u{number}@corp.example","accountId":{number},"remoteIp":"198.51.100.23","spanId":304404571900346370}}}}"#
    )
}

fn batch(events: &[String]) -> Vec<u8> {
    format!(r#"{{"events":[{}]}}"#, events.join(",")).into_bytes()
}

#[tokio::test]
async fn the_signed_samples_are_taken_and_mapped() {
    let hook = Hook::signed().await;
    let mut bodies = 0;
    for name in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/sources/samples/stalwart")).unwrap() {
        let name = name.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".body.json") else { continue };
        let headers: serde_json::Value = serde_json::from_slice(&sample(&format!("{stem}.headers.json"))).unwrap();
        let posted = hook.post(&sample(&name), headers["x-signature"].as_str(), PEER).await;
        match headers["x-signature"].as_str() {
            Some(_) => assert_eq!(posted.unwrap(), sample(&name).len() as u64),
            None => assert!(matches!(posted, Err(Refused::Unsigned { .. }))),
        }
        bodies += 1;
    }
    assert_eq!(bodies, 8);
    assert_eq!(hook.files(), 7);
    hook.empty().await;
    // 02 and 03 are the same four events.
    assert_eq!(hook.delivery.health.now().counts.duplicate, 4);
    assert!(hook.events().await > 8);
    hook.scratch.finish().await;
}

#[tokio::test]
async fn what_is_not_signed_rightly_leaves_nothing_behind() {
    let hook = Hook::signed().await;
    let (small, large) = (batch(&[failed(1, 1)]), vec![b' '; 300_000]);
    let right = SignatureKey::of_stalwart(KEY).unwrap();
    for body in [&small, &large] {
        assert!(matches!(hook.post(body, None, HERE).await, Err(Refused::Unsigned { .. })));
        assert!(matches!(hook.post(body, Some(""), PEER).await, Err(Refused::WrongSignature { .. })));
        assert!(matches!(hook.post(body, Some(&right.sign(b"other")), PEER).await, Err(Refused::WrongSignature { .. })));
        let forged = SignatureKey::of_stalwart("other").unwrap().sign(body);
        let refused = hook.post(body, Some(&forged), PEER).await.unwrap_err();
        assert!(matches!(refused, Refused::WrongSignature { .. }));
    }
    assert_eq!((hook.files(), hook.inbox.bodies(), hook.inbox.fullness().0), (0, 0, 0));
    hook.scratch.finish().await;
}

#[tokio::test]
async fn without_a_key_only_this_machine_may_send() {
    let hook = Hook::new(InboxLimits::default(), None).await;
    let body = sample("11_unsigned_no_signature_key.body.json");
    assert!(matches!(hook.post(&body, None, PEER).await, Err(Refused::NotThisMachine)));
    for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        hook.post(&body, None, here.parse().unwrap()).await.unwrap();
    }
    hook.empty().await;
    assert_eq!(hook.events().await, 1);
    hook.scratch.finish().await;
}

#[tokio::test]
async fn large_bodies_are_taken_and_too_large_ones_refused() {
    let limits = InboxLimits { body: 8 << 20, all: 10 << 20 };
    let hook = Hook::new(limits, Some(KEY)).await;
    let events: Vec<_> = (0..20_000).map(|number| failed(number / 1_000, number)).collect();
    let body = batch(&events);
    assert!(body.len() > 3 << 20);
    let sign = |body: &[u8]| SignatureKey::of_stalwart(KEY).unwrap().sign(body);
    let huge = vec![b' '; (8 << 20) + 1];
    assert!(matches!(hook.post(&huge, Some(&sign(&huge)), PEER).await, Err(Refused::TooLarge { .. })));
    hook.post_signed(&body).await;
    let rest = vec![b' '; 8 << 20];
    let full = hook.post(&rest, Some(&sign(&rest)), PEER).await.unwrap_err();
    assert!(matches!(full, Refused::Full { .. }));
    assert_eq!(hook.files(), 1);
    hook.empty().await;
    assert_eq!(hook.events().await, 20_000);
    // Empty again, it takes again.
    hook.post_signed(&batch(&[failed(59, 1)])).await;
    hook.empty().await;
    assert_eq!(hook.events().await, 20_001);
    hook.scratch.finish().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept() {
    let hook = Hook::signed().await;
    let pieces = [Ok(Bytes::from(vec![b'x'; 100_000])), Err(std::io::Error::other("reset"))];
    let sender = Sender { proof: Some(b"DW5XcMjBGzg2CSX41z+rtc9nc5Z102Hix335U0Doa8Q="), peer: PEER, passed_on: false };
    assert!(matches!(hook.intake.accept(sender, stream::iter(pieces)).await, Err(Refused::Broken)));
    assert_eq!((hook.files(), hook.inbox.fullness().0), (0, 0));
    hook.scratch.finish().await;
}

#[tokio::test]
async fn siblings_are_kept_and_a_retry_is_known_however_it_is_batched() {
    let hook = Hook::signed().await;
    // Three equal events in one second, one more, and one that cannot be read.
    let burst = [failed(1, 7), failed(1, 7), failed(1, 7), failed(1, 8), "17".to_owned()];
    hook.post_signed(&batch(&burst)).await;
    hook.empty().await;
    assert_eq!(hook.events().await, 5);
    // Answered too late: the batch comes again behind what is newer, with new ids.
    let retried: Vec<_> =
        [failed(2, 9)].into_iter().chain(burst.iter().map(|event| event.replace("\"id\":\"1", "\"id\":\"99"))).collect();
    hook.post_signed(&batch(&retried)).await;
    hook.empty().await;
    assert_eq!(hook.events().await, 6);
    assert_eq!(hook.delivery.health.now().counts.changed, 0);
    hook.scratch.finish().await;
}

#[tokio::test]
async fn whatever_dies_the_body_is_mapped_once() {
    let hook = Hook::signed().await;
    hook.post_signed(&batch(&[failed(1, 1), failed(1, 2)])).await;
    // Mapped, and killed before the body was removed.
    let folder = hook.scratch.dir.path().join("inbox");
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let body = std::fs::read(&kept).unwrap();
    hook.empty().await;
    std::fs::write(&kept, body).unwrap();
    // And in the middle of taking another one in.
    std::fs::write(folder.join("00000000000000000009.part"), b"half").unwrap();
    let inbox = Inbox::open(&folder, InboxLimits::default()).unwrap();
    assert_eq!(inbox.bodies(), 1);
    run(&mut Emptying::new(hook.delivery.clone(), inbox, Arc::new(Form::Stalwart(AllowList::default())))).await;
    assert_eq!((hook.events().await, hook.files()), (2, 0));
    hook.scratch.finish().await;
}

#[tokio::test]
async fn a_sender_that_retries_batches_and_discards_loses_nothing_of_what_was_acknowledged() {
    // As the real one: everything pending in one body; what fails goes behind what is newer; answers are lost now and then.
    let hook = Hook::signed().await;
    let (mut pending, mut acknowledged) = (Vec::<String>::new(), HashSet::new());
    for second in 0..200_usize {
        pending.extend((0..second % 4).map(|n| failed(second % 60, second * 10 + n)));
        if pending.is_empty() {
            continue;
        }
        let body = batch(&pending);
        let signature = SignatureKey::of_stalwart(KEY).unwrap().sign(&body);
        let arrives = second % 7 != 3;
        let answered = arrives && second % 5 != 2;
        if arrives {
            hook.post(&body, Some(&signature), PEER).await.unwrap();
        }
        if answered {
            acknowledged.extend(pending.drain(..));
        }
        if second % 9 == 0 {
            hook.empty().await;
        }
    }
    hook.post_signed(&batch(&pending)).await;
    acknowledged.extend(pending);
    hook.empty().await;
    assert_eq!(hook.events().await, acknowledged.len());
    hook.scratch.finish().await;
}

#[tokio::test]
async fn the_emptying_worker_is_woken() {
    let hook = Hook::signed().await;
    hook.post_signed(&batch(&[failed(1, 1)])).await;
    // The permit is kept for whoever looks later.
    hook.wake.notified().await;
    assert_eq!(hook.emptying().round().await.unwrap(), dezky_ingest::Progress::More);
    hook.scratch.finish().await;
}
