use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served, event, event_with};

/// What is sent, without the request's id.
fn shown(answer: &Answer) -> Value {
    assert!(!answer.code().is_empty(), "{}", answer.text);
    let mut problem = answer.json();
    problem.as_object_mut().unwrap().remove("requestId").unwrap();
    problem
}

#[tokio::test]
async fn problems_say_what_where_and_what_to_do() {
    let served = Served::start().await;
    let anonymous = Answer::of(served.anonymous(Method::GET, "/audit").send().await.unwrap()).await;
    let deleted = Answer::of(served.request(Method::DELETE, "/audit/events/1").send().await.unwrap()).await;
    let mut problems = vec![("without a token", shown(&anonymous)), ("DELETE an event", shown(&deleted))];
    for path in [
        "/nowhere",
        "/audit?tenant_slug=acme",
        "/audit?colour=red",
        "/audit?since=yesterday",
        "/audit?cursor=x",
        "/audit/export?limit=5",
        "/audit/events/x",
        "/audit/events/7",
        "/audit/checkpoints/7",
        "/audit/tenants/acme/checkpoint",
        "/audit/verify?from=7",
    ] {
        problems.push((path, shown(&served.get(path).await)));
    }
    insta::assert_json_snapshot!(problems);
}

#[tokio::test]
async fn refused_bodies_say_which_event_where_and_why() {
    let served = Served::start().await;
    let mut problems = Vec::new();
    for (media_type, body) in [
        ("text/plain", "hello"),
        ("application/json; charset=latin1", "{}"),
        ("application/json", ""),
        ("application/json", "{\n  \"action\": \"a.b\",\n"),
        ("application/json", "[]"),
        ("application/json", "7"),
        ("application/x-ndjson", "{\"action\":\"a.b\"}\n\n{\"action\":\"a.b\",\"action\":\"a.b\"}\nnull\n"),
    ] {
        problems.push((body.to_owned(), shown(&served.post_text(media_type, body).await)));
    }
    let taken = event_with("a.b", json!({"externalId": "x"}));
    assert_eq!(served.post(&taken).await.status, StatusCode::CREATED);
    let twice = |action| event_with(action, json!({"externalId": "y"}));
    for body in [
        event_with("a.b", json!({"hash": "00"})),
        event_with("a.b", json!({"metadata": {"n": 1e300}})),
        event_with("audit.checked", json!({})),
        event_with("a.c", json!({"externalId": "x"})),
        json!([event("a.b"), twice("a.d"), twice("a.e")]),
    ] {
        problems.push((body.to_string(), shown(&served.post(&body).await)));
    }
    insta::assert_json_snapshot!(problems);
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_another_replaced() {
    let served = Served::start().await;
    for (given, kept) in [("abc-123", true), ("x\"y", false), (&"x".repeat(65), false)] {
        let answer = served.request(Method::GET, "/nowhere").header("x-request-id", given).send().await.unwrap();
        let answer = Answer::of(answer).await;
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
        assert_eq!(answer.code(), "no-such-route");
    }
}

#[tokio::test]
async fn every_refused_event_of_a_full_array_is_named() {
    let served = Served::start().await;
    let bad: Vec<_> = (0..10_000).map(|_| event("NO")).collect();
    let problem = served.post(&json!(bad)).await.json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[9_999]["index"]), (10_000, &json!(9_999)));
}
