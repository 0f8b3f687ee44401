//! `POST /audit/checkpoint`, `GET /audit/checkpoint/latest`, `GET /audit/checkpoints/{size}`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dezky_audit::{Act, ActBy, CheckpointRecord, Reason, chain};
use dezky_audit_core::ids::parse_decimal;
use dezky_platform::Acting;
use http::HeaderMap;
use http::header::{ACCEPT, VARY};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, Text, json};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::caller::Caller;
use crate::conditional::{Known, tagged};
use crate::openapi::{Hash, Time};
use crate::problem::{Code, Problem};

/// How long the archives may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The record kept beside a note (log format, section 5).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checkpoint<'a> {
    #[schema(value_type = Time)]
    at: String,
    /// How many events it covers.
    head_seq: u64,
    #[schema(value_type = Hash)]
    head_hash: String,
    /// Of the tree; base64.
    root_hash: String,
    /// Why it was made: `manual`, `interval`, …
    reason: &'a str,
    /// What was signed, and the signatures.
    note: &'a str,
}

fn written(record: &CheckpointRecord) -> Result<RawJson<Vec<u8>>, Problem> {
    json(&Checkpoint {
        at: record.at.to_string(),
        head_seq: record.size,
        head_hash: record.head_hash.to_hex(),
        root_hash: record.root.to_base64(),
        reason: &record.reason,
        note: &record.note,
    })
}

pub(crate) async fn take(State(app): State<App>, OnBehalf(acting): OnBehalf) -> Result<RawJson<Vec<u8>>, Problem> {
    written(&force(&app, acting).await?)
}

/// Signs the log as it is now; the newest checkpoint where nothing is new. That it was asked for is an event, which the checkpoint
/// covers too: so asking again finds nothing new.
pub(crate) async fn force(app: &App, acting: Acting) -> Result<CheckpointRecord, Problem> {
    let (newest, head) = (app.log.latest_checkpoint().await?, app.log.store().head().await?);
    if newest.is_none_or(|newest| newest.size < head.size) {
        let Acting { actor_type, actor, client } = acting;
        let by = ActBy { actor_type, actor: Some(actor), client: Some(client), tenant: None };
        // While it waits in the spool, the log is away anyway.
        app.log.record_act(Act::CheckpointForced, by).await;
    }
    let record = app.log.checkpoint(Reason::Manual).await?;
    if let Some(cold) = &app.cold {
        // It counts as it is; beside the archives it follows when they are back.
        match tokio::time::timeout(PATIENCE, cold.publish(&record)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(cause = chain(&error), "a checkpoint is not published beside the archives"),
            Err(_) => tracing::warn!("a checkpoint is not published beside the archives: there was no answer"),
        }
    }
    Ok(record)
}

pub(crate) async fn latest(State(app): State<App>, _: Caller) -> Result<RawJson<Vec<u8>>, Problem> {
    let none = || {
        Problem::new(Code::NoSuchCheckpoint, "nothing was signed yet").hint("sign the log as it is now: POST /audit/checkpoint")
    };
    written(&app.log.latest_checkpoint().await?.ok_or_else(none)?)
}

/// The newest of this size: as a record, or as its note alone for those who accept only plain text.
pub(crate) async fn of_size(
    State(app): State<App>,
    _: Caller,
    Path(size): Path<String>,
    headers: HeaderMap,
    known: Known,
) -> Result<Response, Problem> {
    let not_a_size = || Problem::new(Code::InvalidParameter, "the size in the path is not a decimal number");
    let size = parse_decimal(&size).ok_or_else(not_a_size)?;
    let none = || Problem::new(Code::NoSuchCheckpoint, format!("no checkpoint has the size {size}"));
    let record = app.log.checkpoint_at(size).await?.ok_or_else(none)?;
    let answer = if wants_text(&headers) {
        tagged(record.note.as_bytes(), Text(record.note.clone()).into_response())?
    } else {
        let RawJson(written) = written(&record)?;
        let written = Bytes::from(written);
        tagged(&written, RawJson(written.clone()).into_response())?
    };
    Ok(known.spare(([(VARY, "accept")], answer).into_response()))
}

/// Whether `Accept` puts plain text before JSON (RFC 9110, section 12.5.1).
fn wants_text(headers: &HeaderMap) -> bool {
    let quality = |media: &str| {
        let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let exact = ranges.filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().filter(|name| name.eq_ignore_ascii_case(media))?;
            Some(parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0))
        });
        exact.fold(0.0, f32::max)
    };
    quality("text/plain") > quality("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_sent_to_those_who_ask_for_it() {
        let wants = |accept: &'static str| wants_text(&HeaderMap::from_iter([(ACCEPT, http::HeaderValue::from_static(accept))]));
        assert!(wants("text/plain"));
        assert!(wants("Text/Plain; charset=utf-8, */*;q=0.1"));
        assert!(wants("application/json;q=0.5, text/plain"));
        for json in ["*/*", "application/json", "text/plain;q=0.5, application/json", "text/plain;q=0", "text/html"] {
            assert!(!wants(json), "{json}");
        }
        assert!(!wants_text(&HeaderMap::new()));
    }
}
