//! One file per noun; what is sent and answered is defined beside the handler.

pub(crate) mod checkpoints;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod proofs;
pub(crate) mod verify;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

pub(crate) use health::LastProbe;

use crate::problem::Problem;

/// JSON that is there already.
pub(crate) struct RawJson<T>(T);

impl<T: Into<Bytes>> IntoResponse for RawJson<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0.into()).into_response()
    }
}

/// A value as JSON.
fn json(value: &impl Serialize) -> Result<RawJson<Vec<u8>>, Problem> {
    serde_json::to_vec(value).map(RawJson).map_err(|error| Problem::internal(&error))
}

/// Plain text that is there already.
pub(crate) struct Text(String);

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], self.0).into_response()
    }
}
