//! The body of `POST /audit/events`: one event, a JSON array, or lines; read whole, within limits, all or nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use dezky_audit::{Draft, RecordLimits};
use dezky_audit_core::event::{Door, PostedError};
use dezky_audit_core::json::{line_of, place_of};
use futures_util::StreamExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::config::Limits;
use crate::problem::{Code, Problem};

/// A body of more than this is read on a thread of its own, so that others are answered meanwhile.
const LONG_BYTES: usize = 64 << 10;

/// The most bytes of a record.
const SMALL_BYTES: usize = 64 << 10;

/// What was posted.
pub struct Posted {
    pub drafts: Vec<Draft>,
    pub(crate) places: Places,
    /// The body's share of the memory for bodies, given back when it is dropped.
    _room: OwnedSemaphorePermit,
}

/// Where in the body each event stands.
pub(crate) struct Places {
    pub(crate) shape: Shape,
    body: Bytes,
}

/// In which form events were posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Array,
    Lines,
}

impl Places {
    /// The lines of the body, from 1, on which these members of these events stand.
    pub(crate) fn lines(&self, members: &[(usize, &str)]) -> Vec<usize> {
        let starts = self.event_starts();
        let line = |(index, pointer): &(usize, &str)| {
            let start = starts.get(*index).copied().unwrap_or_default();
            line_of(&self.body, start) + place_of(&self.body[start..], pointer).line - 1
        };
        members.iter().map(line).collect()
    }

    /// At which byte each event begins.
    fn event_starts(&self) -> Vec<usize> {
        let offset = |part: &[u8]| part.as_ptr().addr() - self.body.as_ptr().addr();
        match self.shape {
            Shape::One => vec![0],
            Shape::Array => {
                let items: Vec<&RawValue> = serde_json::from_slice(&self.body).unwrap_or_default();
                items.into_iter().map(|item| offset(item.get().as_bytes())).collect()
            }
            Shape::Lines => {
                let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
                lines.map(offset).collect()
            }
        }
    }

    fn read(&self) -> Result<Vec<Draft>, Vec<PostedError>> {
        let max = RecordLimits::MAX_EVENTS;
        match self.shape {
            Shape::One => Draft::from_json(&self.body, Door::Caller).map(|draft| vec![draft]).map_err(|error| vec![error]),
            Shape::Array => Draft::array_from_json(&self.body, max, Door::Caller),
            Shape::Lines => Draft::lines_from_json(&self.body, max, Door::Caller),
        }
    }
}

impl FromRequest<App> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let lines = are_lines(&parts.headers)?;
        let limits = &app.config.limits;
        let (body, room) = receive(&parts.headers, body, limits, &app.body_bytes).await?;
        app.metrics.body_received(body.len());
        let long = body.len() > LONG_BYTES;
        let shape = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            _ if lines => Shape::Lines,
            Some(b'[') => Shape::Array,
            _ => Shape::One,
        };
        let places = Places { shape, body };
        let read = move || places.read().map(|drafts| Self { drafts, places, _room: room });
        let posted =
            if long { tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal(&error))? } else { read() };
        Ok(posted?)
    }
}

/// Whether the body is NDJSON rather than JSON, by what its sender calls it.
fn are_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        return Err(Problem::new(Code::UnsupportedMediaType, format!("the content encoding '{encoding}' is not understood"))
            .hint("send the body as it is"));
    }
    let named = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let mut named = named.as_deref().unwrap_or_default().split(';').map(str::trim);
    let essence = named.next().unwrap_or_default();
    let foreign = named.any(|parameter| parameter.strip_prefix("charset=").is_some_and(|set| set.trim_matches('"') != "utf-8"));
    match essence {
        "application/json" if !foreign => Ok(false),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" if !foreign => Ok(true),
        "" => Err(Problem::new(Code::UnsupportedMediaType, "the body has no content type").hint(MEDIA_TYPES)),
        _ if foreign => Err(Problem::new(Code::UnsupportedMediaType, "the body is not said to be UTF-8").hint(MEDIA_TYPES)),
        _ => Err(Problem::new(Code::UnsupportedMediaType, format!("'{essence}' is not understood")).hint(MEDIA_TYPES)),
    }
}

const MEDIA_TYPES: &str =
    "send 'Content-Type: application/json' for one event or an array, 'application/x-ndjson' for one event a line; in UTF-8";

/// A body of one JSON value, of a size that a record may have.
pub(crate) async fn small_body(request: Request, app: &App) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    if are_lines(&parts.headers)? {
        return Err(Problem::new(Code::UnsupportedMediaType, "one JSON object was expected, not lines")
            .hint("send 'Content-Type: application/json'"));
    }
    let limits = Limits { body_bytes: SMALL_BYTES.min(app.config.limits.body_bytes), ..app.config.limits };
    let (body, _room) = receive(&parts.headers, body, &limits, &app.body_bytes).await?;
    app.metrics.body_received(body.len());
    Ok(body)
}

/// The whole body, once there is room for it.
async fn receive(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let most: usize = announced.unwrap_or(limits.body_bytes);
    if most > limits.body_bytes {
        return Err(too_large(limits));
    }
    let end = Instant::now() + limits.body_time;
    let full =
        |_| Problem::new(Code::Overloaded, "too many bodies are being read").hint("nothing was recorded; send it again later");
    let permits = u32::try_from(most).unwrap_or(u32::MAX);
    let room = timeout_at(end, Arc::clone(room).acquire_many_owned(permits)).await.map_err(full)?;
    let room = room.map_err(|_| Problem::new(Code::Closing, "nothing was recorded"))?;
    let late = |_| Problem::new(Code::SlowBody, format!("it was not here after {} s", limits.body_time.as_secs()));
    let mut received = BytesMut::with_capacity(announced.unwrap_or_default());
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = timeout_at(end, chunks.next()).await.map_err(late)? {
        let chunk = chunk.map_err(|error| Problem::new(Code::BrokenBody, "it ended before its end").cause(&error))?;
        if received.len() + chunk.len() > most {
            return Err(too_large(limits));
        }
        received.extend_from_slice(&chunk);
    }
    Ok((received.freeze(), room))
}

fn too_large(limits: &Limits) -> Problem {
    Problem::new(Code::TooLarge, format!("a body has at most {} bytes", limits.body_bytes))
        .hint("nothing was recorded; send less at once")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(shape: Shape, body: &'static str) -> Places {
        Places { shape, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn members_are_found_in_every_shape() {
        assert_eq!(places(Shape::One, "{\n\"a\": 1,\n\"b\": 2}").lines(&[(0, "/b"), (0, ""), (0, "/gone")]), [3, 1, 1]);
        let array = places(Shape::Array, "[\n {\"a\": 1},\n {\n\"b\": 2}]");
        assert_eq!(array.lines(&[(0, "/a"), (1, ""), (1, "/b"), (9, "")]), [2, 3, 4, 1]);
        let lines = places(Shape::Lines, "{}\n\n  \n{\"b\": 2}\n");
        assert_eq!(lines.lines(&[(0, ""), (1, "/b")]), [1, 4]);
    }

    #[test]
    fn only_json_in_utf_8_is_read() {
        let header = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(value))]);
        assert!(!are_lines(&header("application/json")).unwrap());
        assert!(!are_lines(&header("Application/JSON; charset=\"UTF-8\"")).unwrap());
        assert!(are_lines(&header("application/x-ndjson")).unwrap());
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"] {
            assert!(are_lines(&header(bad)).is_err(), "{bad}");
        }
        assert!(are_lines(&HeaderMap::new()).is_err());
        let mut zipped = header("application/json");
        zipped.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        assert!(are_lines(&zipped).is_err());
    }
}
