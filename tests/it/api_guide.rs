use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::server::{Home, Server, binary, servers, tool};

const GUIDE: &str = include_str!("../../docs/api.md");

/// The guide's program in this language, as it stands there.
fn program(language: &str) -> &'static str {
    let begin = format!("\n```{language}\n");
    let mut parts = GUIDE.split(&begin).skip(1);
    let program = parts.next().and_then(|rest| rest.split("\n```").next());
    assert!(parts.next().is_none(), "two programs in {language}");
    program.unwrap_or_else(|| panic!("no program in {language}"))
}

/// A log with five events of a tenant, and some of others.
async fn served(home: &Home) -> Server {
    let server = home.serve().without_idle_connections();
    for n in 1..=5 {
        let event = json!({
            "action": format!("thing.{n}"), "outcome": "success", "source": "guide", "actorType": "system", "tenantSlug": "acme",
            "externalId": format!("guide-{n}"), "at": "2026-05-01T00:00:00Z"
        });
        server.post(&event).await;
        server.post(&json!({"action": "other.thing", "outcome": "success", "source": "guide", "actorType": "system"})).await;
    }
    server
}

fn run(server: &Server, command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.env("AUDIT_URL", &server.url).env("AUDIT_TOKEN", server.token()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
    assert!(status.success(), "{stdout}\n{stderr}");
    stdout
}

/// It was recorded once, however often the program ran, and everything of the tenant was listed over several pages.
async fn assert_listed(server: &Server, printed: &str) {
    let found: Vec<_> = ["thing.1", "thing.2", "thing.3", "thing.4", "thing.5", "invoice.sent"]
        .into_iter()
        .map(|action| printed.find(action).unwrap_or_else(|| panic!("{action} is missing: {printed}")))
        .collect();
    assert!(found.is_sorted(), "{printed}");
    assert!(!printed.contains("other.thing"), "{printed}");
    let recorded = server.get("/audit?action=invoice.sent").await;
    assert_eq!(recorded["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_programs_of_the_guide_do_what_it_says() {
    let home = Home::new();
    let server = served(&home).await;
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, program: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, program).unwrap();
        path
    };
    drop(tool("curl"));
    let shell = format!("set -euo pipefail\n{}", program("sh"));
    for duplicate in ["\"duplicate\":false", "\"duplicate\":true"] {
        let printed = run(&server, Command::new("bash").args(["-c", &shell]).current_dir(folder.path()));
        assert!(printed.contains(duplicate), "{printed}");
        assert_listed(&server, &printed).await;
    }
    let python = written("guide.py", program("python"));
    assert_listed(&server, &run(&server, tool("python3").arg(python))).await;

    written("guide.mts", program("ts"));
    let compiler = servers().join("ts/node_modules");
    assert!(compiler.is_dir(), "{} is not there: run scripts/test-servers", compiler.display());
    std::os::unix::fs::symlink(&compiler, folder.path().join("node_modules")).unwrap();
    let checked = tool("node")
        .arg(compiler.join("typescript/bin/tsc"))
        .args(["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "guide.mts"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_listed(&server, &run(&server, tool("node").arg(folder.path().join("guide.mjs")))).await;

    let printed = run(&server, &mut Command::new(binary("examples/client")));
    assert_listed(&server, &printed).await;
    let source =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/dezky-api/examples/client.rs")).unwrap();
    assert!(
        source.trim_end().ends_with(program("rust")),
        "the guide shows another program than crates/dezky-api/examples/client.rs"
    );
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn the_programs_of_the_guide_say_why_something_is_refused() {
    let home = Home::new();
    let server = home.serve();
    server.post(&json!({"action": "invoice.sent", "outcome": "failure", "source": "billing", "actorType": "service", "externalId": "invoice-2026-0017"})).await;
    let python = tool("python3")
        .args(["-c", program("python")])
        .env("AUDIT_URL", &server.url)
        .env("AUDIT_TOKEN", server.token())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&python.stderr).contains("conflicting-content: event 0"));
    let rust =
        Command::new(binary("examples/client")).env("AUDIT_URL", &server.url).env("AUDIT_TOKEN", "wrong").output().unwrap();
    assert!(!rust.status.success() && String::from_utf8_lossy(&rust.stderr).contains("unauthorized"));
}
