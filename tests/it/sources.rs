use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dezky_testkit::authentik_server::{self, FakeAuthentik, Row};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Home, PATIENCE, Server, Verified};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
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

/// Waits until a source was read to its end once.
async fn caught_up(server: &Server, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sources = server.get("/audit/sources").await;
        let is_done = |source: &Value| source["source"] == name && source["caughtUp"].is_string();
        if sources["sources"].as_array().unwrap().iter().any(is_done) {
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

/// A source from the configuration file: what its sender proves, what becomes of its events, and how it is told of.
#[tokio::test]
async fn anything_that_can_post_comes_onto_the_timeline() {
    let mut home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let (config, key) = (folder.path().join("a.toml"), folder.path().join("hook.key"));
    // The sender and the signature of RFC 4231, test case 2.
    std::fs::write(&key, "Jefe\n").unwrap();
    let tables = format!(
        "[[generic]]\nname = 'billing'\ntoken = '{TOKEN}'\nsecrets = ['/card']\n[generic.fields]\naction = '/name'\nexternal_id = '/id'\n\
         at = '/at'\nactor_email = '/by'\n\n[[generic]]\nname = 'hook'\nhmac_key_file = '{}'\nhmac_header = 'X-Hub-Signature-256'\nhmac_prefix = 'sha256='\n\
         fields.action = '/name'\n\n[[generic]]\nname = 'local'\nfields.action = '/name'\n",
        key.display()
    );
    std::fs::write(&config, tables).unwrap();
    home.environment = vec![("AUDIT_CONFIG".to_owned(), config.to_str().unwrap().to_owned())];
    let server = home.serve();
    let post = |name: &str, body: &str| server.client.post(format!("{}/ingest/{name}", server.url)).body(body.to_owned());
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status();

    assert_eq!(status(post("billing", "{}")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(post("billing", "{}").bearer_auth("x".repeat(32))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(post("hook", "{}").header("X-Hub-Signature-256", "sha256=00")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(post("local", "{}").header("X-Forwarded-For", "127.0.0.1")).await, StatusCode::FORBIDDEN);
    // Who is not configured is as if there were nothing at all.
    let unknown = post("crm", "{}").bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let said = unknown.text().await.unwrap();
    assert!(said.contains("no-such-route") && !said.contains("billing") && !said.contains("hook"), "{said}");

    let events = "{\"id\":1,\"name\":\"paid\",\"at\":\"2026-11-20T09:15:02Z\",\"by\":\"jo@corp.example\",\"card\":\"4444\"}\nbroken\n[{\"id\":2,\"name\":\"paid\"},{\"id\":1,\"name\":\"paid\",\"at\":\"2026-11-20T09:15:02Z\",\"by\":\"jo@corp.example\",\"card\":\"4444\"}]\n";
    assert_eq!(status(post("billing", events).bearer_auth(TOKEN)).await, StatusCode::OK);
    let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let signed = post("hook", "what do ya want for nothing?").header("X-Hub-Signature-256", right);
    assert_eq!(status(signed).await, StatusCode::OK);
    assert_eq!(status(post("local", "[{\"name\":\"a\"},{\"name\":\"a\"}]")).await, StatusCode::OK);
    let (_, billing) = self::events(&server, "billing", 3).await;
    self::events(&server, "hook", 1).await;
    let (verified, _) = self::events(&server, "local", 2).await;
    let actions: Vec<_> = billing.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["billing.paid", "billing.unreadable", "billing.paid"]);
    assert!(!String::from_utf8(verified.lines).unwrap().contains("4444"));

    settled(&server).await;
    let metrics = server.text("/metrics").await;
    for line in [
        "dezky_audit_source_events_total{source=\"billing\",kind=\"mapped\"} 2",
        "dezky_audit_source_events_total{source=\"billing\",kind=\"duplicate\"} 1",
        "dezky_audit_source_events_total{source=\"hook\",kind=\"unreadable\"} 1",
        "dezky_audit_source_errors_total{source=\"billing\"} 0",
        "dezky_audit_source_state{source=\"billing\",state=\"running\"} 1",
        "dezky_audit_source_inbox_bodies{source=\"billing\"} 0",
        "dezky_audit_source_inbox_bytes{source=\"stalwart\"} 0",
        "dezky_audit_source_inbox_bytes_limit{source=\"billing\"} 1073741824",
        "dezky_audit_source_waiting{source=\"local\"} 0.0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    for name in ["source_lag_seconds", "source_last_success_timestamp_seconds", "source_last_event_timestamp_seconds"] {
        assert!(metrics.contains(&format!("dezky_audit_{name}{{source=\"billing\"}} ")), "{name}\n{metrics}");
    }
    let sources = server.get("/audit/sources").await;
    let warned: Vec<_> = sources["sources"].as_array().unwrap().iter().filter(|source| source["warning"].is_string()).collect();
    assert_eq!(warned.iter().map(|source| source["source"].as_str().unwrap()).collect::<Vec<_>>(), ["stalwart", "local"]);
    server.verify().await.assert_clean();
    server.stop();
}

/// Authentik and OCIS's bus, polled and subscribed to by the service itself, killed in between.
#[tokio::test]
async fn sign_ins_and_the_bus_come_onto_the_timeline_once_through_kills() {
    let mut home = Home::new();
    let authentik = FakeAuthentik::start().await;
    let nats = Nats::start();
    let bus = async_nats::jetstream::new(nats.connect().await);
    bus.create_stream(async_nats::jetstream::stream::Config { name: "main-queue".to_owned(), ..Default::default() })
        .await
        .unwrap();
    home.environment = [
        ("AUTHENTIK_URL", authentik.url.as_str()),
        ("AUTHENTIK_TOKEN", authentik_server::TOKEN),
        ("AUDIT_AUTHENTIK_INTERVAL", "50ms"),
        ("AUDIT_AUTHENTIK_GROUPS_INTERVAL", "50ms"),
        ("OCIS_NATS_URL", nats.url.as_str()),
        ("AUDIT_OCIS_NATS_USER", NATS_USER),
        ("AUDIT_OCIS_NATS_PASSWORD", NATS_PASSWORD),
        ("AUDIT_OCIS_INTERVAL", "50ms"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    authentik.state().groups.insert("8a1d".to_owned(), ("finance".to_owned(), vec![37]));
    let row = |number: usize| Row {
        pk: format!("00000000-0000-4000-8000-{number:012x}"),
        created: 1_795_165_200_000_000 + number as u64 * 1_000_000,
        rest: format!(
            r#""action":"login","user":{{"pk":{number},"username":"u{number}","email":"u{number}@corp.example"}},"context":{{}}"#
        ),
    };
    let message = |number: usize| {
        format!(
            r#"{{"Timestamp":"2026-11-20T09:15:02.118734123Z","Metadata":{{"eventid":"e-{number}","eventtype":"events.UserSignedIn"}},"ID":"i-{number}","Topic":"main-queue","Payload":"eyJFeGVjdXRhbnQiOnsib3BhcXVlX2lkIjoidS0xIiwidHlwZSI6MX19"}}"#
        )
    };
    const ROUNDS: usize = 4;
    const EACH: usize = 300;
    for round in 0..ROUNDS {
        let server = home.serve();
        if round == 1 {
            authentik.state().groups.insert("8a1d".to_owned(), ("finance".to_owned(), vec![38]));
        }
        for number in round * EACH..(round + 1) * EACH {
            authentik.state().add(row(number));
            bus.publish("main-queue", message(number).into()).await.unwrap().await.unwrap();
        }
        // Killed in the middle, once something of this round is there.
        events(&server, "ocis", round * EACH + 1).await;
        events(&server, "authentik", round * EACH + 1).await;
        if round == 0 {
            // Who is in a group is told from the second look on.
            caught_up(&server, "authentik-groups").await;
        }
        server.kill();
    }
    let server = home.serve();
    // Both joined and left are told by then, beside every sign-in.
    let (_, authentik_events) = events(&server, "authentik", ROUNDS * EACH + 2).await;
    let (verified, ocis_events) = events(&server, "ocis", ROUNDS * EACH).await;
    settled(&server).await;
    let of = |events: &[Value], action: &str| events.iter().filter(|event| event["action"] == action).count();
    assert_eq!(of(&authentik_events, "authentik.login"), ROUNDS * EACH);
    assert_eq!(
        (of(&authentik_events, "authentik.group_member_joined"), of(&authentik_events, "authentik.group_member_left")),
        (1, 1)
    );
    assert_eq!((of(&ocis_events, "ocis.user_signed_in"), ocis_events.len()), (ROUNDS * EACH, ROUNDS * EACH));
    assert!(!String::from_utf8(verified.lines).unwrap().contains(NATS_PASSWORD));
    let sources = server.get("/audit/sources").await.to_string();
    assert!(
        sources.contains("authentik-sweep") && !sources.contains(NATS_PASSWORD) && !sources.contains(authentik_server::TOKEN)
    );
    server.verify().await.assert_clean();
    server.stop();
}

const NATS_USER: &str = "audit";
const NATS_PASSWORD: &str = "n4ts-s3cr3t";

/// A real nats-server that asks who one is, killed when dropped.
struct Nats {
    server: std::process::Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Nats {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = if PathBuf::from("/usr/sbin/nats-server").exists() { "/usr/sbin/nats-server" } else { "nats-server" };
        let mut command = Command::new(name);
        command.args(["-js", "-a", "127.0.0.1", "-p", "-1", "--user", NATS_USER, "--pass", NATS_PASSWORD, "-sd"]).arg(dir.path());
        let mut server = command.stderr(Stdio::piped()).spawn().expect("nats-server is not installed: scripts/test installs it");
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut port = None;
        for line in lines.by_ref() {
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                port = address.trim().rsplit(':').next().map(str::to_owned);
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        // It goes on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { server, url: format!("nats://127.0.0.1:{}", port.unwrap()), _dir: dir }
    }

    async fn connect(&self) -> async_nats::Client {
        let options = async_nats::ConnectOptions::new().user_and_password(NATS_USER.to_owned(), NATS_PASSWORD.to_owned());
        options.connect(&self.url).await.unwrap()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
