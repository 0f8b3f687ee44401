use reqwest::Method;
use serde_json::json;

use crate::server::{Home, dezky_verify, event, text};

#[tokio::test]
async fn a_newcomer_posts_lists_exports_and_verifies() {
    let home = Home::new();
    let server = home.serve();
    let posted = server.post(&event(1)).await;
    assert_eq!(posted["duplicate"], false);
    let again = server.posting(&event(1)).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let again: serde_json::Value = again.json().await.unwrap();
    assert_eq!((again["duplicate"].clone(), again["hash"].clone()), (json!(true), posted["hash"].clone()));
    let mut other = event(1);
    other["metadata"]["n"] = json!(2);
    assert_eq!(server.posting(&other).send().await.unwrap().status(), 409);

    let results = server.post(&json!([event(2), event(3)])).await;
    assert_eq!(results["results"].as_array().unwrap().len(), 2);
    let lines = format!("{}\n{}\n", event(4), event(5));
    let response = server
        .request(Method::POST, "/audit/events")
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);

    let page = server.get("/audit?source=e2e&order=asc").await;
    let ids: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| event["externalId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["e2e-1", "e2e-2", "e2e-3", "e2e-4", "e2e-5"]);
    let page = server.get("/audit?tenantSlug=tenant-1&action=tenant.&q=søn").await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);

    let live = server.get("/audit/verify").await;
    assert_eq!(live["exitCode"], 0, "{live}");
    let verified = server.verify().await;
    verified.assert_clean();
    assert_eq!((verified.report["integrity"].as_str(), verified.report["completeness"].as_str()), (Some("ok"), Some("complete")));
    assert!(server.stop().success());

    // The same log, key and origin after a restart.
    let server = home.serve();
    assert_eq!(server.verify().await.events().len(), verified.events().len());
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn one_event_and_one_tenant_are_proven_by_themselves() {
    let home = Home::new();
    let server = home.serve();
    for n in 0..12 {
        server.post(&event(n)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let key = server.vkey().await;

    let posted = server.post(&event(100)).await;
    let seq = posted["seq"].as_u64().unwrap();
    let proof = file("event.tlog-proof", &server.text(&format!("/audit/events/{seq}/proof")).await);
    let line = file("event.json", &server.text(&format!("/audit/events/{seq}")).await);
    assert_eq!(dezky_verify(&["proof", text(&proof), "--event", text(&line), "--key", &key]).status.code(), Some(0));
    let other = file("other.json", &server.text(&format!("/audit/events/{}", seq - 1)).await);
    assert_eq!(dezky_verify(&["proof", text(&proof), "--event", text(&other), "--key", &key]).status.code(), Some(1));

    let tenant = server.get("/audit/tenants/tenant-2/checkpoint").await;
    let checkpoint = file("tenant.checkpoint", tenant["note"].as_str().unwrap());
    let export = file("tenant.jsonl", &server.text("/audit/export?tenantSlug=tenant-2").await);
    let origin = server.get("/audit/verify").await["origin"].as_str().unwrap().to_owned();
    let arguments =
        ["events", text(&export), "--origin", &origin, "--tenant", "tenant-2", "--checkpoint", text(&checkpoint), "--key", &key];
    let output = dezky_verify(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let last = file("tenant.tlog-proof", tenant["proof"].as_str().unwrap());
    assert_eq!(dezky_verify(&["proof", text(&last), "--key", &key]).status.code(), Some(0));
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let home = Home::new();
    let server = home.serve();
    let refused = home.try_serve().err().unwrap();
    assert!(refused.contains("in use"), "{refused}");
    server.post(&event(1)).await;
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn both_kinds_of_keys_sign_when_a_secret_is_set() {
    let mut home = Home::new();
    let secret = "a secret that is longer than thirty-two bytes";
    home.environment.push(("AUDIT_SIGNING_KEY".to_owned(), secret.to_owned()));
    let server = home.serve();
    server.post(&event(1)).await;
    let record = server.request(Method::POST, "/audit/checkpoint").send().await.unwrap().text().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, key) = (folder.path().join("checkpoint"), folder.path().join("secret"));
    std::fs::write(&checkpoint, record).unwrap();
    std::fs::write(&key, secret).unwrap();
    let origin = server.get("/audit/verify").await["origin"].as_str().unwrap().to_owned();
    let output = dezky_verify(&["checkpoint", text(&checkpoint), "--origin", &origin, "--hmac-key-file", text(&key), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    server.verify().await.assert_clean();
}
