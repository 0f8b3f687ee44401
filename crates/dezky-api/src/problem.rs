//! Errors as people and programs meet them: problem documents (RFC 9457).
//!
//! ```json
//! {"type": "urn:dezky-audit:problem:no-such-event", "title": "No such event", "status": 404, "code": "no-such-event",
//!  "detail": "…", "hint": "…", "requestId": "…", "errors": [{"index", "line", "pointer", "reason"}]}
//! ```
//!
//! `code` is stable; `hint` and `errors` stand where there is something to say. A handler returns a
//! [`Problem`]; what it says in JSON is written by [`crate::layers`], which knows the request.

mod code;
mod from;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dezky_audit::chain;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;
pub(crate) use from::refused_events;

use crate::refusals::Why;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    hint: Option<String>,
    refused: Vec<RefusedEvent>,
    /// For the server's own log: what the caller need not know.
    cause: Option<String>,
    /// Why a token that was sent was not accepted.
    token_refused: Option<Why>,
}

/// A posted event that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RefusedEvent {
    /// Which event of the body, from 0.
    pub(crate) index: usize,
    /// Line of the body, from 1.
    pub(crate) line: usize,
    /// JSON pointer within the event.
    pub(crate) pointer: String,
    pub(crate) reason: String,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, refused: Vec::new(), cause: None, token_refused: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn refusing(mut self, refused: Vec<RefusedEvent>) -> Self {
        self.refused = refused;
        self
    }

    /// A token was sent, and not accepted.
    #[must_use]
    pub(crate) const fn with_token(mut self, why: Why) -> Self {
        self.token_refused = Some(why);
        self
    }

    pub(crate) const fn token_refused(&self) -> Option<Why> {
        self.token_refused
    }

    /// A cause that is no error.
    #[must_use]
    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.cause = Some(reason.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn cause(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(chain(error));
        self
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// What went wrong.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| self.code.hint())
    }

    /// Why it happened, for the server's own log.
    pub(crate) fn told_to_the_log(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.detail)
    }

    /// The document, for the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> Bytes {
        let document = Document {
            r#type: format!("urn:dezky-audit:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            hint: self.advice(),
            request_id,
            errors: &self.refused,
        };
        serde_json::to_vec(&document).unwrap_or_default().into()
    }
}

/// Why a request was not done (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    /// `urn:dezky-audit:problem:` and the code.
    r#type: String,
    title: &'static str,
    /// As in the status line.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    #[schema(value_type = Code)]
    code: &'static str,
    /// What was wrong, and where.
    detail: &'a str,
    /// What to do about it.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// The request's name in the server's log.
    request_id: &'a str,
    /// Each posted event that was refused.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [RefusedEvent],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.code.retry_after_seconds() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            // RFC 6750, section 3: an error code only where a token was sent.
            let challenge = if self.token_refused.is_some() {
                r#"Bearer realm="dezky-audit", error="invalid_token""#
            } else {
                r#"Bearer realm="dezky-audit""#
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self);
        response
    }
}
