//! One set of pages for all kinds of records.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use dezky_audit::{Clock as _, Query, SystemClock};
use dezky_cold::{Listed, Reach};
use dezky_platform::PlatformError;

use super::record::{Form, Line, Sheet};
use super::{flags, partners, tenants, tokens, users};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::console::assets;
use crate::console::form::Form as Sent;
use crate::console::frame::{Frame, Section};
use crate::console::page::{encoded, page, see};
use crate::console::row::Row;
use crate::console::time::When;
use crate::console::timeline::View;
use crate::console::visitor::Visitor;
use crate::handlers::list::listed;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// Records of one page.
pub(super) const LISTED: usize = 100;
/// Events beside a record; its timeline has them all.
const NEWEST: usize = 10;

/// The name in the path, for many and for one.
const KINDS: [(&str, &str, &str); 5] = [
    ("tenants", "Tenants", "tenant"),
    ("partners", "Partners", "partner"),
    ("flags", "Flags", "flag"),
    ("users", "Users", "user"),
    ("tokens", "Tokens", "token"),
];

#[derive(Template)]
#[template(path = "platform_list.html")]
struct ListPage {
    frame: Frame,
    kind: (&'static str, &'static str, &'static str),
    kinds: &'static [(&'static str, &'static str, &'static str)],
    lines: Vec<Line>,
    next: Option<String>,
    new: Form,
}

#[derive(Template)]
#[template(path = "platform_record.html")]
struct RecordPage {
    frame: Frame,
    kind: (&'static str, &'static str, &'static str),
    kinds: &'static [(&'static str, &'static str, &'static str)],
    sheet: Sheet,
    rows: Vec<Row>,
    archives: Option<Reach>,
}

#[derive(Template)]
#[template(path = "token_made.html")]
struct TokenPage {
    frame: Frame,
    id: String,
    token: String,
}

fn kind(name: &str) -> Result<(&'static str, &'static str, &'static str), Problem> {
    let none = || Problem::new(Code::NoSuchRoute, "there is no such page of the platform");
    KINDS.iter().find(|(known, ..)| *known == name).copied().ok_or_else(none)
}

/// `/platform/{kind}`.
pub(crate) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let after = parameters.only("after")?;
    let after = after.as_deref();
    let (lines, next) = match kind.0 {
        "tenants" => tenants::lines(&app, after).await,
        "partners" => partners::lines(&app, after).await,
        "flags" => flags::lines(&app, after).await,
        "users" => users::lines(&app, after).await,
        _ => tokens::lines(&app, after).await,
    }?;
    let new = match kind.0 {
        "tenants" => tenants::new(),
        "partners" => partners::new(),
        "flags" => flags::new(),
        "users" => users::new(),
        _ => tokens::new(),
    };
    let next = next.map(|after| format!("/platform/{name}?after={}", encoded(&after)));
    let frame = Frame::of(&app, &visitor, Section::Platform, kind.1).await?;
    page(&ListPage { frame, kind, kinds: &KINDS, lines, next, new })
}

/// `/platform/{kind}/{key}`.
pub(crate) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((name, key)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let sheet = match kind.0 {
        "tenants" => tenants::sheet(&app, &key).await,
        "partners" => partners::sheet(&app, &key).await,
        "flags" => flags::sheet(&app, &key).await,
        "users" => users::sheet(&app, &key).await,
        _ => tokens::sheet(&app, &key).await,
    }?;
    let timeline = View::read(Parameters::parse(&format!("range=all&{}", sheet.timeline))?)?.unwrap_or_default();
    let query = Query { limit: NEWEST, ..timeline.query(SystemClock.now())? };
    let Listed { page: newest, archives } = listed(&app, &visitor.caller.scope, &query).await?;
    let rows = newest.events.iter().map(Row::of).collect();
    let frame = Frame::of(&app, &visitor, Section::Platform, sheet.name.clone()).await?;
    page(&RecordPage { frame, kind, kinds: &KINDS, sheet, rows, archives })
}

/// `POST /platform/{kind}`: a new record.
pub(crate) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    OnBehalf(acting): OnBehalf,
    Path(name): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let kind = kind(&name)?;
    let key = match kind.0 {
        "tenants" => tenants::create(&app, &acting, &sent).await,
        "partners" => partners::create(&app, &acting, &sent).await,
        "flags" => flags::create(&app, &acting, &sent).await,
        "users" => users::create(&app, &acting, &sent).await,
        _ => {
            let made = tokens::create(&app, &acting, &sent).await?;
            let frame = Frame::of(&app, &visitor, Section::Platform, "New token").await?;
            return page(&TokenPage { frame, id: made.record.value.id, token: made.text });
        }
    }?;
    see(&format!("/platform/{name}/{}", encoded(&key)))
}

/// `POST /platform/{kind}/{key}/{deed}`.
pub(crate) async fn change(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path((name, key, deed)): Path<(String, String, String)>,
    sent: Sent,
) -> Result<Response, Problem> {
    let done = match kind(&name)?.0 {
        "tenants" => tenants::change(&app, &acting, &key, &deed, &sent).await,
        "partners" => partners::change(&app, &acting, &key, &deed, &sent).await,
        "flags" => flags::change(&app, &acting, &key, &deed, &sent).await,
        "users" => users::change(&app, &acting, &key, &deed, &sent).await,
        _ => tokens::change(&app, &acting, &key, &deed).await,
    }?;
    if !done {
        return Err(Problem::new(Code::NoSuchRoute, "there is no such change"));
    }
    see(&format!("/platform/{name}/{}", encoded(&key)))
}

/// What a kind's functions answer.
pub(super) type Lines = Result<(Vec<Line>, Option<String>), PlatformError>;
/// Whether there is such a change.
pub(super) type Done = Result<bool, PlatformError>;
