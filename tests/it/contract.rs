use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::server::{Home, Server, event, servers};

/// Lets schemathesis ask whatever the served document allows, and what it does not: no answer may be a failure of the server, or one that
/// the document does not have.
fn ask_whatever_is_described(server: &Server, token: &str, arguments: &[&str]) {
    let program = servers().join("py/bin/schemathesis");
    assert!(program.is_file(), "{} is not there: run scripts/test-servers", program.display());
    let output = Command::new(program)
        .args(["--config-file", "schemathesis.toml", "--no-color", "run", "--header", &format!("Authorization: Bearer {token}")])
        .args(arguments)
        .arg(format!("{}/openapi.json", server.url))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It could be content because it asked nothing.
    let asked = said.lines().find_map(|line| line.trim().split_once(" generated,")?.0.parse().ok());
    assert!(asked.is_some_and(|asked: u32| asked >= 100), "{said}");
}

/// A log with something to find in it, whose rates hold nobody up.
async fn served(home: &mut Home) -> Server {
    for rate in ["AUDIT_HTTP_CALLER_RATE", "AUDIT_HTTP_ADDRESS_RATE", "AUDIT_HTTP_FAILURE_RATE"] {
        home.environment.push((rate.to_owned(), "1000000".to_owned()));
    }
    // All that a checkpoint covers may be archived, so that there is an archive as well.
    home.environment.push(("AUDIT_HOT_RETENTION_DAYS".to_owned(), "0".to_owned()));
    let server = home.serve().without_idle_connections();
    for n in 0..20 {
        server.post(&event(n)).await;
    }
    let made = server.request(Method::POST, "/tenants").json(&json!({"slug": "tenant-1", "name": "One"})).send().await.unwrap();
    assert_eq!(made.status(), 201);
    server
}

#[tokio::test]
async fn the_service_answers_as_its_document_says() {
    let mut home = Home::new();
    let server = served(&mut home).await;
    ask_whatever_is_described(&server, server.token(), &[]);
    let new = json!({"name": "contract", "role": "tenant-auditor", "tenants": ["tenant-1"]});
    let made: serde_json::Value = server.request(Method::POST, "/tokens").json(&new).send().await.unwrap().json().await.unwrap();
    ask_whatever_is_described(&server, made["token"].as_str().unwrap(), &["--max-examples", "3", "--phases", "examples,fuzzing"]);
    server.verify().await.assert_clean();
}
