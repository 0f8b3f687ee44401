//! `POST /ingest/stalwart` and `GET /audit/sources`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use dezky_audit::{Clock as _, SystemClock};
use dezky_ingest::stalwart::{Refused, Sender};
use dezky_ingest::{SourceHealth, State as Faring};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{RawJson, json};
use crate::app::App;
use crate::layers::ClientAddress;
use crate::problem::{Code, Problem};

const SIGNATURE: &str = "x-signature";

/// Kept on the disk when this answers; mapped and recorded later.
pub(crate) async fn stalwart(
    State(app): State<App>,
    Extension(ClientAddress(peer)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let Some(intake) = &app.sources.stalwart else {
        return Err(Problem::new(Code::NoSuchRoute, "this process takes no webhooks").hint("AUDIT_INGEST_ENABLED is false"));
    };
    let signature = headers.get(SIGNATURE).map(http::HeaderValue::as_bytes);
    match intake.accept(Sender { signature, peer }, body.into_data_stream()).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(refused) => Err(problem(&refused)),
    }
}

fn problem(refused: &Refused) -> Problem {
    let code = match refused {
        Refused::Unsigned | Refused::WrongSignature => Code::WrongSignature,
        Refused::NotThisMachine => Code::Forbidden,
        Refused::TooLarge { .. } => Code::TooLarge,
        Refused::Broken => Code::BrokenBody,
        _ => Code::Overloaded,
    };
    Problem::new(code, refused.to_string()).cause(refused)
}

#[derive(Serialize)]
struct Shown {
    sources: Vec<Source>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    source: String,
    state: &'static str,
    last_event: Option<String>,
    caught_up: Option<String>,
    lag_ms: Option<u64>,
    waiting: Option<u64>,
    counts: Counts,
    last_error: Option<LastError>,
    warning: Option<String>,
    cursor: String,
}

#[derive(Serialize)]
struct Counts {
    mapped: u64,
    unmapped: u64,
    skipped: u64,
    duplicate: u64,
    unreadable: u64,
    changed: u64,
}

#[derive(Serialize)]
struct LastError {
    at: String,
    message: String,
    remedy: String,
}

/// How each source fares, and what to do where it does not.
pub(crate) async fn health(State(app): State<App>) -> Result<RawJson<Vec<u8>>, Problem> {
    json(&Shown { sources: app.sources.health.iter().map(|health| source(health.now())).collect() })
}

fn source(health: SourceHealth) -> Source {
    let counts = health.counts;
    Source {
        state: match health.state {
            Faring::Starting => "starting",
            Faring::Running => "running",
            Faring::Standby => "standby",
            Faring::Failing => "failing",
            Faring::Stopped => "stopped",
        },
        lag_ms: health.lag_ms(SystemClock.now()),
        last_event: health.last_event.map(|at| at.to_string()),
        caught_up: health.caught_up.map(|at| at.to_string()),
        waiting: health.waiting,
        counts: Counts {
            mapped: counts.mapped,
            unmapped: counts.unmapped,
            skipped: counts.skipped,
            duplicate: counts.duplicate,
            unreadable: counts.unreadable,
            changed: counts.changed,
        },
        last_error: health.last_error.map(|(at, problem)| LastError {
            at: at.to_string(),
            message: problem.message,
            remedy: problem.advice,
        }),
        warning: health.warning,
        cursor: health.cursor,
        source: health.source,
    }
}
