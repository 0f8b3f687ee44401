//! `/export`: what an export of this view will hold, and how whoever gets it verifies it.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use dezky_audit::{Clock as _, Scope, SystemClock};

use super::assets;
use super::frame::{Frame, Section};
use super::page::{encoded, page, see};
use super::time;
use super::timeline::View;
use super::visitor::Visitor;
use crate::app::App;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// How long may be counted.
const COUNTING: Duration = Duration::from_millis(300);

#[derive(Template)]
#[template(path = "export.html")]
struct Export {
    frame: Frame,
    n: String,
    exact: bool,
    /// Whether archived events may come to those that were counted.
    more: bool,
    filters: Vec<(String, String)>,
    since: String,
    until: String,
    tenants: Vec<String>,
    kind: Kind,
    download: String,
    back: String,
    vkey: String,
}

/// What a verifier can say of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything that there is.
    Whole,
    /// One tenant's stream, whole.
    Tenant,
    /// Some events: what is missing cannot be told.
    Filtered,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let view = match View::read(parameters)? {
        Ok(view) => view.newest(),
        Err(elsewhere) => return see(&elsewhere),
    };
    let now = SystemClock.now();
    let query = view.query(now)?;
    let count = app.log.count(&visitor.caller.scope, &query.filter, COUNTING).await?;
    let more = match &app.cold {
        Some(cold) => cold.timeline().reaches_archives(&query).await?,
        None => false,
    };
    let (since, until) = view.bounds(now);
    let mut pairs = view.filters().to_vec();
    pairs.extend(since.map(|at| ("since".to_owned(), at.to_string())));
    pairs.extend(until.map(|at| ("until".to_owned(), at.to_string())));
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let tenants = match &visitor.caller.scope {
        Scope::All => Vec::new(),
        Scope::Tenants(tenants) => tenants.iter().map(ToString::to_string).collect(),
    };
    let unbounded = since.is_none() && until.is_none();
    let of_one = match view.filters() {
        [(name, slug)] if name == "tenantSlug" && tenants.is_empty() => Some(slug.clone()),
        [] if tenants.len() == 1 => tenants.first().cloned(),
        _ => None,
    };
    let kind = match (&of_one, unbounded) {
        (Some(_), true) => Kind::Tenant,
        (None, true) if view.filters().is_empty() && tenants.is_empty() => Kind::Whole,
        _ => Kind::Filtered,
    };
    // Of the whole log it is known without counting.
    let whole = kind == Kind::Whole && more;
    let n = if whole { app.log.store().head().await?.size } else { count.n };
    page(&Export {
        frame: Frame::of(&app, &visitor, Section::Timeline, "Export").await?,
        n: time::grouped(n),
        exact: count.exact || whole,
        more: more && !whole,
        filters: view.filters().to_vec(),
        since: since.map(|at| at.to_string()).unwrap_or_default(),
        until: until.map(|at| at.to_string()).unwrap_or_default(),
        tenants: of_one.map_or(tenants, |one| vec![one]),
        kind,
        download: if query.is_empty() { "/audit/export".to_owned() } else { format!("/audit/export?{}", query.join("&")) },
        back: view.url(),
        vkey: app.log.keys().first().map(|key| key.vkey.clone()).unwrap_or_default(),
    })
}
