//! Every request: an id, a span without secrets, numbers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, FORWARDED, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument as _;

use crate::app::App;
use crate::client_address::{Forwarding, client_address};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address at the other end of the socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address that the request came from, as far as it can be believed; where it is unclear, the request has an
/// [`crate::UnclearAddress`] instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// The request's name in answers and logs: the caller's own `X-Request-Id` where it is plain, else one of ours.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).filter(|value| {
            (1..=64).contains(&value.len()) && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        });
        Self(given.cloned().unwrap_or_else(new_id))
    }
}

fn new_id() -> HeaderValue {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static PREFIX: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        let mut bytes = [0; 4];
        // Ids only tell requests apart; without randomness they do so within this process.
        let _ = getrandom::fill(&mut bytes);
        u32::from_be_bytes(bytes)
    });
    let text = format!("{:08x}-{:x}", *PREFIX, COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
}

pub(super) async fn observed(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = method_label(request.method().as_str());
    let client = request.extensions().get().map(|Peer(address)| {
        let values = |name| request.headers().get_all(name).iter().map(text).collect::<Vec<_>>();
        let (x_forwarded_for, forwarded) = (values(X_FORWARDED_FOR), values(FORWARDED));
        let forwarding = Forwarding { x_forwarded_for: &x_forwarded_for, forwarded: &forwarded };
        client_address(*address, forwarding, &app.config.trusted_proxies)
    });
    request.extensions_mut().insert(id.clone());
    let client = match client {
        Some(Ok(address)) => {
            request.extensions_mut().insert(ClientAddress(address));
            Some(address)
        }
        Some(Err(unclear)) => {
            request.extensions_mut().insert(unclear);
            None
        }
        None => None,
    };
    // The route, not the path: a path names tenants, a query persons.
    let span = tracing::info_span!("request", id = id.as_str(), method, route, client = client.map(tracing::field::display));
    let begun = Instant::now();
    let in_flight = app.metrics.begin();
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    app.metrics.answered(method, route, response.status(), begun.elapsed());
    tracing::debug!(parent: &span, status = response.status().as_u16(), took_ms = begun.elapsed().as_secs_f64() * 1e3, "answered");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.0);
    // Files that never change say so themselves.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What is not ASCII is no address either.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

/// A method as metrics name it: whatever a client makes up is one.
fn method_label(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].into_iter().find(|known| *known == method).unwrap_or("other")
}
