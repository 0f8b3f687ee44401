//! `POST /ingest/{source}` and `GET /audit/sources`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use dezky_audit::{Clock as _, SystemClock};
use dezky_ingest::SourceHealth;
use dezky_ingest::webhook::{Refused, Sender};
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, json};
use crate::app::App;
use crate::layers::ClientAddress;
use crate::problem::{Code, Problem};

/// Where proxies say for whom they speak.
const FORWARDING: [HeaderName; 3] = [FORWARDED, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// Kept on the disk when this answers; mapped and recorded later.
pub(crate) async fn take(
    State(app): State<App>,
    Path(source): Path<String>,
    Extension(ClientAddress(peer)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    // What other sources there are is nobody's business.
    let Some(intake) = app.sources.intakes.get(&source) else {
        return Err(Problem::new(Code::NoSuchRoute, "nothing is taken in here").hint(
            "a source that posts is a table [[generic]] in the configuration file; AUDIT_INGEST_ENABLED=false turns all sources off",
        ));
    };
    let proof = intake.header().and_then(|name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    });
    let passed_on = FORWARDING.iter().any(|name| headers.contains_key(name));
    match intake.accept(Sender { proof, peer, passed_on }, body.into_data_stream()).await {
        Ok(_) => Ok(StatusCode::OK),
        Err(refused) => Err(problem(&refused)),
    }
}

fn problem(refused: &Refused) -> Problem {
    let code = match refused {
        Refused::Unsigned { .. } | Refused::WrongSignature { .. } => Code::WrongSignature,
        Refused::NoToken | Refused::WrongToken => Code::Unauthorized,
        Refused::NotThisMachine => Code::Forbidden,
        Refused::TooLarge { .. } => Code::TooLarge,
        Refused::Broken => Code::BrokenBody,
        _ => Code::Overloaded,
    };
    let problem = Problem::new(code, refused.to_string()).cause(refused);
    if code == Code::Unauthorized {
        problem.hint("send 'Authorization: Bearer TOKEN' with the source's own token")
    } else {
        problem
    }
}

/// How each source fares.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sources {
    sources: Vec<Source>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SourceHealth)]
#[serde(rename_all = "camelCase")]
struct Source {
    source: String,
    state: &'static str,
    last_event: Option<String>,
    caught_up: Option<String>,
    last_success: Option<String>,
    /// How far behind it is.
    lag_ms: Option<u64>,
    /// What lies there and is not in the log yet.
    waiting: Option<u64>,
    counts: Counts,
    errors: u64,
    last_error: Option<LastError>,
    warning: Option<String>,
    cursor: String,
}

/// What became of what it sent, since this process began.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceCounts)]
struct Counts {
    mapped: u64,
    unmapped: u64,
    skipped: u64,
    duplicate: u64,
    unreadable: u64,
    changed: u64,
}

#[derive(Serialize, ToSchema)]
struct LastError {
    at: String,
    message: String,
    /// What to do about it.
    remedy: String,
}

/// How each source fares, and what to do where it does not.
pub(crate) async fn health(State(app): State<App>) -> Result<RawJson<Vec<u8>>, Problem> {
    json(&Sources { sources: app.sources.health.iter().map(|health| source(health.now())).collect() })
}

fn source(health: SourceHealth) -> Source {
    let counts = health.counts;
    Source {
        state: health.state.as_str(),
        lag_ms: health.lag_ms(SystemClock.now()),
        last_event: health.last_event.map(|at| at.to_string()),
        caught_up: health.caught_up.map(|at| at.to_string()),
        last_success: health.last_success.map(|at| at.to_string()),
        waiting: health.waiting,
        counts: Counts {
            mapped: counts.mapped,
            unmapped: counts.unmapped,
            skipped: counts.skipped,
            duplicate: counts.duplicate,
            unreadable: counts.unreadable,
            changed: counts.changed,
        },
        errors: health.errors,
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
