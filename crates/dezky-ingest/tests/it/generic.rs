use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use dezky_audit_core::source::generic::{Fields, Mapping};
use dezky_ingest::Delivery;
use dezky_ingest::webhook::{
    BearerToken, Emptying, Encoding, Form, Inbox, InboxLimits, Intake, Proof, Refused, Sender, SignatureKey,
};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::Notify;

use super::scratch::{Scratch, run};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

struct Billing {
    scratch: Scratch,
    delivery: Delivery,
    inbox: Arc<Inbox>,
    form: Arc<Form>,
}

impl Billing {
    async fn new(id: Option<&str>) -> Self {
        let scratch = Scratch::new().await;
        let delivery = scratch.delivery("billing");
        let inbox = Inbox::open(scratch.dir.path().join("inbox/billing"), InboxLimits::default()).unwrap();
        let fields = Fields {
            action: "/name".to_owned(),
            external_id: id.map(str::to_owned),
            at: Some("/at".to_owned()),
            actor_email: Some("/by".to_owned()),
            ..Fields::default()
        };
        let form = Arc::new(Form::Generic(Box::new(Mapping::new("billing", fields).unwrap())));
        Self { scratch, delivery, inbox, form }
    }

    fn intake(&self, proof: Proof) -> Intake {
        Intake::new(proof, Arc::clone(&self.inbox), Arc::new(Notify::new()))
    }

    async fn take(&self, body: &str) {
        let sender = Sender { proof: None, peer: Ipv4Addr::LOCALHOST.into(), passed_on: false };
        post(&self.intake(Proof::Place), sender, body).await.unwrap();
        run(&mut Emptying::new(self.delivery.clone(), Arc::clone(&self.inbox), Arc::clone(&self.form))).await;
        assert_eq!(self.inbox.bodies(), 0);
    }

    async fn of_billing(&self) -> Vec<Value> {
        self.scratch.events().await.into_iter().filter(|event| event["source"] == "billing").collect()
    }

    async fn actions(&self) -> Vec<String> {
        self.of_billing().await.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }
}

async fn post(intake: &Intake, sender: Sender<'_>, body: &str) -> Result<u64, Refused> {
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(body.as_bytes()))]);
    intake.accept(sender, pieces).await.map(|accepted| accepted.bytes)
}

#[tokio::test]
async fn objects_arrays_and_lines_are_taken_and_one_bad_one_loses_no_others() {
    let billing = Billing::new(None).await;
    billing.take(r#"{"name":"paid","at":"2026-11-20T09:15:02Z","by":"jo@corp.example","token":"s3cr3t"}"#).await;
    billing.take(r#"[{"name":"a"},7,{"name":"b"}]"#).await;
    billing.take("{\"name\":\"c\"}\n{\"na\n\n{\"name\":\"d\"}\n").await;
    billing.take("hunter2").await;
    let expected = ["paid", "a", "unnamed", "b", "c", "unreadable", "d", "unreadable"].map(|verb| format!("billing.{verb}"));
    assert_eq!(billing.actions().await, expected);
    let events = billing.of_billing().await;
    assert_eq!((events[0]["tenantSlug"].as_str(), events[0]["at"].as_str()), (Some("corp"), Some("2026-11-20T09:15:02.000Z")));
    let all = events.iter().map(Value::to_string).collect::<String>();
    assert!(!all.contains("s3cr3t") && !all.contains("hunter2"));
    let counts = billing.delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.unmapped, counts.unreadable), (5, 1, 2));
    billing.scratch.finish().await;
}

#[tokio::test]
async fn without_ids_equal_events_of_one_body_are_two_and_of_two_bodies_are_one() {
    let billing = Billing::new(None).await;
    for _ in 0..2 {
        billing.take(r#"[{"name":"a"},{"name":"a"}]"#).await;
    }
    billing.take(r#"{ "name" : "a" }"#).await;
    assert_eq!(billing.actions().await.len(), 2);
    assert_eq!(billing.delivery.health.now().counts.duplicate, 3);
    billing.scratch.finish().await;
}

#[tokio::test]
async fn with_ids_an_event_is_known_and_a_change_is_reported() {
    let billing = Billing::new(Some("/id")).await;
    for body in
        [r#"{"id":1,"name":"a"}"#, r#"{"name":"a","id":1}"#, r#"[{"id":2,"name":"a"},{"name":"a"}]"#, r#"{"id":1,"name":"b"}"#]
    {
        billing.take(body).await;
    }
    let expected = ["a", "a", "a", "event_changed"].map(|verb| format!("billing.{verb}"));
    assert_eq!(billing.actions().await, expected);
    let counts = billing.delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.duplicate, counts.changed), (3, 1, 1));
    billing.scratch.finish().await;
}

#[tokio::test]
async fn who_proves_nothing_leaves_nothing_behind() {
    let billing = Billing::new(None).await;
    let from = |peer: IpAddr, proof: Option<&'static str>| Sender { proof: proof.map(str::as_bytes), peer, passed_on: false };
    let header = http::HeaderName::from_static("x-hub-signature-256");
    let key = SignatureKey::new("Jefe", header, Encoding::Hex, "sha256=").unwrap();
    let signed = billing.intake(Proof::Signature(key));
    assert_eq!(signed.header().unwrap().as_str(), "x-hub-signature-256");
    let body = "what do ya want for nothing?";
    let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert!(matches!(post(&signed, from(PEER, None), body).await, Err(Refused::Unsigned { .. })));
    assert!(matches!(post(&signed, from(PEER, Some(&right[7..])), body).await, Err(Refused::WrongSignature { .. })));
    assert!(matches!(post(&signed, from(PEER, Some(right)), "another body").await, Err(Refused::WrongSignature { .. })));

    let bearer = billing.intake(Proof::Bearer(BearerToken::new(TOKEN).unwrap()));
    assert!(matches!(post(&bearer, from(Ipv4Addr::LOCALHOST.into(), None), body).await, Err(Refused::NoToken)));
    assert!(matches!(post(&bearer, from(PEER, Some("Bearer 0123456789abcdef")), body).await, Err(Refused::WrongToken)));

    let open = billing.intake(Proof::Place);
    assert!(matches!(post(&open, from(PEER, None), body).await, Err(Refused::NotThisMachine)));
    // A proxy on this machine may pass on what comes from anywhere.
    let passed_on = Sender { passed_on: true, ..from(Ipv4Addr::LOCALHOST.into(), None) };
    assert!(matches!(post(&open, passed_on, body).await, Err(Refused::NotThisMachine)));

    assert_eq!((billing.inbox.bodies(), billing.inbox.fullness().0), (0, 0));
    post(&signed, from(PEER, Some(right)), body).await.unwrap();
    post(&bearer, from(PEER, Some("Bearer 0123456789abcdef0123456789abcdef")), body).await.unwrap();
    post(&open, from(Ipv4Addr::LOCALHOST.into(), None), body).await.unwrap();
    assert_eq!(billing.inbox.bodies(), 3);
    billing.scratch.finish().await;
}
