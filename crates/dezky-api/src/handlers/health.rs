//! `GET /healthz`: does the process live; `GET /readyz`: can it record.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dezky_audit::chain;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, json};
use crate::app::App;
use crate::problem::Problem;

/// How long a look at the store is good for: whoever asks more often gets the same answer.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Why events are recorded and not signed.
const WITHHELD: &str =
    "the archives could not be reached at start: nothing is signed until the checkpoints beside them were compared";

/// What the store answered, and when.
pub(crate) struct LastProbe {
    at: Instant,
    trouble: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    status: &'static str,
}

pub(crate) async fn alive() -> Result<RawJson<Vec<u8>>, Problem> {
    json(&Alive { status: "alive" })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness<'a> {
    /// `ready` or `not-ready`.
    status: &'static str,
    checks: Vec<Check<'a>>,
}

#[derive(Serialize, ToSchema)]
struct Check<'a> {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Tries the store, whoever asks: at most one look at a time, and one a second.
pub(crate) async fn ready(State(app): State<App>) -> Result<Response, Problem> {
    let mut last = app.last_probe.lock().await;
    if last.as_ref().is_none_or(|probe| probe.at.elapsed() > GOOD_FOR) {
        let trouble = match tokio::time::timeout(PATIENCE, app.log.ready()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("the store did not answer within {} s", PATIENCE.as_secs())),
        };
        *last = Some(LastProbe { at: Instant::now(), trouble });
    }
    let reason = last.as_ref().and_then(|probe| probe.trouble.as_deref());
    let mut checks = vec![Check { name: "store", ok: reason.is_none(), reason }];
    // Events are recorded all the same.
    if app.log.awaits_comparison() {
        checks.push(Check { name: "signing", ok: false, reason: Some(WITHHELD) });
    }
    Ok(match reason {
        None => json(&Readiness { status: "ready", checks })?.into_response(),
        Some(_) => {
            let body = json(&Readiness { status: "not-ready", checks })?;
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], body).into_response()
        }
    })
}
