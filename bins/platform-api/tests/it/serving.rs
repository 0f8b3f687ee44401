use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Service, program, run};

fn event(action: &str) -> Value {
    json!({"action": action, "outcome": "success", "source": "platform-api", "actorType": "operator"})
}

fn call(service: &Service, path: &str, body: Option<&Value>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let request = match body {
            Some(body) => client.post(service.url(path)).json(body),
            None => client.get(service.url(path)),
        };
        let answer = request.bearer_auth(service.token()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

#[test]
fn it_says_where_it_is_and_how_to_get_in() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("o'data dir");
    let service = Service::start(&data);
    let (_, keys) = call(&service, "/audit/keys", None);
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let vkey = keys["keys"][0]["vkey"].as_str().unwrap();
    assert!(service.told("key").starts_with(vkey));
    assert!(vkey.starts_with(service.told("log")));
    assert!(service.token().len() >= 43);
    let mode = |path: &str| std::fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("operator.token"), mode("keys"), mode("audit.db"), mode("")), (0o600, 0o700, 0o600, 0o700));
    // The line to paste, as a shell takes it.
    let line: Vec<_> = service.said.lines().skip_while(|line| !line.starts_with("curl ")).collect();
    let pasted = Command::new("sh").args(["-c", &line.join("\n")]).output();
    match pasted {
        Ok(output) if output.status.code() == Some(127) => {}
        Ok(output) => assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"seq\":1,"), "{output:?}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_a_start() {
    let dir = tempfile::tempdir().unwrap();
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let service = Service::start(dir.path());
        let (status, receipt) = call(&service, "/audit/events", Some(&event("a.b")));
        let receipt: Value = serde_json::from_str(&receipt).unwrap();
        assert_eq!((status, receipt["seq"].as_u64()), (201, Some(round as u64 + 1)));
        let (ok, log) = service.stop(signal);
        assert!(ok && log.contains("closed"), "{log}");
    }
    let service = Service::start(dir.path());
    let (_, report) = call(&service, "/audit/verify", None);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["exitCode"], &report["lastSeq"], &report["authenticatedSize"]), (&json!(0), &json!(2), &json!(2)));
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let (ok, stdout, stderr) = run(program().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path()));
    assert!(!ok && stdout.is_empty());
    let stderr = stderr.replace(&dir.path().canonicalize().unwrap().display().to_string(), "DIR");
    assert_eq!(
        stderr.replace(&service.id().to_string(), "N"),
        "error: the data folder cannot be used: DIR is in use by another platform-api (process N)\n\n\
         hint: stop that process, or choose another folder with --data-dir\n"
    );
    assert_eq!(call(&service, "/audit/events", Some(&event("a.b"))).0, 201);
}

#[test]
fn a_port_in_use_and_a_token_for_all_to_read_are_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (ok, _, stderr) = run(program().args(["serve", "--listen", &address, "--data-dir"]).arg(dir.path()));
    assert!(!ok && stderr.contains(&format!("cannot listen on {address}")) && stderr.contains("hint: "), "{stderr}");
    assert!(!dir.path().join("audit.db").exists());

    let token = dir.path().join("operator.token");
    std::fs::write(&token, "x".repeat(43)).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (ok, _, stderr) = run(program().args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path()));
    assert!(!ok && stderr.contains("chmod 600"), "{stderr}");
}

#[test]
fn listening_to_others_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log) = Service::start(&dir.path().join("a")).stop(Signal::TERM);
    assert!(!log.contains("no TLS"), "{log}");
    let (_, log) = Service::start_on("0.0.0.0:0", &dir.path().join("b")).stop(Signal::TERM);
    assert!(log.contains("no TLS"), "{log}");
}

#[test]
fn a_second_signal_does_not_wait_for_open_requests() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let mut stream = std::net::TcpStream::connect(service.told("listening on").trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /audit/events HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\n\r\n",
        service.token()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: from here on the request is open.
    stream.read_exact(&mut [0; 25]).unwrap();
    let (ok, log) = service.stop_twice();
    assert!(!ok && log.contains("a second signal came"), "{log}");
}

#[test]
fn tokens_are_made_listed_and_revoked_from_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let token = |args: &[&str]| {
        let mut command = program();
        command.arg("token").args(args).args(["--url", &service.url("")]).arg("--data-dir").arg(dir.path());
        run(&mut command)
    };
    let (ok, made, note) = token(&["create", "--name", "Billing", "--role", "recorder", "--source", "billing", "--days", "3"]);
    assert!(ok && made.starts_with("dzk_") && made.lines().count() == 1, "{made}{note}");
    assert!(note.contains("never again"), "{note}");
    let id = &made[4..20];
    let (_, listed, _) = token(&["list"]);
    assert!(listed.starts_with(&format!("{id} active recorder:billing until ")) && listed.ends_with(", used never: Billing\n"));
    assert_eq!(token(&["revoke", id]).1, format!("{id} revoked\n"));
    let (ok, said, why) = token(&["revoke", id]);
    assert!(!ok && said.is_empty() && why.contains("was revoked"), "{why}");
    let (ok, _, why) = token(&["create", "--name", "x", "--role", "root"]);
    assert!(!ok && why.contains("400"), "{why}");
}
