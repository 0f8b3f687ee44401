//! How long the server takes for the console's pages over a large log, and whether the live tail keeps up.
//!
//! `cargo bench -p dezky-api --bench console -- EVENTS FILE`: FILE holds EVENTS already, as the bench `search` of `dezky-store`
//! leaves them (it is written to: a checkpoint, and the events of the live tail). Without them it is a small log of its own.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench measures and prints")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_api::internal::serve_router;
use dezky_api::{App, Credentials, HttpConfig, router};
use dezky_audit::{AuditLog, Config, IngestSecret, Query, Scope, World};
use dezky_audit_core::ids::Origin;
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::SearchRow;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{Identity, Order};
use dezky_testkit::sample::Sampler;
use reqwest::{Client, Method, Response};
use tokio::net::TcpListener;

const ROUNDS: u64 = 40;
const DAY_MS: u64 = 86_400_000;
/// Events a second, and for how long.
const LIVE: [(usize, u64); 2] = [(200, 10), (1_000, 5)];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let events: usize = arguments.next().map_or(100_000, |n| n.parse().unwrap());
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let given = arguments.next().map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| scratch.path().join("audit.db"));
    let origin = Identity::Otherwise(Origin::new("bench/console").unwrap());
    let store = Arc::new(SqliteStore::open(path, origin, SqliteOptions::default()).await.unwrap());
    let mut config = Config::in_dir(scratch.path());
    // The file may have events of another secret: nothing here compares contents.
    config.ingest_secret = Some(IngestSecret::new([7; 32]));
    let log = AuditLog::open(config, store, World::system()).await.unwrap();
    let mut sampler = Sampler::new(64);
    if given.is_none() {
        for _ in 0..events.div_ceil(1_000) {
            log.record_batch((0..1_000).map(|_| sampler.draft()).collect()).await.unwrap();
        }
    }
    log.store().settle().await.unwrap();
    let (first, last) = (edge(&log, Order::Ascending).await, edge(&log, Order::Descending).await);

    let app = App::new(log.clone(), Credentials::load_or_create(scratch.path()).unwrap(), HttpConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let platform = app.clone();
    tokio::spawn(serve_router(listener, app.clone(), router(app), std::future::pending()));
    let token = std::fs::read_to_string(scratch.path().join("operator.token")).unwrap();
    let visitor = Visitor::sign_in(base, token.trim()).await;

    println!("{:<34} {:>8} {:>8} {:>8} {:>9}", "", "p50 ms", "p99 ms", "max ms", "bytes");
    let weeks = last.saturating_sub(first + 7 * DAY_MS).max(1);
    // The same weeks for each question, spread over the log.
    let week = |nth: u64| {
        let since = first + weeks * nth / ROUNDS;
        let time = |ms| Timestamp::from_unix_ms(ms).unwrap();
        format!("since={}&until={}", time(since), time(since + 7 * DAY_MS))
    };
    visitor.time("the first page", |_| "/".to_owned()).await;
    visitor.time("a week", |nth| format!("/?{}", week(nth))).await;
    visitor.time("a week of one source", |nth| format!("/?{}&source=ocis", week(nth))).await;
    visitor.time("a week of one tenant", |nth| format!("/?{}&tenantSlug=tenant-{}", week(nth), nth * 7)).await;
    visitor
        .time("a week, one tenant, not successful", |nth| {
            format!("/?{}&tenantSlug=tenant-{}&outcome%21=success", week(nth), nth * 7)
        })
        .await;
    visitor.time("a week with free text", |nth| format!("/?{}&q=hansen", week(nth))).await;
    visitor.time("all time", |_| "/?range=all".to_owned()).await;
    visitor.time("an event", |nth| format!("/events/{}", 1 + nth * 1_000)).await;
    visitor.time("trust", |_| "/trust".to_owned()).await;

    for (rate, seconds) in LIVE {
        follow(&visitor, &log, &mut sampler, rate, seconds).await;
    }
    platform.platform().shutdown(Duration::from_secs(60)).await;
    log.shutdown(Duration::from_secs(60)).await;
}

async fn edge(log: &AuditLog, order: Order) -> u64 {
    let page = log.list(&Scope::All, &Query { order, limit: 1, ..Query::default() }).await.unwrap();
    let event = &page.events[0];
    SearchRow::derive(event.seq, &event.line).at.unix_ms()
}

/// The operator with a browser that does nothing with what it gets.
struct Visitor {
    client: Client,
    base: String,
    cookie: String,
}

impl Visitor {
    async fn sign_in(base: String, token: &str) -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let form = client.post(format!("{base}/login")).header("content-type", "application/x-www-form-urlencoded");
        let answer = form.body(format!("secret={token}&next=/")).send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { client, base, cookie }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.client.request(Method::GET, format!("{}{path}", self.base)).header("cookie", &self.cookie);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer
    }

    async fn time(&self, name: &str, path: impl Fn(u64) -> String) {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for nth in 0..ROUNDS {
            let path = path(nth);
            let began = Instant::now();
            let body = self.get(&path).await.bytes().await.unwrap();
            times.push(began.elapsed());
            bytes = bytes.max(body.len());
        }
        times.sort_unstable();
        let ms = |nth: usize| times[nth].as_secs_f64() * 1e3;
        let last = times.len() - 1;
        println!("{name:<34} {:>8.1} {:>8.1} {:>8.1} {bytes:>9}", ms(last / 2), ms(last * 99 / 100), ms(last));
    }
}

/// Records so many events a second while one page follows: what it was shown, and what it was told that it was not.
async fn follow(visitor: &Visitor, log: &AuditLog, sampler: &mut Sampler, rate: usize, seconds: u64) {
    let mut answer = visitor.get("/live?range=all").await;
    let ended = tokio::time::sleep(Duration::from_secs(seconds + 3));
    let mut recorded = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut shown, mut shed, mut text) = (0, 0, String::new());
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            _ = ticks.tick(), if Instant::now() < until => {
                log.record_batch((0..rate / 10).map(|_| sampler.draft()).collect()).await.unwrap();
                recorded += rate / 10;
            }
            chunk = answer.chunk() => {
                text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
                while let Some((news, rest)) = text.split_once("\n\n") {
                    if let Some(data) = news.lines().find_map(|line| line.strip_prefix("data: ")) {
                        let news: serde_json::Value = serde_json::from_str(data).unwrap();
                        shown += news["rows"].as_u64().unwrap();
                        shed += news["shed"]["n"].as_u64().unwrap_or(0);
                    }
                    text = rest.to_owned();
                }
            }
        }
    }
    println!("live at {rate} events a second for {seconds} s: {recorded} recorded, {shown} shown, {shed} said to be left out");
}
