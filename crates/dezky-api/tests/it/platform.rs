use dezky_api::HttpConfig;
use dezky_audit::{Clock as _, SystemClock};
use dezky_audit_core::time::Timestamp;
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
    // The requests come through a proxy on this machine, as they do behind one that ends TLS.
    let config = HttpConfig { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..HttpConfig::default() };
    let served = Served::with(config).await;
    let send = async |method: Method, path: &str, body: Option<Value>| {
        let request = served.request(method, path).header("dezky-actor-email", "zo%C3%AB@example.eu");
        let request = request.header("x-forwarded-for", "203.0.113.9, 2001:db8::42").header("content-type", "application/json");
        let answer = Answer::of(request.body(body.map_or_else(String::new, |body| body.to_string())).send().await.unwrap()).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer.json()
    };
    send(Method::POST, "/tenants", Some(json!({"slug": "acme", "name": "Acme ApS"}))).await;
    send(Method::POST, "/tenants", Some(json!({"slug": "globex", "name": "Globex"}))).await;
    send(Method::POST, "/flags", Some(json!({"key": "oci_versioning", "state": "off"}))).await;
    let created = served.get("/audit?limit=1").await.json()["events"][0]["at"].as_str().unwrap().to_owned();
    let created: Timestamp = created.parse().unwrap();
    // Behind their creation, to the millisecond that the events' clock has.
    let since = Timestamp::from_unix_ms(created.unix_ms() + 1).unwrap();
    while SystemClock.now() < since {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(Method::POST, "/tenants/acme/suspend", None).await["state"], "suspended");
    assert_eq!(send(Method::POST, "/tenants/acme/resume", None).await["state"], "active");
    for body in
        [json!({"state": "rollout", "rollout": 25}), json!({"state": "off", "note": "kill-switch"}), json!({"state": "on"})]
    {
        send(Method::PATCH, "/flags/oci_versioning", Some(body)).await;
    }
    let found = async |filter: &str| {
        let found = served.get(&format!("/audit?source=platform-api&order=asc&since={since}{filter}")).await.json();
        found["events"].as_array().unwrap().clone()
    };
    let actions = |events: &[Value]| events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let events = found("").await;
    assert_eq!(actions(&events), ["tenant.suspended", "tenant.resumed", "flag.updated", "flag.killed", "flag.updated"]);
    for event in &events {
        assert_eq!((&event["actor"]["email"], &event["client"]["ip"]), (&json!("zoë@example.eu"), &json!("2001:db8::42")));
        assert_eq!((&event["outcome"], &event["actorType"]), (&json!("success"), &json!("operator")));
    }
    let state = |event: &Value| event["metadata"]["data"]["changes"][0].clone();
    assert_eq!(state(&events[0]), json!({"field": "state", "from": "active", "to": "suspended"}));
    // By the beginning of the action, and by free text in whatever case; together they narrow further.
    assert_eq!(actions(&found("&action=tenant.").await), ["tenant.suspended", "tenant.resumed"]);
    assert_eq!(actions(&found("&action=flag.").await), ["flag.updated", "flag.killed", "flag.updated"]);
    assert_eq!(actions(&found("&action=flag.killed").await), ["flag.killed"]);
    for nothing in ["&action=flag.kill", "&action=flags.", "&action=fla."] {
        assert!(found(nothing).await.is_empty(), "{nothing}");
    }
    assert_eq!(actions(&found("&q=acme").await), ["tenant.suspended", "tenant.resumed"]);
    assert_eq!(actions(&found("&q=OCI_versioning").await), ["flag.updated", "flag.killed", "flag.updated"]);
    assert_eq!(found("&q=zo%C3%AB").await.len(), 5);
    assert_eq!(actions(&found("&q=killed").await), ["flag.killed"]);
    assert!(found("&q=globex").await.is_empty());
    assert_eq!(actions(&found("&action=tenant.&q=acme&outcome=success").await), ["tenant.suspended", "tenant.resumed"]);
    assert!(found("&action=tenant.&q=oci_versioning").await.is_empty());
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
