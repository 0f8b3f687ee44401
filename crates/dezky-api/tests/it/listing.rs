use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::served::{Served, event_with};

fn actions(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

/// Follows `nextCursor` to the end.
async fn all(served: &Served, query: &str, start: Option<&str>) -> Vec<u64> {
    let (mut seqs, mut cursor) = (Vec::new(), start.map(str::to_owned));
    loop {
        let behind = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = served.get(&format!("/audit?{query}{behind}")).await.json();
        seqs.extend(page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return seqs;
        }
    }
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_events_of_one_time_while_others_arrive() {
    let served = Served::start().await;
    let at = |at: &str| event_with("a.b", json!({"at": at}));
    let same: Vec<_> = (0..7).map(|_| at("2026-05-01T12:00:00.000Z")).collect();
    assert_eq!(served.post(&json!(same)).await.status, StatusCode::CREATED);
    let first = served.get("/audit?limit=3").await.json();
    assert_eq!(first["events"].as_array().unwrap().len(), 3);
    served.post(&at("2026-05-01T12:00:00.000Z")).await;
    served.post(&at("2026-05-02T12:00:00.000Z")).await;
    assert_eq!(all(&served, "limit=2", first["nextCursor"].as_str()).await, [4, 3, 2, 1]);
    assert_eq!(all(&served, "limit=2", None).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(all(&served, "limit=2&order=asc", None).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(all(&served, "limit=500&before=2026-05-02T12:00:00Z", None).await.len(), 8);
}

#[tokio::test]
async fn filters_combine_repeat_and_negate() {
    let served = Served::start().await;
    let post = async |action: &str, members: Value| {
        assert_eq!(served.post(&event_with(action, members)).await.status, StatusCode::CREATED);
    };
    post("tenant.created", json!({"tenantSlug": "acme", "at": "2026-05-01T00:00:00Z", "actor": {"email": "a@x.eu"}})).await;
    post("tenant.deleted", json!({"tenantSlug": "beta", "at": "2026-05-02T00:00:00Z", "resource": {"name": "Blåbær A/S"}})).await;
    post("user.created", json!({"tenantSlug": "acme", "at": "2026-05-03T00:00:00Z", "client": {"ip": "10.0.0.1"}})).await;
    let list = async |query: &str| actions(&served.get(&format!("/audit?order=asc&{query}")).await.json());
    assert_eq!(list("action=tenant.*").await, ["tenant.created", "tenant.deleted"]);
    assert_eq!(list("action=tenant.").await, ["tenant.created", "tenant.deleted"]);
    assert_eq!(list("action=tenant.*&action=user.created&action!=tenant.deleted").await, ["tenant.created", "user.created"]);
    assert_eq!(list("tenantSlug=acme&action!=user.created").await, ["tenant.created"]);
    assert_eq!(list("tenantSlug!=acme").await, ["tenant.deleted"]);
    assert_eq!(list("since=2026-05-02T00:00:00Z&until=2026-05-03T00:00:00Z").await, ["tenant.deleted"]);
    assert_eq!(list("since=2026-05-02T02:00:00%2B02:00").await, ["tenant.deleted", "user.created"]);
    assert_eq!(list("q=BL%C3%85B").await, ["tenant.deleted"]);
    assert_eq!(list("actorEmail=a%40x.eu").await, ["tenant.created"]);
    assert_eq!(list("clientIp=%3A%3Affff%3A10.0.0.1").await, ["user.created"]);
    assert_eq!(list("outcome=failure").await, Vec::<String>::new());
}

#[tokio::test]
async fn the_lines_stand_in_the_list_as_they_are_stored() {
    let served = Served::start().await;
    let posted = event_with("a.b", json!({"metadata": {"ø": [1, 2.5, "é\u{1}"], "a": {}}}));
    assert_eq!(served.post(&posted).await.status, StatusCode::CREATED);
    let line = served.get("/audit/events/1").await.text;
    assert_eq!(served.get("/audit").await.text, format!("{{\"events\":[{line}],\"nextCursor\":null}}"));
    assert_eq!(served.get("/audit/export").await.text, format!("{line}\n"));
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let served = Served::start().await;
    assert_eq!(served.get("/audit").await.text, r#"{"events":[],"nextCursor":null}"#);
    for (path, status, code) in [
        ("/audit/events/1", StatusCode::NOT_FOUND, "no-such-event"),
        ("/audit/events/9007199254740991", StatusCode::NOT_FOUND, "no-such-event"),
        ("/audit/events/1/proof", StatusCode::NOT_FOUND, "no-such-event"),
        ("/audit/events/0", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/events/01", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/events/x", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/checkpoints/7", StatusCode::NOT_FOUND, "no-such-checkpoint"),
        ("/audit/checkpoints/-1", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/tenants/acme/checkpoint", StatusCode::NOT_FOUND, "no-such-tenant"),
        ("/audit/tenants/Acme/checkpoint", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/verify?from=7", StatusCode::NOT_FOUND, "no-such-checkpoint"),
        ("/audit/verify?from=x", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/verify?form=0", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit?limit=0", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit?tenant=acme", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/export?limit=5", StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("/audit/", StatusCode::NOT_FOUND, "no-such-route"),
        ("/nothing", StatusCode::NOT_FOUND, "no-such-route"),
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
    }
}
