//! How a service that speaks HTTP records what its handlers change: a layer says once who asks and from where, and a handler tells
//! the rest in three lines.
//!
//! `cargo run -p dezky-audit --example handlers -- DIR` renames an invoice, and prints the event that tells of it.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use dezky_audit::{AuditLog, Config, Draft, Query, Scope};
use dezky_audit_core::event::{Actor, Client, PartText, Resource};
use dezky_audit_core::ids::{Action, ActorType, InvalidId, Outcome, ResourceType, Source};
use tower::{Layer, Service, ServiceExt as _};

/// Who asks, and from where.
#[derive(Debug, Clone)]
struct Who {
    actor: Actor,
    client: Client,
}

impl Who {
    /// That they did this to that.
    fn did(&self, action: &str, resource_type: &str, id: &str) -> Result<Draft, InvalidId> {
        let (outcome, source, actor_type) = (Outcome::new("success")?, Source::new("invoices")?, ActorType::new("user")?);
        let mut draft = Draft::new(Action::new(action)?, outcome, source, actor_type);
        draft.actor = Some(self.actor.clone());
        draft.client = Some(self.client.clone());
        draft.resource_type = Some(ResourceType::new(resource_type)?);
        draft.resource = Some(Resource { id: PartText::new(id).ok(), name: None });
        Ok(draft)
    }
}

/// Puts a [`Who`] into each request. It stands behind whatever has found out who asks; here that is a proxy's header.
#[derive(Clone)]
struct WhoLayer;

#[derive(Clone)]
struct Knowing<S>(S);

impl<S> Layer<S> for WhoLayer {
    type Service = Knowing<S>;

    fn layer(&self, inner: S) -> Knowing<S> {
        Knowing(inner)
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Knowing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        let text = |name: &str| PartText::new(request.headers().get(name)?.to_str().ok()?).ok();
        let actor = Actor { id: text("x-user-id"), email: text("x-user-email"), name: None };
        let ip = request.extensions().get().map(|Peer(address)| *address);
        let client = Client { ip, user_agent: text("user-agent") };
        request.extensions_mut().insert(Who { actor, client });
        self.0.call(request)
    }
}

/// The address at the other end of the socket, as the server puts it in (`axum::serve` has `ConnectInfo`).
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

async fn rename(State(log): State<AuditLog>, Extension(who): Extension<Who>, Path(id): Path<String>) -> StatusCode {
    // … the invoice is renamed; then:
    let Ok(draft) = who.did("invoice.renamed", "invoice", &id) else { return StatusCode::BAD_REQUEST };
    let recorded = log.record(draft).await;
    if recorded.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn service(log: AuditLog) -> Router {
    Router::new().route("/invoices/{id}/rename", post(rename)).layer(WhoLayer).with_state(log)
}

/// Renames invoice 7 as Zoë, and returns the status and the event that tells of it.
async fn renamed(log: &AuditLog) -> Result<(StatusCode, String), Box<dyn Error>> {
    let request = Request::post("/invoices/7/rename")
        .header("x-user-id", "u-1")
        .header("x-user-email", "zoe@example.eu")
        .header("user-agent", "example")
        .extension(Peer([192, 0, 2, 7].into()));
    let answer = service(log.clone()).oneshot(request.body(Body::empty())?).await?;
    let events = log.list(&Scope::All, &Query::parse([("action", "invoice.renamed")])?).await?.events;
    let event = events.first().ok_or("nothing was recorded")?;
    Ok((answer.status(), String::from_utf8(event.line.clone())?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("say in which folder the log is")?;
    let log = AuditLog::open_in(&dir, Config::in_dir(&dir)).await?;
    let (status, event) = renamed(&log).await?;
    println!("{status}\n{event}");
    log.shutdown(Duration::from_secs(60)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_tells_what_was_done_by_whom_and_from_where() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open_in(dir.path(), Config::in_dir(dir.path())).await.unwrap();
        let (status, event) = renamed(&log).await.unwrap();
        assert_eq!(status, StatusCode::NO_CONTENT);
        for told in [
            r#""action":"invoice.renamed""#,
            r#""email":"zoe@example.eu""#,
            r#""id":"u-1""#,
            r#""ip":"192.0.2.7""#,
            r#""userAgent":"example""#,
            r#""resourceType":"invoice""#,
        ] {
            assert!(event.contains(told), "{told}: {event}");
        }
        log.shutdown(Duration::from_secs(60)).await;
    }
}
