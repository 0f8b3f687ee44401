//! `POST /audit/events`, single events over 64 kept connections, acknowledged when durable, against the same server with a
//! handler that reads the same body and answers the same without storing anything.
//!
//! `cargo bench -p dezky-api --bench post [-- SECONDS]`: rounds of each by turns, and the ratio of their medians.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench measures and prints")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dezky_api::internal::{Audience, Posted, admit, around, serve_router};
use dezky_api::{App, Credentials, HttpConfig, Pace, Rule, router};
use dezky_audit::{AuditLog, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(5);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let servers = Builder::new_multi_thread().enable_all().build().unwrap();
    let log = servers.block_on(AuditLog::open_in(dir.path(), Config::in_dir(dir.path()))).unwrap();
    let app = App::new(log, Credentials::load_or_create(dir.path()).unwrap(), HttpConfig::default());
    let discarding =
        Router::new().route("/audit/events", admit(post(discard), &app, Audience::Programs, Rule::Recorder, Pace::Prompt));
    let storing = start(&servers, &app, router(app.clone()));
    let discarding = start(&servers, &app, around(discarding, app.clone()));

    let request = request(dir.path());
    let round = Duration::from_secs(seconds);
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {seconds} s each, {} bytes a request", request.len());
    let (mut stored, mut discarded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        discarded.push(drive(discarding, &request, round));
        stored.push(drive(storing, &request, round));
        println!("without storing {:>8.0}/s   durable {:>8.0}/s", discarded.last().unwrap(), stored.last().unwrap());
    }
    let (stored, discarded) = (median(stored), median(discarded));
    println!("medians: without storing {discarded:.0}/s, durable {stored:.0}/s, ratio {:.3}", stored / discarded);
}

/// Reads the body as the real handler does, and answers as it does.
async fn discard(posted: Posted) -> Response {
    assert_eq!(posted.drafts.len(), 1);
    let receipt =
        r#"{"seq":1000000,"hash":"0000000000000000000000000000000000000000000000000000000000000000","duplicate":false}"#;
    (http::StatusCode::CREATED, [(http::header::CONTENT_TYPE, "application/json")], receipt).into_response()
}

fn start(servers: &Runtime, app: &App, router: Router) -> SocketAddr {
    let listener = servers.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(serve_router(listener, app.clone(), router, std::future::pending()));
    address
}

/// A request with an event of about 600 bytes.
fn request(dir: &Path) -> Vec<u8> {
    let token = std::fs::read_to_string(dir.join("operator.token")).unwrap();
    let body = serde_json::json!({
        "action": "user.role_changed", "outcome": "success", "source": "platform-api", "actorType": "operator",
        "actor": {"id": "5f0c7e0a-3b1e-4f2e-9a51-0c9d0f6f2d11", "email": "ola.nordmann@example.eu", "name": "Ola Nordmann"},
        "client": {"ip": "2001:db8::42", "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
        "resourceType": "user", "resource": {"id": "7d0cbb52-72c2-4b6e-8f8a-1f3a1a6b6c77", "name": "kari.nordmann@example.eu"},
        "tenantSlug": "acme", "partnerSlug": "nordic", "metadata": {"from": "member", "to": "admin", "ticket": "OPS-1729"},
    })
    .to_string();
    let mut request = String::new();
    write!(
        request,
        "POST /audit/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    )
    .unwrap();
    request.into_bytes()
}

/// Requests per second, from a thread of its own.
fn drive(address: SocketAddr, request: &[u8], round: Duration) -> f64 {
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let answered: usize = clients.block_on(async {
        let request: std::sync::Arc<[u8]> = request.into();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(client(address, request.clone(), begun + round))).collect();
        let mut answered = 0;
        for client in clients {
            answered += client.await.unwrap();
        }
        answered
    });
    answered as f64 / begun.elapsed().as_secs_f64()
}

/// One connection, one request after the other.
async fn client(address: SocketAddr, request: std::sync::Arc<[u8]>, end: Instant) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut answered) = (vec![0; 4_096], 0);
    while Instant::now() < end {
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        // Every answer ends in a JSON object, and holds no other brace.
        while filled == 0 || buffer[filled - 1] != b'}' {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed");
            filled += read;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&buffer[..filled]));
        answered += 1;
    }
    answered
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
