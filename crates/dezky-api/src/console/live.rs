//! `/live`: new events as they come, for a page that is open (server-sent events).
//!
//! Whoever cannot be told everything is told how much was left out.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dezky_audit::{Clock as _, Filter, Scope, StoreError, SystemClock};
use dezky_store::ReadLimit;
use dezky_store::projection::{Column, SearchRow};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::row::Row;
use super::timeline::View;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);
/// Events that are looked at each time: 400 a second.
const EVENTS: u64 = 200;
/// After so many looks without anything, something is sent, so that nobody between thinks that the line is dead.
const QUIET: u32 = 20;

#[derive(Template)]
#[template(path = "rows.html")]
struct Rows {
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct News {
    html: String,
    rows: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    shed: Option<Shed>,
}

/// Events that this page is not told of.
#[derive(Serialize)]
struct Shed {
    /// How many, where that is the reader's to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    why: &'static str,
}

/// From the event behind `after` on, or behind the last one that this browser was told of when its line broke; else from now on.
pub(crate) async fn follow(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let after = parameters.take("after");
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned).or(after);
    let view = View::read(parameters)?.unwrap_or_default();
    let filter = view.query(SystemClock.now())?.filter;
    let full = |_| Problem::new(Code::Overloaded, "too many pages are followed live");
    let place = Arc::clone(&app.followers).try_acquire_owned().map_err(full)?;
    let size = app.log.store().head().await?.size;
    let next = match after {
        Some(after) => after.parse().map_or(size, |after: u64| after.min(size)) + 1,
        None => size + 1,
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let closing = app.closing.subscribe();
    let tail = Tail { app, scope: caller.scope, filter, next, resuming: true, ticks, closing, quiet: 0, _place: place };
    let chunks = unfold(tail, |mut tail| async move { tail.next().await.map(|chunk| (chunk, tail)) });
    let media_type = [(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
    Ok((media_type, Body::from_stream(chunks)).into_response())
}

struct Tail {
    app: App,
    scope: Scope,
    filter: Filter,
    /// The first event that was not looked at.
    next: u64,
    /// Until what came before is looked at.
    resuming: bool,
    ticks: Interval,
    closing: watch::Receiver<bool>,
    quiet: u32,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    /// What to send next; `None` when the server closes.
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return None,
                _ = self.ticks.tick() => {}
            }
            match self.look().await {
                Ok(Some(news)) => {
                    self.quiet = 0;
                    let data = serde_json::to_string(&news).unwrap_or_default();
                    return Some(Ok(Bytes::from(format!("id: {}\ndata: {data}\n\n", self.next - 1))));
                }
                Ok(None) => self.quiet += 1,
                Err(error) => return Some(Err(error)),
            }
            if self.quiet >= QUIET {
                self.quiet = 0;
                return Some(Ok(Bytes::from(format!(": still here\nid: {}\n\n", self.next - 1))));
            }
        }
    }

    async fn look(&mut self) -> Result<Option<News>, StoreError> {
        let store = self.app.log.store();
        let size = store.head().await?.size;
        let resuming = std::mem::replace(&mut self.resuming, false);
        if size < self.next {
            return Ok(None);
        }
        let shed = (size + 1 - self.next).saturating_sub(EVENTS);
        let from = self.next + shed;
        let limit = ReadLimit { events: usize::try_from(EVENTS).unwrap_or(usize::MAX), ..ReadLimit::default() };
        let read = store.read(from..=size, limit).await?;
        self.next = read.last().map_or(size, |last| last.seq) + 1;
        let is_theirs = |row: &SearchRow| self.scope.admits(row.get(Column::TenantSlug)) && self.filter.matches(row);
        let mut rows: Vec<_> =
            read.iter().filter(|event| is_theirs(&SearchRow::derive(event.seq, &event.line))).map(Row::of).collect();
        rows.reverse();
        let why = if resuming { "came meanwhile and are not shown" } else { "came too fast to be shown" };
        // How busy others are is not a tenant's to know.
        let shed = (shed > 0).then(|| Shed { n: matches!(self.scope, Scope::All).then_some(shed), why });
        if rows.is_empty() && shed.is_none() {
            return Ok(None);
        }
        let n = rows.len();
        Ok(Some(News { html: Rows { rows }.render().unwrap_or_default(), rows: n, shed }))
    }
}
