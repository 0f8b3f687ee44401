//! `/sources`: how each source fares, what to do where it does not, and what cannot be seen from it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use dezky_audit::{Clock as _, SystemClock};
use dezky_ingest::{SourceHealth, State as Faring};

use super::assets;
use super::frame::{Frame, Section};
use super::page::page;
use super::time::{When, ago, grouped};
use super::visitor::Visitor;
use crate::app::App;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    frame: Frame,
    sources: Vec<Card>,
}

struct Card {
    name: String,
    class: &'static str,
    sign: &'static str,
    state: &'static str,
    last_event: Option<(When, String)>,
    lag: String,
    counts: Vec<(&'static str, String)>,
    error: Option<(String, String, String)>,
    warning: Option<String>,
    unseen: &'static str,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let frame = Frame::of(&app, &visitor, Section::Sources, "Sources").await?;
    page(&SourcesPage { frame, sources: app.sources.health.iter().map(|health| card(health.now())).collect() })
}

fn card(health: SourceHealth) -> Card {
    let now = SystemClock.now();
    let (class, sign, state) = match health.state {
        Faring::Starting => ("none", "…", "starting"),
        Faring::Running => ("good", "✓", "running"),
        Faring::Standby => ("none", "◦", "standing by: another process reads it"),
        Faring::Failing => ("bad", "✕", "failing"),
        Faring::Stopped => ("warn", "■", "stopped"),
    };
    let counts = health.counts;
    Card {
        lag: match health.lag_ms(now) {
            None => "not read to its end yet".to_owned(),
            Some(ms) if ms < 1_000 => "none".to_owned(),
            Some(ms) => format!("{} s since it had nothing more", grouped(ms / 1000)),
        },
        last_event: health.last_event.map(|at| (When::of(at), ago(at, now))),
        counts: vec![
            ("recorded", grouped(counts.mapped)),
            ("under their own name", grouped(counts.unmapped)),
            ("known already", grouped(counts.duplicate)),
            ("skipped", grouped(counts.skipped)),
            ("unreadable", grouped(counts.unreadable)),
            ("changed at the source", grouped(counts.changed)),
        ],
        error: health.last_error.map(|(at, problem)| (ago(at, now), problem.message, problem.advice)),
        warning: health.warning,
        unseen: unseen(&health.source),
        name: health.source,
        class,
        sign,
        state,
    }
}

/// What no setting makes visible (docs/sources.md).
fn unseen(source: &str) -> &'static str {
    match source {
        name if name.starts_with("authentik") => {
            "Changes made by Authentik’s worker (LDAP, SCIM, blueprints, expiry), who exactly joined or left a group, and before and after of a change without an enterprise licence. Its own log can be edited by its administrators before it is read."
        }
        name if name.starts_with("stalwart") => {
            "What is older than the webhook’s discardAfter when this service was away, and the client’s address where a proxy stands before the mail server."
        }
        name if name.starts_with("ocis") => {
            "From where somebody came: OCIS never says the client’s address. From the file also sign-ins and, often, the exact time."
        }
        _ => "What its sender does not send.",
    }
}
