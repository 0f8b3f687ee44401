use dezky_audit_core::source::{Kind, Mapped, authentik};
use dezky_ingest::Delivered;

use super::scratch::{Scratch, login};

#[tokio::test]
async fn tenants_are_found_and_what_comes_again_is_known() {
    let scratch = Scratch::new().await;
    let delivery = scratch.delivery("authentik");
    let twice = || [login(&delivery, "p-1", ""), login(&delivery, "p-2", ""), login(&delivery, "p-1", "")];
    assert_eq!(delivery.deliver(twice()).await.unwrap(), Delivered { recorded: 2, duplicate: 1, ..Delivered::default() });
    assert_eq!(delivery.deliver(twice()).await.unwrap(), Delivered { duplicate: 3, ..Delivered::default() });
    let skipped = Mapped::Skipped { raw_action: "read".to_owned() };
    assert_eq!(delivery.deliver([skipped]).await.unwrap().skipped, 1);
    let events = scratch.events().await;
    let logins: Vec<_> = events.iter().filter(|event| event["action"] == "authentik.login").collect();
    assert_eq!(logins.len(), 2);
    assert!(logins.iter().all(|event| event["tenantSlug"] == "corp"));
    let counts = delivery.health.now().counts;
    assert_eq!((counts.mapped, counts.duplicate, counts.skipped, counts.changed), (2, 4, 1, 0));
    scratch.finish().await;
}

#[tokio::test]
async fn what_says_something_else_now_is_reported_once() {
    let scratch = Scratch::new().await;
    let delivery = scratch.delivery("authentik");
    delivery.deliver([login(&delivery, "p-1", "")]).await.unwrap();
    for _ in 0..2 {
        let changed = login(&delivery, "p-1", r#","client_ip":"203.0.113.9""#);
        assert_eq!(delivery.deliver([changed]).await.unwrap().changed, 1);
    }
    let events = scratch.events().await;
    let reports: Vec<_> = events.iter().filter(|event| event["action"] == "authentik.event_changed").collect();
    assert_eq!(reports.len(), 1);
    let data = &reports[0]["metadata"]["data"];
    assert_eq!((data["externalId"].as_str(), data["now"]["client_ip"].as_str()), (Some("p-1"), Some("203.0.113.9")));
    scratch.finish().await;
}

#[tokio::test]
async fn whose_event_it_is_may_change_without_the_event_having_changed() {
    let scratch = Scratch::new().await;
    let delivery = scratch.delivery("authentik");
    delivery.deliver([login(&delivery, "p-1", "")]).await.unwrap();
    let elsewhere = dezky_ingest::Delivery::new(
        scratch.log.clone(),
        std::sync::Arc::new(dezky_ingest::StaticDirectory::default()),
        std::sync::Arc::clone(&scratch.clock) as _,
        dezky_ingest::Health::new("authentik"),
    );
    assert_eq!(
        elsewhere.deliver([login(&delivery, "p-1", "")]).await.unwrap(),
        Delivered { duplicate: 1, ..Delivered::default() }
    );
    scratch.finish().await;
}

#[tokio::test]
async fn an_event_without_a_time_is_the_same_when_it_comes_later() {
    let scratch = Scratch::new().await;
    let delivery = scratch.delivery("authentik");
    let event = || authentik::map_event(br#"{"pk":"p-9","action":"logout"}"#, delivery.key());
    delivery.deliver([event()]).await.unwrap();
    scratch.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(delivery.deliver([event()]).await.unwrap().duplicate, 1);
    scratch.finish().await;
}

#[tokio::test]
async fn more_than_one_call_takes_goes_in_several() {
    let scratch = Scratch::new().await;
    let delivery = scratch.delivery("authentik");
    let mapped = (0..5_000).map(|n| login(&delivery, &format!("p-{n}"), "")).collect::<Vec<_>>();
    assert!(mapped.iter().all(|mapped| matches!(mapped, Mapped::Event(event) if event.kind == Kind::Known)));
    assert_eq!(delivery.deliver(mapped).await.unwrap().recorded, 5_000);
    scratch.finish().await;
}
