//! `/`: what happened, newest first; everything that can be chosen is in the URL.

mod choices;
mod counts;
mod histogram;
mod range;
mod search;
mod view;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use dezky_audit::{Clock as _, Query, Scope, SystemClock};
use dezky_cold::{Listed, Reach};
use dezky_store::Page;

pub(super) use range::Range;
pub(super) use view::View;

use super::assets;
use super::demonstration;
use super::frame::{Frame, Section};
use super::page::{page, see};
use super::row::Row;
use super::time;
use super::visitor::Visitor;
use crate::app::App;
use crate::handlers::list::listed;
use crate::parameters::Parameters;
use crate::problem::Problem;
use choices::{Chip, Pill, Preset, chips, outcomes, pills, presets};
use counts::{Counting, Counts};
use histogram::Histogram;

/// A log with fewer events than this may be one that nobody has begun to use.
const FEW_EVENTS: usize = 20;

#[derive(Template)]
#[template(path = "timeline.html")]
struct Timeline {
    frame: Frame,
    rows: Vec<Row>,
    chips: Vec<Chip>,
    outcomes: Vec<Chip>,
    presets: Vec<Preset>,
    pills: Vec<Pill>,
    /// What the search form must send along: the rest of the view.
    kept: Vec<(String, String)>,
    /// The same without the range, for the form that sets one.
    filters: Vec<(String, String)>,
    since: String,
    until: String,
    counts: Counts,
    histogram: Histogram,
    older: Option<String>,
    newest: Option<String>,
    live: Option<String>,
    /// The log's size before the list was made.
    after: u64,
    export: String,
    clear: Option<String>,
    all_time: Option<String>,
    /// Whether the page ended before its limit for want of time.
    partial: bool,
    empty: Option<Empty>,
    /// How it went in the archive, where the page got there.
    archives: Option<Reach>,
    /// What to say where nothing that is shown is hot.
    archived: Option<Archived>,
    /// Whether the demonstration may be loaded.
    demonstrable: bool,
}

/// Why there is nothing to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// Nothing was recorded but what the log says of itself.
    Unused,
    NoMatch,
}

/// How far the matches lie in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Archived {
    /// All of them: hot storage has none.
    View,
    /// The same, and none was found yet.
    Searching,
    /// Those of this page.
    Page,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let now = SystemClock.now();
    let view = match View::read(parameters)? {
        Ok(view) => view,
        Err(elsewhere) => return see(&elsewhere),
    };
    let query = view.query(now)?;
    let scope = &visitor.caller.scope;
    // Whoever follows from here on must be told of what the list was too early for.
    let after = app.log.store().head().await?.size;
    let (Listed { page: found, archives }, counting) =
        tokio::try_join!(listed(&app, scope, &query), Counting::of(&app, scope, &query, now))?;
    let archived = if archives == Some(Reach::Read) { archived(&app, scope, &query, &found).await? } else { None };
    let frame = Frame::of(&app, &visitor, Section::Timeline, "Timeline").await?;
    let is_first = view.cursor().is_none();
    let in_full = app.cold.is_some() && is_first && found.next.is_none() && archives.is_none_or(|reach| reach == Reach::Read);
    let counts = counting.beside(&view, in_full.then_some(&*found.events));
    let unused = is_first && !view.is_filtered() && found.events.len() < FEW_EVENTS && demonstration::is_unused(&app).await?;
    let empty = match found.events.is_empty() {
        _ if unused && visitor.sees_all() => Some(Empty::Unused),
        true if found.next.is_none() => Some(Empty::NoMatch),
        _ => None,
    };
    let Page { events, next, out_of_time, .. } = found;
    let (since, until) = view.bounds(now);
    let input = |at: Option<dezky_audit_core::time::Timestamp>| at.map(|at| at.to_string()[..16].to_owned()).unwrap_or_default();
    page(&Timeline {
        rows: events.iter().map(Row::of).collect(),
        chips: chips(&view),
        outcomes: outcomes(&view),
        presets: presets(&view),
        pills: pills(&view),
        kept: view.parameters(),
        filters: view.filters().to_vec(),
        since: input(since),
        until: input(until),
        histogram: Histogram::of(&counts, &view),
        counts,
        older: next.map(|cursor| view.at(&cursor.to_string()).url()),
        newest: (!is_first).then(|| view.newest().url()),
        after,
        live: (is_first && until.is_none()).then(|| format!("/live{}", view.query_string())),
        export: format!("/export{}", view.query_string()),
        clear: view.is_filtered().then(|| view.cleared().url()),
        all_time: (!view.is_all_time()).then(|| view.ranged(Range::All).url()),
        partial: out_of_time,
        demonstrable: unused && visitor.is_operator(),
        empty,
        archives,
        archived,
        frame,
    })
}

/// What a page that got into the archive says of it; the hot tier is asked again, for the whole view, where the page shows nothing
/// hot.
async fn archived(app: &App, scope: &Scope, query: &Query, page: &Page) -> Result<Option<Archived>, Problem> {
    let hot = app.log.store().hot().await?;
    let is_hot = |seq: u64| seq > hot.border || hot.restored.iter().any(|back| back.range.contains(&seq));
    if page.events.iter().any(|event| is_hot(event.seq)) {
        return Ok(None);
    }
    let any = app.log.list(scope, &Query { limit: 1, after: None, ..query.clone() }).await?;
    let none_is_hot = any.events.is_empty() && any.next.is_none();
    Ok(match (page.events.is_empty(), none_is_hot) {
        (false, true) => Some(Archived::View),
        (false, false) => Some(Archived::Page),
        (true, true) if page.next.is_some() => Some(Archived::Searching),
        (true, _) => None,
    })
}
