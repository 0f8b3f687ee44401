//! `POST /audit/events` and `GET /audit/events/{seq}`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dezky_audit::{Receipt, Scope, Stored};
use dezky_audit_core::ids::{Seq, Source};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, json, write_event};
use crate::app::App;
use crate::caller::Caller;
use crate::conditional::{Known, tagged};
use crate::idempotency::IdempotencyKey;
use crate::openapi::Hash;
use crate::posted::{Posted, Shape};
use crate::problem::{Code, Problem, RefusedEvent, refused_events};

/// Where an event stands in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recorded {
    #[schema(value_type = crate::openapi::Seq)]
    seq: u64,
    #[schema(value_type = Hash)]
    hash: String,
    /// It was recorded before, with the same content.
    duplicate: bool,
}

/// Where each event stands, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedAll {
    results: Vec<Recorded>,
}

impl From<Receipt> for Recorded {
    fn from(Receipt { seq, hash, duplicate }: Receipt) -> Self {
        Self { seq: seq.get(), hash: hash.to_hex(), duplicate }
    }
}

/// Records what was posted, by a recorder only what is of its source. Parts are taken as posted: the caller's own address is no part of them.
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    mut posted: Posted,
) -> Result<Response, Problem> {
    if let Some(key) = IdempotencyKey::from_headers(&headers)? {
        app.credentials.idempotency.name(&mut posted.drafts, &caller.id, &key);
    }
    if let Some(source) = &caller.source {
        refuse_other_sources(&posted, source)?;
    }
    let one = posted.places.shape == Shape::One;
    let drafts = std::mem::take(&mut posted.drafts);
    let receipts = app.log.record_batch(drafts).await.map_err(|error| refused_events(error, &posted.places))?;
    let mut results = receipts.into_iter().map(Recorded::from);
    match results.next() {
        Some(only) if one => {
            let status = if only.duplicate { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, json(&only)?).into_response())
        }
        first => {
            Ok((StatusCode::CREATED, json(&RecordedAll { results: first.into_iter().chain(results).collect() })?).into_response())
        }
    }
}

fn refuse_other_sources(posted: &Posted, source: &Source) -> Result<(), Problem> {
    let others = posted.drafts.iter().enumerate().filter(|(_, draft)| draft.source != *source);
    let members: Vec<_> = others.map(|(index, _)| (index, "/source")).collect();
    if members.is_empty() {
        return Ok(());
    }
    let reason = format!("this token records events of the source {source}");
    let refused = members.iter().zip(posted.places.lines(&members)).map(|((index, pointer), line)| RefusedEvent {
        index: *index,
        line,
        pointer: (*pointer).to_owned(),
        reason: reason.clone(),
    });
    Err(Problem::new(Code::Forbidden, &*reason).hint("nothing was recorded").refusing(refused.collect()))
}

/// The line as it is stored; one that is no longer JSON as the list shows it.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(seq): Path<String>,
    known: Known,
) -> Result<Response, Problem> {
    let seq = parse_seq(&seq)?;
    let stored = find(&app, &caller.scope, seq).await?.ok_or_else(|| no_such_event(seq))?;
    let mut shown = Vec::with_capacity(stored.line.len());
    write_event(&stored, &mut shown);
    // Not by the hash: an event keeps that when a part of it is withheld.
    let shown = Bytes::from(shown);
    Ok(known.spare(tagged(&shown, RawJson(shown.clone()).into_response())?))
}

/// The event, hot or archived.
pub(crate) async fn find(app: &App, scope: &Scope, seq: Seq) -> Result<Option<Stored>, Problem> {
    Ok(match &app.cold {
        Some(cold) => cold.timeline().event(scope, seq).await?,
        None => app.log.get(scope, seq).await?,
    })
}

pub(crate) fn parse_seq(text: &str) -> Result<Seq, Problem> {
    text.parse().map_err(|error| Problem::new(Code::InvalidParameter, format!("the seq in the path is {error}")))
}

pub(crate) fn no_such_event(seq: Seq) -> Problem {
    Problem::new(Code::NoSuchEvent, format!("there is no event {seq} here"))
}
