//! Requests that this process makes: short, bounded, over TLS unless they stay on this machine, and to where they were sent only
//! (no redirect is followed).

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long an answer may take, its body included.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer.
const MAX_ANSWER: usize = 512 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error("'{url}' is no address that is asked: https, or http on this machine")]
    Address { url: String },
    #[error("it cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("its answer broke off, or is longer than {MAX_ANSWER} bytes")]
    Body,
    #[error("it answered {status}")]
    Status { status: u16 },
}

/// A client; clones share its connections.
#[derive(Clone)]
pub struct Outgoing(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing")
    }
}

impl Outgoing {
    /// # Errors
    /// When the system's certificate authorities cannot be read.
    pub fn new() -> io::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The body of an answer with status 200.
    ///
    /// # Errors
    /// See [`OutgoingError`].
    pub(crate) async fn get(&self, url: &str) -> Result<Bytes, OutgoingError> {
        let address = || OutgoingError::Address { url: url.to_owned() };
        let request = Request::get(url).header(ACCEPT, "application/json").body(Full::default()).map_err(|_| address())?;
        let answer = self.send(request).await?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            status => Err(OutgoingError::Status { status }),
        }
    }

    /// The status and the body of the answer to a request with a bearer token, and with JSON if there is any.
    ///
    /// # Errors
    /// See [`OutgoingError`].
    pub async fn ask_json(
        &self,
        method: &str,
        url: &str,
        token: &str,
        body: Option<String>,
    ) -> Result<(u16, Vec<u8>), OutgoingError> {
        let address = || OutgoingError::Address { url: url.to_owned() };
        let request = Request::builder().method(method).uri(url).header(AUTHORIZATION, format!("Bearer {token}"));
        let request = if body.is_some() { request.header(CONTENT_TYPE, "application/json") } else { request };
        let request = request.body(Full::from(body.unwrap_or_default())).map_err(|_| address())?;
        let answer = self.send(request).await?;
        Ok((answer.status().as_u16(), answer.into_body().into()))
    }

    /// The answer to any request, whatever its status.
    ///
    /// # Errors
    /// See [`OutgoingError`].
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, OutgoingError> {
        if !may_be_asked(request.uri()) {
            return Err(OutgoingError::Address { url: request.uri().to_string() });
        }
        tokio::time::timeout(PATIENCE, self.answer(request)).await.map_err(|_| OutgoingError::Slow)?
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, OutgoingError> {
        let answer = self.0.request(request).await.map_err(|error| {
            // Its cause says what: refused, unknown host, certificate.
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            OutgoingError::Unreachable { reason: format!("{error}{cause}") }
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| OutgoingError::Body)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// TLS, or a host that is this machine.
pub(crate) fn may_be_asked(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => local,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_this_machine_without_tls() {
        let may = |url: &str| may_be_asked(&url.parse().unwrap());
        for good in ["https://sso.example.eu/x", "http://127.0.0.1:9000/", "http://[::1]/", "http://localhost:9000"] {
            assert!(may(good), "{good}");
        }
        for bad in ["http://sso.example.eu/", "http://10.0.0.1/", "http://localhost.example.eu/", "ftp://127.0.0.1/", "/path"] {
            assert!(!may(bad), "{bad}");
        }
    }
}
