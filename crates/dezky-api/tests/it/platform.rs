use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served};

/// A change as an operator sends it on a person's behalf.
async fn send(served: &Served, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = served.request(method, path).header("dezky-actor-email", "zo%C3%AB@example.eu");
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    Answer::of(request.send().await.unwrap()).await
}

async fn post(served: &Served, path: &str, body: Value) -> Answer {
    send(served, Method::POST, path, Some(body)).await
}

#[tokio::test]
async fn an_incident_is_told_in_exactly_its_events() {
    let served = Served::start().await;
    assert_eq!(post(&served, "/tenants", json!({"slug": "acme", "name": "Acme ApS"})).await.status, StatusCode::CREATED);
    assert_eq!(post(&served, "/flags", json!({"key": "oci_versioning", "state": "off"})).await.status, StatusCode::CREATED);
    let since = served.get("/audit?limit=1").await.json()["events"][0]["at"].as_str().unwrap().to_owned();
    // The clock of the events has milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(send(&served, Method::POST, "/tenants/acme/suspend", None).await.json()["state"], "suspended");
    assert_eq!(send(&served, Method::POST, "/tenants/acme/resume", None).await.json()["state"], "active");
    for body in
        [json!({"state": "rollout", "rollout": 25}), json!({"state": "off", "note": "kill-switch"}), json!({"state": "on"})]
    {
        assert_eq!(send(&served, Method::PATCH, "/flags/oci_versioning", Some(body)).await.status, StatusCode::OK);
    }
    let found = served.get(&format!("/audit?source=platform-api&order=asc&since={since}")).await.json();
    let events: Vec<_> = found["events"].as_array().unwrap().iter().filter(|event| event["at"].as_str() > Some(&since)).collect();
    let actions: Vec<_> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["tenant.suspended", "tenant.resumed", "flag.updated", "flag.killed", "flag.updated"]);
    for event in &events {
        assert_eq!((&event["actor"]["email"], &event["client"]["ip"]), (&json!("zoë@example.eu"), &json!("127.0.0.1")));
    }
    let narrowed = served.get("/audit?action=tenant.&q=acme&outcome=success").await.json();
    assert_eq!(narrowed["events"].as_array().unwrap().len(), 3);
    let history = served.get("/flags/oci_versioning/history").await.json();
    assert_eq!(history["history"][2]["action"], "flag.killed");
    assert_eq!(history["history"][2]["actor"]["email"], "zoë@example.eu");
}

#[tokio::test]
async fn a_change_may_name_the_version_that_it_changes() {
    let served = Served::start().await;
    let made = post(&served, "/partners", json!({"slug": "north", "name": "North"})).await;
    assert_eq!((made.status, made.header("etag")), (StatusCode::CREATED, "\"1\""));
    let rename = async |tag: &str, name: &str| {
        let request = served.request(Method::PATCH, "/partners/north").header("if-match", tag);
        let request = request.header("content-type", "application/json").body(json!({"name": name}).to_string());
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(rename("\"1\"", "North & Co").await.header("etag"), "\"2\"");
    let stale = rename("\"1\"", "Other").await;
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::PRECONDITION_FAILED, "stale"));
    assert_eq!(rename("1", "Other").await.code(), "invalid-parameter");
    assert_eq!(rename("*", "Third").await.header("etag"), "\"3\"");
    assert_eq!(served.get("/partners/north").await.json()["name"], "Third");
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_clearly() {
    let served = Served::start().await;
    let refused = async |method: Method, path: &str, body: Value, status: StatusCode, code: &str, says: &str| {
        let answer = send(&served, method, path, Some(body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text);
    };
    use StatusCode as S;
    refused(Method::POST, "/tenants", json!({"slug": "A", "name": "x"}), S::BAD_REQUEST, "invalid-body", "/slug").await;
    refused(Method::POST, "/tenants", json!({"slug": "a", "nmae": "x"}), S::BAD_REQUEST, "invalid-body", "nmae").await;
    refused(Method::POST, "/flags", json!({"key": "f", "state": "rollout"}), S::BAD_REQUEST, "invalid-body", "/rollout").await;
    refused(Method::PATCH, "/tenants/none", json!({"name": "x"}), S::NOT_FOUND, "no-such-record", "tenant 'none'").await;
    refused(
        Method::POST,
        "/users",
        json!({"authentikSubjectId": "s", "email": "a@b.eu", "tenants": ["x"]}),
        S::CONFLICT,
        "not-possible",
        "no tenant 'x'",
    )
    .await;
    refused(
        Method::POST,
        "/tenants",
        json!({"slug": "a", "name": "x".repeat(70_000)}),
        S::PAYLOAD_TOO_LARGE,
        "too-large",
        "65536",
    )
    .await;
    let lines = served.request(Method::POST, "/tenants").header("content-type", "application/x-ndjson").body("{}\n");
    assert_eq!(Answer::of(lines.send().await.unwrap()).await.code(), "unsupported-media-type");
    let nobody = served.request(Method::POST, "/tenants/a/suspend").header("dezky-actor-email", "%00");
    assert_eq!(Answer::of(nobody.send().await.unwrap()).await.code(), "invalid-parameter");
    assert_eq!(served.get("/tenants?limit=0").await.code(), "invalid-parameter");
    assert_eq!(served.get("/tenants?limt=5").await.code(), "invalid-parameter");
}

#[tokio::test]
async fn lists_go_on_behind_a_key() {
    let served = Served::start().await;
    for slug in ["c", "a", "b"] {
        post(&served, "/tenants", json!({"slug": slug, "name": "x"})).await;
    }
    let first = served.get("/tenants?limit=2").await.json();
    assert_eq!(
        (&first["records"][1]["slug"], &first["records"][1]["version"], &first["next"]),
        (&json!("b"), &json!(1), &json!("b"))
    );
    let second = served.get("/tenants?limit=2&after=b").await.json();
    assert_eq!((&second["records"][0]["slug"], &second["next"]), (&json!("c"), &Value::Null));
}
