use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Home, PATIENCE, Server, Verified};

/// The samples are signed with it.
const SAMPLE_KEY: &str = "ovos-moles";

fn sample(path: &str) -> Vec<u8> {
    let samples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/sources/samples"));
    std::fs::read(samples.join(path)).unwrap()
}

/// The export, once so many events of a source are in it.
async fn events(server: &Server, source: &str, count: usize) -> (Verified, Vec<Value>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verified = server.verify().await;
        verified.assert_clean();
        let found: Vec<Value> = verified.events().into_iter().filter(|event| event["source"] == source).collect();
        if found.len() >= count {
            return (verified, found);
        }
        assert!(Instant::now() < deadline, "{} of {count} events of {source} arrived", found.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn webhook(server: &Server, sample_name: &str, signed: bool) -> StatusCode {
    let headers: Value = serde_json::from_slice(&sample(&format!("stalwart/{sample_name}.headers.json"))).unwrap();
    let body = sample(&format!("stalwart/{sample_name}.body.json"));
    let request = server.client.post(format!("{}/ingest/stalwart", server.url)).body(body);
    let request = if signed { request.header("X-Signature", headers["x-signature"].as_str().unwrap()) } else { request };
    request.send().await.unwrap().status()
}

/// Mail and files on one timeline, each event once, with the tenant that the platform knows; also after a restart, and when
/// the sources say everything again.
#[tokio::test]
async fn mail_and_files_come_onto_the_timeline_once() {
    let mut home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let lines = sample("ocis/audit.jsonl");
    let (first, rest) = lines.split_at(lines.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    std::fs::write(&file, first).unwrap();
    home.environment =
        [("STALWART_WEBHOOK_KEY", SAMPLE_KEY), ("OCIS_AUDIT_LOG_PATH", file.to_str().unwrap()), ("AUDIT_OCIS_INTERVAL", "50ms")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    let server = home.serve();
    server
        .request(Method::POST, "/tenants")
        .json(&json!({"slug": "corp", "name": "Corp", "domains": ["corp.example"]}))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert_eq!(webhook(&server, "01_v016_auth_success_imap", false).await, StatusCode::UNAUTHORIZED);
    assert_eq!(webhook(&server, "01_v016_auth_success_imap", true).await, StatusCode::OK);
    let (_, mail) = events(&server, "stalwart", 1).await;
    assert_eq!(mail[0]["tenantSlug"], "corp", "{}", mail[0]);
    events(&server, "ocis", 1).await;
    // Two equal events in one body are two; the same body again, with other ids, is nothing new.
    assert_eq!(webhook(&server, "02_v016_two_auth_failed_same_second_then_ban", true).await, StatusCode::OK);
    let (_, mail) = events(&server, "stalwart", 4).await;
    assert_eq!(webhook(&server, "03_v016_retry_of_02_same_events_new_ids", true).await, StatusCode::OK);
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(rest).unwrap();
    settled(&server).await;
    let before = events(&server, "ocis", 2).await.1;
    server.stop();

    let server = home.serve();
    settled(&server).await;
    assert_eq!(events(&server, "stalwart", mail.len()).await.1.len(), mail.len());
    assert_eq!(events(&server, "ocis", before.len()).await.1, before);
    let sources = server.get("/audit/sources").await;
    let names: Vec<_> = sources["sources"].as_array().unwrap().iter().map(|source| source["source"].clone()).collect();
    assert_eq!(names, ["stalwart", "ocis"]);
    server.stop();
}

/// Waits until both sources have nothing more to give.
async fn settled(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sources = server.get("/audit/sources").await;
        let idle = |source: &Value| source["waiting"] == 0 && source["state"] == "running" && source["lastError"].is_null();
        if sources["sources"].as_array().unwrap().iter().all(idle) {
            return;
        }
        assert!(Instant::now() < deadline, "{sources}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn sources_can_be_turned_off() {
    let mut home = Home::new();
    home.environment = vec![("AUDIT_INGEST_ENABLED".to_owned(), "false".to_owned())];
    let server = home.serve();
    assert_eq!(webhook(&server, "11_unsigned_no_signature_key", false).await, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/audit/sources").await["sources"], json!([]));
    server.verify().await.assert_clean();
    server.stop();
}
