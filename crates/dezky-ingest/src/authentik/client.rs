//! Asking Authentik over HTTP, and what its refusals mean.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::problem::Problem;

/// How long one answer may take: a page counts all rows of the table.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most bytes of one answer: a hundred events of 100 kB, and room.
const MAX_ANSWER: usize = 128 << 20;
/// The most bytes of a refusal that are looked at.
const MAX_REFUSAL: usize = 4 << 10;

/// `AUTHENTIK_TOKEN`. Never shown.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// `None` when it holds what no header can.
    pub fn new(token: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok().filter(|_| !token.trim().is_empty())?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `AUTHENTIK_URL` is no address of a server.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUrl {
    #[error("AUTHENTIK_URL is no http:// or https:// address, such as https://sso.example.eu")]
    Form,
    #[error("the system's certificate authorities cannot be read; install ca-certificates")]
    Certificates(#[source] std::io::Error),
}

/// What a server answered that is no refusal.
pub(super) enum Answer {
    Body(Bytes),
    NotFound,
}

/// A client for one server.
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    base: String,
    token: Token,
}

impl Client {
    /// # Errors
    /// When the address is none, or nobody can be trusted.
    pub fn new(url: &str, token: Token) -> Result<Self, InvalidUrl> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| InvalidUrl::Form)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() || uri.query().is_some() {
            return Err(InvalidUrl::Form);
        }
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(InvalidUrl::Certificates)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector), base, token })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Problem> {
        match tokio::time::timeout(PATIENCE, self.ask(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(Problem::new(
                format!("Authentik did not answer within {} seconds", PATIENCE.as_secs()),
                "its table of events may be very large; shorten its event retention",
            )),
        }
    }

    async fn ask(&self, path: &str) -> Result<Answer, Problem> {
        let request = Request::get(format!("{}{path}", self.base))
            .header(AUTHORIZATION, &self.token.0)
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|_| Problem::new("the request could not be made", "look at AUTHENTIK_URL"))?;
        let answer = self.http.request(request).await.map_err(|error| {
            // Its cause says what: refused, unknown host, certificate.
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Problem::new(
                format!("Authentik cannot be reached: {error}: {cause}"),
                "look at AUTHENTIK_URL, the network and the certificate",
            )
        })?;
        let status = answer.status();
        let limit = if status == StatusCode::OK { MAX_ANSWER } else { MAX_REFUSAL };
        let body = Limited::new(answer.into_body(), limit).collect().await.map(http_body_util::Collected::to_bytes);
        match status {
            StatusCode::OK => body.map(Answer::Body).map_err(|error| Problem::new(format!("an answer broke off: {error}"), "")),
            StatusCode::NOT_FOUND => Ok(Answer::NotFound),
            refusal => Err(refused(refusal, &body.unwrap_or_default(), path)),
        }
    }

    pub(super) fn wrong_url() -> Problem {
        Problem::new(
            "there is no Authentik API at this address",
            "set AUTHENTIK_URL to the address of Authentik itself, without /api",
        )
    }
}

/// Authentik says 403 to everything that it does not like; what it says beside it tells what to do.
fn refused(status: StatusCode, body: &[u8], path: &str) -> Problem {
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    let detail = said.as_ref().and_then(|said| said["detail"].as_str()).unwrap_or_default().to_lowercase();
    let (message, advice) = match status {
        StatusCode::FORBIDDEN if detail.contains("token invalid") || detail.contains("expired") => (
            "Authentik does not know the token (403)",
            "it was rotated (an API token that expires gets a new key, see the event secret_rotate) or deleted: make one that does not \
             expire, on a service account, and set AUTHENTIK_TOKEN",
        ),
        StatusCode::FORBIDDEN if detail.contains("credentials were not provided") => {
            ("Authentik saw no token (403)", "set AUTHENTIK_TOKEN; a proxy in between may take the Authorization header away")
        }
        StatusCode::FORBIDDEN if path.starts_with("/api/v3/core/") => (
            "the token may not read groups (403)",
            "give its service account a role with the global permissions authentik_core.view_group and authentik_core.view_user",
        ),
        StatusCode::FORBIDDEN => (
            "the token may not read events (403)",
            "give its service account a role with the global permission authentik_events.view_event",
        ),
        StatusCode::UNAUTHORIZED => {
            ("something in front of Authentik refuses the token (401)", "Authentik itself never answers 401: look at the proxy")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            ("too many requests (429)", "Authentik does not limit those who signed in: look at the proxy")
        }
        StatusCode::BAD_REQUEST => {
            ("Authentik does not take the request (400)", "this version is not known here; please report it")
        }
        status if status.is_redirection() => ("the address redirects elsewhere", "set AUTHENTIK_URL to the final address"),
        status if status.is_server_error() => ("Authentik has an error of its own", "look at its log"),
        _ => ("Authentik refused", "look at AUTHENTIK_URL"),
    };
    Problem::new(if message.contains('(') { message.to_owned() } else { format!("{message} ({})", status.as_u16()) }, advice)
}
