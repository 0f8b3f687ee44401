use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::served::{Served, event};

/// Reads what a page is told until that accounts for so many events: those that it shows, and those that it was told were left out.
async fn followed(mut stream: Response, events: u64) -> (u64, u64) {
    let (mut shown, mut shed, mut rest) = (0, 0, Vec::new());
    while shown + shed < events {
        rest.extend(stream.chunk().await.unwrap().expect("the stream ended"));
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
            let message: Vec<u8> = rest.drain(..end + 2).collect();
            let text = String::from_utf8(message).unwrap();
            if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data: ")) {
                let news: Value = serde_json::from_str(data).unwrap();
                let rows = news["html"].as_str().unwrap().matches("data-seq=").count() as u64;
                assert_eq!(news["rows"], rows);
                shown += rows;
                if let Some(told) = news.get("shed") {
                    assert!(told["why"].as_str().unwrap().starts_with("came "), "{told}");
                    shed += told["n"].as_u64().unwrap();
                }
            }
        }
    }
    (shown, shed)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_events_a_second_each_is_shown_or_counted_as_left_out() {
    let served = Served::start().await;
    let stream = served.request(Method::GET, "/live").send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let post = async |events: u64| {
        let events: Vec<_> = (0..events).map(|_| event("thing.made")).collect();
        assert_eq!(served.post(&json!(events)).await.status, StatusCode::CREATED);
    };
    // Two hundred a second for three seconds, or as fast as the machine can; then more at once than is looked at in a second.
    let (steady, burst) = (600, 1_000);
    let reading = tokio::spawn(followed(stream, steady + burst));
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..steady / 20 {
        ticks.tick().await;
        post(20).await;
    }
    post(burst).await;
    let (shown, shed) = reading.await.unwrap();
    assert_eq!(shown + shed, served.log.store().head().await.unwrap().size);
    assert!(shed >= 800, "{shed} of {burst} at once were left out, and {shown} shown");
}

/// The first message's id and the events that it shows.
async fn first_told(mut stream: Response) -> (u64, Vec<u64>) {
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream ended")).unwrap());
    }
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let news: Value = serde_json::from_str(&of("data: ")).unwrap();
    let rows = news["html"].as_str().unwrap().split("data-seq=\"").skip(1);
    (of("id: ").parse().unwrap(), rows.map(|row| row.split('"').next().unwrap().parse().unwrap()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_later_or_again_is_told_of_what_came_meanwhile() {
    let served = Served::start().await;
    let events: Vec<_> = (0..20).map(|_| event("thing.made")).collect();
    assert_eq!(served.post(&json!(events)).await.status, StatusCode::CREATED);
    let size = served.log.store().head().await.unwrap().size;
    let stream = served.request(Method::GET, "/live?after=5").send().await.unwrap();
    assert_eq!(first_told(stream).await, (size, (6..=size).rev().collect()));
    let again = served.request(Method::GET, "/live?action=thing.*&after=5").header("last-event-id", "7");
    assert_eq!(first_told(again.send().await.unwrap()).await.1.last(), Some(&8));
    let refused = served.request(Method::GET, "/live?behind=5").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}
