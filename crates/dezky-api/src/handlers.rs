//! One file per noun; what is sent and answered is defined beside the handler.

pub(crate) mod archives;
pub(crate) mod checkpoints;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod flags;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod partners;
pub(crate) mod proofs;
pub(crate) mod record;
pub(crate) mod sources;
pub(crate) mod tenants;
pub(crate) mod tiles;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod verify;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dezky_audit::Stored;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::IgnoredAny;

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

#[derive(Serialize)]
struct Broken<'a> {
    seq: u64,
    broken: bool,
    raw: std::borrow::Cow<'a, str>,
}

/// A stored event: its line as it is; what is no longer a JSON object is shown as text.
fn write_event(event: &Stored, out: &mut Vec<u8>) {
    let is_object = event.line.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(&event.line).is_ok();
    // IgnoredAny skips over strings without looking whether they are UTF-8.
    if is_object && str::from_utf8(&event.line).is_ok() {
        out.extend_from_slice(&event.line);
        return;
    }
    let broken = Broken { seq: event.seq, broken: true, raw: String::from_utf8_lossy(&event.line) };
    out.append(&mut serde_json::to_vec(&broken).unwrap_or_default());
}
