use std::time::Duration;

use axum::Router;
use axum::routing::get;
use dezky_api::internal::around;
use dezky_api::{HttpConfig, Limits};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::served::{Answer, Served, event};

#[tokio::test]
async fn health_is_told_to_everybody() {
    let served = Served::start().await;
    let get = async |path| Answer::of(served.anonymous(Method::GET, path).send().await.unwrap()).await;
    assert_eq!(get("/healthz").await.text, r#"{"status":"alive"}"#);
    assert_eq!(get("/readyz").await.text, r#"{"status":"ready","checks":[{"name":"store","ok":true}]}"#);
}

#[tokio::test]
async fn a_store_that_is_away_is_503_with_a_time_to_come_back() {
    let served = Served::start().await;
    served.record(&["a.b"]).await;
    served.log.store().close().await;
    let posted = served.post(&event("a.b")).await;
    assert_eq!(
        (posted.status, posted.code().as_str(), posted.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "5")
    );
    for path in
        ["/audit", "/audit/events/1", "/audit/events/1/proof", "/audit/export", "/audit/verify", "/audit/checkpoint/latest"]
    {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"), "{path}");
        assert_eq!(answer.header("retry-after"), "5");
    }
    let ready = Answer::of(served.anonymous(Method::GET, "/readyz").send().await.unwrap()).await;
    assert_eq!((ready.status, ready.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    assert_eq!((&ready.json()["status"], &ready.json()["checks"][0]["ok"]), (&json!("not-ready"), &json!(false)));
    assert!(!ready.json()["checks"][0]["reason"].as_str().unwrap().is_empty());
    assert_eq!(served.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(served.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn numbers_are_told_as_openmetrics() {
    let served = Served::start().await;
    served.record(&["a.one", "a.two"]).await;
    served.get("/nowhere/at/all").await;
    let metrics = served.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        "dezky_audit_http_requests_total{method=\"POST\",route=\"/audit/events\",status=\"201\"} 2",
        "dezky_audit_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "dezky_audit_recorded_events_total 2",
        "dezky_audit_head_size 2",
        "dezky_audit_commit_seconds_count 2",
        "dezky_audit_http_requests_in_flight 1",
        "dezky_audit_http_requests_in_flight_limit 512",
        "dezky_audit_http_bodies_bytes 0",
        "dezky_audit_http_exports 0",
    ] {
        assert!(metrics.text.lines().any(|found| found == line), "{line}\n{}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
    assert!(!metrics.text.contains("nowhere"));
}

/// Sends bytes and reads until the server closes.
async fn raw(served: &Served, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(served.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_have_limits() {
    let served = Served::limited(Limits { head_bytes: 4_096, headers: 20, ..Limits::default() }).await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(5_000));
    assert!(raw(&served, long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", "x: y\r\n".repeat(21));
    assert!(raw(&served, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let plain = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(raw(&served, plain.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_cut() {
    let time = Duration::from_millis(200);
    let served = Served::limited(Limits { head_time: time, body_time: time, ..Limits::default() }).await;
    assert_eq!(raw(&served, b"GET /healthz HTTP/1.1\r\nhost:").await, "");
    // A kept connection that says nothing is a slow head too.
    assert!(raw(&served, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
    let head = format!(
        "POST /audit/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        token.trim()
    );
    let answer = raw(&served, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"slow-body\""), "{answer}");
}

#[tokio::test]
async fn a_request_too_many_is_turned_away_and_health_is_not() {
    let served = Served::limited(Limits { requests: 0, ..Limits::default() }).await;
    let answer = served.get("/audit").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "1")
    );
    assert_eq!(served.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let served = Served::limited(Limits { answer_time: Duration::from_nanos(1), ..Limits::default() }).await;
    served.record(&["a.b"]).await;
    let taken = served.request(Method::POST, "/audit/checkpoint").send().await.unwrap();
    let answer = Answer::of(taken).await;
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "timed-out", "5")
    );
    // Exports take as long as they take.
    assert_eq!(served.get("/audit/export").await.status, StatusCode::OK);
}

#[tokio::test]
async fn too_many_exports_at_once_are_turned_away() {
    let served = Served::limited(Limits { exports: 0, ..Limits::default() }).await;
    assert_eq!(served.get("/audit/export").await.code(), "overloaded");
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_server_ends() {
    let mut served = Served::start().await;
    let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
    let body = event("a.b").to_string();
    let mut stream = TcpStream::connect(served.base.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /audit/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        token.trim(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: from here on the request is open.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    served.stop();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(served.stopped().await.cut, 0);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_when_the_time_is_over() {
    let limits = Limits { drain_time: Duration::from_millis(100), ..Limits::default() };
    let mut served = Served::with(HttpConfig { limits, ..HttpConfig::default() }).await;
    let mut stream = TcpStream::connect(served.base.trim_start_matches("http://")).await.unwrap();
    let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
    let head = format!(
        "POST /audit/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
        token.trim()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    served.stop();
    assert_eq!(served.stopped().await.cut, 1);
}

#[tokio::test]
async fn a_panic_ends_one_request_only() {
    let served = Served::routed(HttpConfig::default(), |app| {
        async fn fail() {
            panic!("as the test wants it");
        }
        around(Router::new().route("/fail", get(fail)).route("/fine", get(async || "fine")), app)
    })
    .await;
    let failed = served.get("/fail").await;
    assert_eq!((failed.status, failed.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    assert!(!failed.text.contains("as the test wants it"));
    assert_eq!(served.get("/fine").await.text, "fine");
}
