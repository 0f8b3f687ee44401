//! Many at once, with the default limits: 64 connections that change tenants and flags, then 1,000 on which one tenant's auditor
//! reads a log of several tenants; by turns with the same connections on the health route, which stores and looks for nothing.
//!
//! `cargo bench -p dezky-api --bench load [-- SECONDS [MUTATORS [READERS [EVENTS]]]]`, each phase for so many seconds; `unlimited`
//! anywhere behind it lifts the limits on how often one may ask. The server is a process of its own, so that its resident memory is
//! its own; both share the machine. Whoever is turned away asks again at once: the shares of 429 and 503 are those of clients that
//! know no pause. It ends with a verification of the whole log.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench measures and prints")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dezky_api::{App, Credentials, HttpConfig, RateLimits, serve};
use dezky_audit::{AuditLog, Config, Draft};
use dezky_audit_core::event::Door;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// Names the folder of the server, for the process that is one.
const SERVER: &str = "DEZKY_LOAD_SERVER";
/// The tenant whose auditor reads; every other tenant's name, and whatever is theirs, begins with the other.
const OWN: &str = "acme";
const FOREIGN: &str = "foreign-";
const TENANTS: usize = 5;
/// Events that are recorded together at first.
const BATCH: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let unlimited = arguments.iter().any(|argument| argument == "unlimited");
    if let Some(dir) = std::env::var_os(SERVER) {
        return be_server(Path::new(&dir), unlimited);
    }
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let number = |nth: usize, default: usize| numbers.get(nth).copied().unwrap_or(default);
    let (mutators, readers, events) = (number(1, 64), number(2, 1_000), number(3, 20_000));
    let round = Duration::from_secs(number(0, 30) as u64);

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    clients.block_on(fill(dir.path(), events));
    let server = Server::start(dir.path(), unlimited);
    println!(
        "{events} events of {TENANTS} tenants; {} limits; {} s a phase",
        if unlimited { "no rate" } else { "default" },
        round.as_secs()
    );
    clients.block_on(async {
        let operator = std::fs::read_to_string(dir.path().join("operator.token")).unwrap().trim().to_owned();
        let auditor = prepare(server.address, &operator, mutators).await;
        let health = |_| vec![Ask::new("GET", "/healthz", "", "", 200)];
        server.phase("health", mutators, round, health).await;
        server.phase("mutations", mutators, round, |n| mutations(&operator, n)).await;
        server.phase("health", readers, round, health).await;
        server.phase("reads", readers, round, |n| reads(&auditor, n, events)).await;
        let (status, body) = once(server.address, &Ask::new("GET", "/audit/verify", &operator, "", 200)).await;
        let verdict: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &verdict["exitCode"]), (200, &json!(0)), "{verdict}");
        println!("the log verifies");
    });
}

/// The server, until nobody holds its standard input any more.
fn be_server(dir: &Path, unlimited: bool) {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let log = AuditLog::open_in(dir, Config::in_dir(dir)).await.unwrap();
        let often = NonZeroU32::new(1_000_000).unwrap();
        let rates = if unlimited {
            RateLimits { caller_per_second: often, address_per_second: often, ..RateLimits::default() }
        } else {
            RateLimits::default()
        };
        let app = App::new(log, Credentials::load_or_create(dir).unwrap(), HttpConfig { rates, ..HttpConfig::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let stop = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        serve(listener, app, async {
            stop.await.unwrap().ok();
        })
        .await;
    });
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(dir: &Path, unlimited: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(SERVER, dir).args(unlimited.then_some("unlimited"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// Resident memory, in MiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }

    /// So many connections, each with its own requests by turns, for so long.
    async fn phase(&self, name: &str, connections: usize, round: Duration, asks: impl Fn(usize) -> Vec<Ask>) {
        let (begun, end) = (Instant::now(), Instant::now() + round);
        let clients: Vec<_> = (0..connections).map(|n| tokio::spawn(client(self.address, asks(n), end))).collect();
        let mut resident = Vec::new();
        for part in [10, 50, 100] {
            tokio::time::sleep_until((begun + round * part / 100).into()).await;
            resident.push(self.resident());
        }
        let mut sum = Tally::default();
        for client in clients {
            sum.add(client.await.unwrap());
        }
        let seconds = begun.elapsed().as_secs_f64();
        sum.print(name, connections, seconds);
        println!("{:>12} resident {} MiB at 10 %, {} at 50 %, {} at 100 %", "", resident[0], resident[1], resident[2]);
        assert_eq!(sum.foreign, 0, "{} answers held what is another tenant's", sum.foreign);
        assert!(sum.strange.is_empty(), "{:?}", sum.strange);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A request, and the status that it should have.
struct Ask {
    bytes: Vec<u8>,
    expected: u16,
    /// Whether its answer must hold nothing that is another tenant's.
    narrow: bool,
}

impl Ask {
    fn new(method: &str, path: &str, token: &str, body: &str, expected: u16) -> Self {
        let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { bytes: text.into_bytes(), expected, narrow: false }
    }
}

/// What came of one's requests.
#[derive(Default)]
struct Tally {
    /// Of those that were answered as they should be, in microseconds.
    times: Vec<u32>,
    often: usize,
    full: usize,
    foreign: usize,
    /// Connections that the server ended.
    ended: usize,
    strange: BTreeMap<u16, usize>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.often += other.often;
        self.full += other.full;
        self.foreign += other.foreign;
        self.ended += other.ended;
        for (status, times) in other.strange {
            *self.strange.entry(status).or_default() += times;
        }
    }

    fn print(&mut self, name: &str, connections: usize, seconds: f64) {
        self.times.sort_unstable();
        let all = (self.times.len() + self.often + self.full).max(1) as f64;
        let at = |part: usize| {
            self.times.get(self.times.len().saturating_sub(1) * part / 100).map_or(f64::NAN, |t| f64::from(*t) / 1e3)
        };
        println!(
            "{name:>12} {connections:>5} connections  {:>8.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  429 {:>5.1} %  503 {:>5.1} %  ended {}",
            self.times.len() as f64 / seconds,
            at(50),
            at(99),
            self.often as f64 / all * 100.0,
            self.full as f64 / all * 100.0,
            self.ended,
        );
    }
}

/// One connection, one request after the other.
async fn client(address: SocketAddr, asks: Vec<Ask>, end: Instant) -> Tally {
    let (mut tally, mut buffer) = (Tally::default(), Vec::new());
    let mut stream = connect(address).await;
    for ask in asks.iter().cycle() {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let Some((status, body)) = exchange(&mut stream, &ask.bytes, &mut buffer).await else {
            tally.ended += 1;
            stream = connect(address).await;
            continue;
        };
        let took = begun.elapsed().as_micros();
        if ask.narrow && str::from_utf8(&buffer[body..]).unwrap().contains(FOREIGN) {
            tally.foreign += 1;
        }
        match status {
            429 => tally.often += 1,
            503 => tally.full += 1,
            status if status == ask.expected => tally.times.push(u32::try_from(took).unwrap_or(u32::MAX)),
            status => *tally.strange.entry(status).or_default() += 1,
        }
    }
    tally
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The status, and where the body begins in `buffer`; nothing where the connection ended.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<(u16, usize)> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    let body = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = str::from_utf8(&buffer[..body]).unwrap().to_ascii_lowercase();
    let length: usize = head.split("\r\ncontent-length: ").nth(1)?.split("\r\n").next()?.parse().unwrap();
    while buffer.len() < body + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some((head[9..12].parse().unwrap(), body))
}

async fn once(address: SocketAddr, ask: &Ask) -> (u16, String) {
    let (mut stream, mut buffer) = (connect(address).await, Vec::new());
    let (status, body) = exchange(&mut stream, &ask.bytes, &mut buffer).await.unwrap();
    (status, String::from_utf8(buffer[body..].to_vec()).unwrap())
}

/// A log with events of all tenants, in turn: the first is [`OWN`]'s.
async fn fill(dir: &Path, events: usize) {
    let log = AuditLog::open_in(dir, Config::in_dir(dir)).await.unwrap();
    for first in (0..events).step_by(BATCH) {
        let drafts = (first..events.min(first + BATCH)).map(|n| {
            let tenant = match n % TENANTS {
                0 => OWN.to_owned(),
                other => format!("{FOREIGN}{other}"),
            };
            let event = json!({
                "action": if n % 3 == 0 { "user.role_changed" } else { "file.shared" }, "outcome": "success", "source": "load",
                "actorType": "user", "actor": {"id": format!("{tenant}-{}", n % 97), "email": format!("somebody@{tenant}.example")},
                "resourceType": "file", "resource": {"id": format!("{tenant}-{n}"), "name": format!("{tenant} {n}.odt")},
                "tenantSlug": tenant, "metadata": {"n": n},
            });
            Draft::from_json(event.to_string().as_bytes(), Door::Caller).unwrap()
        });
        log.record_batch(drafts.collect()).await.unwrap();
    }
    assert!(log.shutdown(Duration::from_secs(60)).await.complete);
}

/// A tenant and a flag for each who will change them; the token of the auditor.
async fn prepare(address: SocketAddr, operator: &str, mutators: usize) -> String {
    let make = async |path: &str, body: Value| {
        let (status, answer) = once(address, &Ask::new("POST", path, operator, &body.to_string(), 201)).await;
        assert_eq!(status, 201, "{answer}");
        answer
    };
    for n in 0..mutators {
        make("/tenants", json!({"slug": format!("{FOREIGN}m-{n}"), "name": "N"})).await;
        make("/flags", json!({"key": format!("{FOREIGN}f-{n}"), "state": "off"})).await;
    }
    let made = make("/tokens", json!({"name": "load", "role": "tenant-auditor", "tenants": [OWN]})).await;
    serde_json::from_str::<Value>(&made).unwrap()["token"].as_str().unwrap().to_owned()
}

/// A tenant's name and a flag's share, there and back.
fn mutations(operator: &str, n: usize) -> Vec<Ask> {
    let patch = |path: String, body: Value| Ask::new("PATCH", &path, operator, &body.to_string(), 200);
    let one = |turn: usize| {
        [
            patch(format!("/tenants/{FOREIGN}m-{n}"), json!({"name": format!("N {turn}")})),
            patch(format!("/flags/{FOREIGN}f-{n}"), json!({"state": "rollout", "rollout": turn})),
        ]
    };
    (1..=50).flat_map(one).collect()
}

/// Lists, filters, free text, their own events, and those that do not exist for them.
fn reads(auditor: &str, n: usize, events: usize) -> Vec<Ask> {
    let own = (n * TENANTS) % events / TENANTS * TENANTS + 1;
    let other = own % events + 1;
    let asks = [
        ("/audit?limit=50".to_owned(), 200),
        (format!("/audit/events/{own}"), 200),
        ("/audit?limit=50&action=user.role_changed".to_owned(), 200),
        (format!("/audit/events/{other}"), 404),
        (format!("/audit?limit=20&q=acme-{}", n % 97), 200),
        (format!("/audit?limit=50&tenantSlug={FOREIGN}1"), 200),
    ];
    asks.map(|(path, expected)| Ask { narrow: true, ..Ask::new("GET", &path, auditor, "", expected) }).into()
}
