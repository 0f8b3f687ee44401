use dezky_api::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served, event, event_with};

#[tokio::test]
async fn one_event_gets_its_receipt_and_stands_as_posted() {
    let served = Served::start().await;
    let posted = json!({
        "at": "2026-05-01T12:00:00.123Z", "action": "tenant.suspended", "outcome": "success", "source": "platform-api",
        "actorType": "operator", "actor": {"id": "u1", "email": "ops@example.eu", "name": "Ola"},
        "client": {"ip": "2001:db8::1", "userAgent": "curl/8"}, "resourceType": "tenant",
        "resource": {"id": "t1", "name": "Acme"}, "tenantSlug": "acme", "partnerSlug": "nordic", "externalId": "e-1",
        "metadata": {"reason": "unpaid", "days": 30},
    });
    let answer = served.post(&posted).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let receipt = answer.json();
    assert_eq!((&receipt["seq"], &receipt["duplicate"]), (&json!(1), &json!(false)));
    assert_eq!(receipt.as_object().unwrap().len(), 3);

    let mut stored = served.get("/audit/events/1").await.json();
    assert_eq!(stored["hash"], receipt["hash"]);
    for part in ["actor", "client", "resource"] {
        stored[part].as_object_mut().unwrap().remove("salt").unwrap();
    }
    assert_eq!(stored["metadata"]["data"], posted["metadata"]);
    for (member, value) in posted.as_object().unwrap().iter().filter(|(member, _)| *member != "metadata") {
        assert_eq!(&stored[member], value, "{member}");
    }
}

#[tokio::test]
async fn a_posted_event_never_gets_the_address_of_the_socket() {
    let served = Served::start().await;
    served.record(&["tenant.created"]).await;
    let line = served.get("/audit/events/1").await.text;
    assert!(!line.contains("127.0.0.1") && !line.contains("client"), "{line}");
}

#[tokio::test]
async fn arrays_and_lines_get_a_receipt_for_each() {
    let served = Served::start().await;
    let answer = served.post(&json!([event("a.one"), event("a.two")])).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let seqs =
        |answer: &Answer| answer.json()["results"].as_array().unwrap().iter().map(|r| r["seq"].clone()).collect::<Vec<_>>();
    assert_eq!(seqs(&answer), [1, 2]);
    let lines = format!("{}\n\n{}\n", event("a.three"), event("a.four"));
    let answer = served.post_text("application/x-ndjson", &lines).await;
    assert_eq!((answer.status, seqs(&answer)), (StatusCode::CREATED, vec![json!(3), json!(4)]));
    let answer = served.post(&json!([event("a.five")])).await;
    assert_eq!((answer.status, seqs(&answer)), (StatusCode::CREATED, vec![json!(5)]));
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_every_refusal_is_named() {
    let served = Served::start().await;
    let body = "[\n  {\"action\":\"a.b\",\"outcome\":\"success\",\"source\":\"s\",\"actorType\":\"user\"},\n  \
                {\"action\":\"A\",\"outcome\":\"success\",\"source\":\"s\",\"actorType\":\"user\"},\n  \
                {\"action\":\"a.b\",\"outcome\":\"success\",\"source\":\"audit\",\"actorType\":\"user\"}\n]";
    let answer = served.post_text("application/json", body).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid-events"));
    let errors = answer.json()["errors"].clone();
    let places: Vec<_> =
        errors.as_array().unwrap().iter().map(|e| (e["index"].clone(), e["line"].clone(), e["pointer"].clone())).collect();
    assert_eq!(places, [(json!(1), json!(3), json!("/action")), (json!(2), json!(4), json!("/source"))]);
    assert_eq!(served.get("/audit").await.json()["events"], json!([]));
}

#[tokio::test]
async fn an_external_id_names_one_event_for_ever() {
    let served = Served::start().await;
    let first = event_with("user.created", json!({"externalId": "x-1", "metadata": {"n": 1}}));
    let created = served.post(&first).await;
    let again = served.post(&first).await;
    assert_eq!((created.status, again.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(again.json(), json!({"seq": 1, "hash": created.json()["hash"], "duplicate": true}));

    let other = event_with("user.created", json!({"externalId": "x-1", "metadata": {"n": 2}}));
    let refused = served.post(&other).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "conflicting-content"));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/externalId");

    // Within a batch too, and then nothing of it stands.
    let refused = served.post(&json!([event("user.deleted"), other])).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["index"]), (StatusCode::CONFLICT, &json!(1)));
    let mixed = served.post(&json!([event("user.deleted"), first])).await;
    assert_eq!(mixed.json()["results"][1], json!({"seq": 1, "hash": created.json()["hash"], "duplicate": true}));
    assert_eq!(mixed.json()["results"][0]["seq"], 2);
}

async fn post_named(served: &Served, key: &str, body: &Value) -> Answer {
    let request = served.request(Method::POST, "/audit/events").header("idempotency-key", key);
    Answer::of(request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn an_idempotency_key_makes_a_repetition_harmless() {
    let served = Served::start().await;
    let body = json!([event("a.one"), event("a.two"), event_with("a.three", json!({"externalId": "own"}))]);
    let first = post_named(&served, "order 66 of ops@example.eu", &body).await;
    let second = post_named(&served, "order 66 of ops@example.eu", &body).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    for (first, second) in first.json()["results"].as_array().unwrap().iter().zip(second.json()["results"].as_array().unwrap()) {
        assert_eq!((&first["seq"], &first["duplicate"]), (&second["seq"], &json!(false)));
        assert_eq!(second["duplicate"], true);
    }
    let events = served.get("/audit?order=asc").await.json()["events"].clone();
    let ids: Vec<_> = events.as_array().unwrap().iter().map(|event| event["externalId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0].starts_with("idem-") && ids[1].starts_with("idem-") && ids[0] != ids[1] && ids[2] == "own");
    assert!(ids.iter().all(|id| !id.contains("66") || !id.contains("ops")), "the key does not shine through");

    assert_eq!(post_named(&served, "k", &event("a.four")).await.status, StatusCode::CREATED);
    assert_eq!(post_named(&served, "k", &event("a.four")).await.status, StatusCode::OK);
    assert_eq!(post_named(&served, "k", &event("a.five")).await.code(), "conflicting-content");
    assert_eq!(post_named(&served, "", &event("a.six")).await.code(), "invalid-idempotency-key");
}

#[tokio::test]
async fn bodies_have_a_limit_announced_or_not() {
    let served = Served::limited(Limits { body_bytes: 1_000, ..Limits::default() }).await;
    let big = event_with("a.b", json!({"metadata": {"text": "x".repeat(1_000)}}));
    let announced = served.post(&big).await;
    assert_eq!((announced.status, announced.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
    let chunks = futures_util::stream::iter(vec![Ok::<_, std::io::Error>(big.to_string())]);
    let chunked = served.request(Method::POST, "/audit/events").header("content-type", "application/json");
    let chunked = chunked.body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap();
    assert_eq!(chunked.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(served.post(&event("a.b")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn ten_thousand_events_may_come_at_once_and_no_more() {
    let served = Served::start().await;
    let line = format!("{}\n", event("a.b"));
    let answer = served.post_text("application/x-ndjson", &line.repeat(10_001)).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid-events"));
    let answer = served.post_text("application/x-ndjson", &line.repeat(10_000)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let results = answer.json()["results"].clone();
    assert_eq!((results.as_array().unwrap().len(), &results[9_999]["seq"]), (10_000, &json!(10_000)));
}

#[tokio::test]
async fn an_event_too_long_for_a_line_is_refused_with_its_place() {
    let served = Served::start().await;
    let long = event_with("a.b", json!({"metadata": {"text": "x".repeat(1_100_000)}}));
    let answer = served.post_text("application/x-ndjson", &format!("{}\n\n{long}\n", event("a.b"))).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid-events"));
    let refused = &answer.json()["errors"][0];
    assert_eq!((&refused["index"], &refused["line"]), (&json!(1), &json!(3)));
    assert_eq!(served.get("/audit").await.json()["events"], json!([]));
}
