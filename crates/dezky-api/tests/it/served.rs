use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dezky_api::internal::serve_router;
use dezky_api::{App, Credentials, HttpConfig, Limits, Sources, Stopped};
use dezky_audit::{AuditLog, Clock, Config, ManualClock, SystemClock};
use dezky_cold::{ArchiveConfig, Cold, ColdConfig, FolderDepot, Limits as BatchLimits};
use dezky_platform::Platform;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on a free port, over a log in a folder of its own.
pub(crate) struct Served {
    pub(crate) log: AuditLog,
    pub(crate) dir: TempDir,
    pub(crate) base: String,
    token: String,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Stopped>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(HttpConfig::default()).await
    }

    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::with(HttpConfig { limits, ..HttpConfig::default() }).await
    }

    pub(crate) async fn with(config: HttpConfig) -> Self {
        Self::routed(config, dezky_api::router).await
    }

    /// A server whose platform's clock is moved by hand.
    pub(crate) async fn with_clock() -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        (Self::started(HttpConfig::default(), Arc::clone(&clock) as _, dezky_api::router).await, clock)
    }

    /// A server with archives in the folder `cold` of its own, for all that a checkpoint covers; nothing is archived by itself.
    pub(crate) async fn archiving() -> Self {
        Self::archiving_by(BatchLimits::default().events).await
    }

    /// The same in batches of so many events.
    pub(crate) async fn archiving_by(events: u64) -> Self {
        Self::built(HttpConfig::default(), Arc::new(SystemClock), Some(events), dezky_api::router).await
    }

    /// The same server with other routes.
    pub(crate) async fn routed(config: HttpConfig, routes: impl FnOnce(App) -> Router) -> Self {
        Self::started(config, Arc::new(SystemClock), routes).await
    }

    async fn started(config: HttpConfig, clock: Arc<dyn Clock>, routes: impl FnOnce(App) -> Router) -> Self {
        Self::built(config, clock, None, routes).await
    }

    async fn built(
        config: HttpConfig,
        clock: Arc<dyn Clock>,
        archiving: Option<u64>,
        routes: impl FnOnce(App) -> Router,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Config::in_dir(dir.path());
        settings.spool.limit = 2 * settings.spool.segment;
        let log = AuditLog::open_in(dir.path(), settings).await.unwrap();
        let credentials = Credentials::load_or_create(dir.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let platform = Platform::start(log.clone(), clock);
        let cold = match archiving {
            Some(events) => Some(cold(&log, dir.path(), events).await),
            None => None,
        };
        let app = App::with(log.clone(), platform, Sources::default(), cold, credentials, config);
        let router = routes(app.clone());
        let server = tokio::spawn(serve_router(listener, app, router, async {
            stopped.await.ok();
        }));
        Self { token: token(dir.path()), log, dir, base, client: reqwest::Client::new(), stop: Some(stop), server }
    }

    /// A request as the operator sends it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request with another token.
    pub(crate) async fn ask(&self, token: &str, method: Method, path: &str) -> Answer {
        Answer::of(self.anonymous(method, path).bearer_auth(token).send().await.unwrap()).await
    }

    /// Makes a token as the operator does.
    pub(crate) async fn make_token(&self, new: Value) -> Made {
        let request = self.request(Method::POST, "/tokens").header("content-type", "application/json");
        let made = Answer::of(request.body(new.to_string()).send().await.unwrap()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        Made { id: text("id"), token: text("token") }
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).timeout(Duration::from_secs(60))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    /// The events of this query, once there are so many: acts are best-effort events, recorded a moment later.
    pub(crate) async fn events(&self, query: &str, count: usize) -> Vec<Value> {
        for _ in 0..1_000 {
            let found = self.get(&format!("/audit?order=asc&{query}")).await.json()["events"].as_array().unwrap().clone();
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are not {count} events of {query}");
    }

    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.post_text("application/json", &body.to_string()).await
    }

    pub(crate) async fn post_text(&self, media_type: &str, body: &str) -> Answer {
        let request = self.request(Method::POST, "/audit/events").header("content-type", media_type).body(body.to_owned());
        Answer::of(request.send().await.unwrap()).await
    }

    /// Posts plain events with these actions, one after the other.
    pub(crate) async fn record(&self, actions: &[&str]) {
        for action in actions {
            assert_eq!(self.post(&event(action)).await.status, StatusCode::CREATED);
        }
    }

    /// Stops taking requests without waiting.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// How the server ended.
    pub(crate) async fn stopped(&mut self) -> Stopped {
        (&mut self.server).await.unwrap()
    }
}

async fn cold(log: &AuditLog, dir: &Path, events: u64) -> Cold {
    let depot = FolderDepot::open(dir.join("cold")).await.unwrap();
    let limits = BatchLimits { events, ..BatchLimits::default() };
    let archive = ArchiveConfig { retention: Duration::ZERO, scratch: dir.to_owned(), limits };
    let config = ColdConfig { archive, alone: true, daily: false, hour: 3, cache_bytes: 1 << 20 };
    Cold::start(log.clone(), Arc::new(depot), Arc::new(SystemClock), config).unwrap()
}

/// A service's token.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) token: String,
}

fn token(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("operator.token")).unwrap().trim().to_owned()
}

/// The least that can be posted.
pub(crate) fn event(action: &str) -> Value {
    json!({"action": action, "outcome": "success", "source": "platform-api", "actorType": "operator"})
}

/// The same with more members.
pub(crate) fn event_with(action: &str, members: Value) -> Value {
    let mut event = event(action);
    event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    event
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
        Self { status, headers, text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The code of a problem; empty for what is none.
    pub(crate) fn code(&self) -> String {
        if self.header("content-type") != "application/problem+json" {
            return String::new();
        }
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["requestId"], self.header("x-request-id"));
        assert_eq!(problem["type"], format!("urn:dezky-audit:problem:{}", problem["code"].as_str().unwrap()));
        problem["code"].as_str().unwrap().to_owned()
    }
}
