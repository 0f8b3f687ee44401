//! The whole of the outside: one list for programs, one for people.

use axum::Router;
use axum::routing::{MethodFilter, MethodRouter, on};
use dezky_platform::Role;
use http::Method;

use crate::app::App;
use crate::console;
use crate::handlers::{
    archives, checkpoints, events, export, flags, health, keys, list, metrics, openapi, partners, proofs, sources, tenants,
    tiles, tokens, users, verify,
};
use crate::layers::{self, Audience};

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Route {
    pub rule: Rule,
    pub pace: Pace,
    pub method: Method,
    /// As axum writes it: `{name}` stands for one segment.
    pub path: &'static str,
    handler: fn(MethodFilter) -> MethodRouter<App>,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody, without a token.
    Public,
    /// Whoever signs what is sent with the source's key, or knows its token; with neither, this machine itself.
    Signed,
    /// Operators and recorders.
    Recorder,
    /// Operators, auditors and tenant auditors: what is answered is bounded by the caller's scope.
    Reader,
    /// Operators and auditors: what is told is about the whole log.
    Auditor,
    /// Operators.
    Operator,
}

impl Rule {
    /// Whether somebody of this role may use the route. Nobody's role matters where none is asked for.
    pub const fn admits(self, role: Role) -> bool {
        match self {
            Self::Public | Self::Signed => true,
            Self::Recorder => matches!(role, Role::Operator | Role::Recorder),
            Self::Reader => matches!(role, Role::Operator | Role::Auditor | Role::TenantAuditor),
            Self::Auditor => matches!(role, Role::Operator | Role::Auditor),
            Self::Operator => matches!(role, Role::Operator),
        }
    }
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As [`crate::Limits::answer_time`] says.
    Prompt,
    /// The same, after what [`crate::Limits::body_time`] leaves the body to arrive.
    Upload,
    /// As long as the log is.
    Long,
}

use Pace::{Long, Prompt, Upload};
use Rule::{Auditor, Operator, Public, Reader, Recorder, Signed};

/// Every route. There is none that updates or deletes an event.
pub const ROUTES: &[Route] = &[
    route(Recorder, Upload, Method::POST, "/audit/events", |m| on(m, events::post)),
    route(Reader, Prompt, Method::GET, "/audit", |m| on(m, list::page)),
    route(Reader, Prompt, Method::GET, "/audit/events/{seq}", |m| on(m, events::get)),
    route(Reader, Prompt, Method::GET, "/audit/events/{seq}/proof", |m| on(m, proofs::event)),
    route(Reader, Long, Method::GET, "/audit/export", |m| on(m, export::stream)),
    route(Reader, Long, Method::GET, "/audit/verify", |m| on(m, verify::run)),
    route(Operator, Long, Method::POST, "/audit/archive/run", |m| on(m, archives::run)),
    route(Auditor, Prompt, Method::GET, "/audit/archives", |m| on(m, archives::list)),
    route(Auditor, Prompt, Method::GET, "/audit/archives/{startSeq}", |m| on(m, archives::get)),
    route(Operator, Long, Method::POST, "/audit/archives/{startSeq}/restore", |m| on(m, archives::restore)),
    route(Operator, Prompt, Method::POST, "/audit/checkpoint", |m| on(m, checkpoints::take)),
    route(Reader, Prompt, Method::GET, "/audit/checkpoint/latest", |m| on(m, checkpoints::latest)),
    route(Reader, Prompt, Method::GET, "/audit/checkpoints/{size}", |m| on(m, checkpoints::of_size)),
    route(Reader, Prompt, Method::GET, "/audit/tenants/{slug}/checkpoint", |m| on(m, proofs::tenant)),
    route(Reader, Prompt, Method::GET, "/audit/keys", |m| on(m, keys::list)),
    route(Auditor, Prompt, Method::GET, "/audit/sources", |m| on(m, sources::health)),
    route(Signed, Upload, Method::POST, "/ingest/{source}", |m| on(m, sources::take)),
    route(Auditor, Prompt, Method::GET, "/tenants", |m| on(m, tenants::list)),
    route(Operator, Upload, Method::POST, "/tenants", |m| on(m, tenants::create)),
    route(Auditor, Prompt, Method::GET, "/tenants/{slug}", |m| on(m, tenants::get)),
    route(Operator, Upload, Method::PATCH, "/tenants/{slug}", |m| on(m, tenants::update)),
    route(Operator, Prompt, Method::DELETE, "/tenants/{slug}", |m| on(m, tenants::delete)),
    route(Operator, Prompt, Method::POST, "/tenants/{slug}/suspend", |m| on(m, tenants::suspend)),
    route(Operator, Prompt, Method::POST, "/tenants/{slug}/resume", |m| on(m, tenants::resume)),
    route(Auditor, Prompt, Method::GET, "/partners", |m| on(m, partners::list)),
    route(Operator, Upload, Method::POST, "/partners", |m| on(m, partners::create)),
    route(Auditor, Prompt, Method::GET, "/partners/{slug}", |m| on(m, partners::get)),
    route(Operator, Upload, Method::PATCH, "/partners/{slug}", |m| on(m, partners::update)),
    route(Operator, Prompt, Method::POST, "/partners/{slug}/terminate", |m| on(m, partners::terminate)),
    route(Auditor, Prompt, Method::GET, "/flags", |m| on(m, flags::list)),
    route(Operator, Upload, Method::POST, "/flags", |m| on(m, flags::create)),
    route(Auditor, Prompt, Method::GET, "/flags/{key}", |m| on(m, flags::get)),
    route(Operator, Upload, Method::PATCH, "/flags/{key}", |m| on(m, flags::update)),
    route(Operator, Prompt, Method::DELETE, "/flags/{key}", |m| on(m, flags::remove)),
    route(Auditor, Prompt, Method::GET, "/flags/{key}/history", |m| on(m, flags::history)),
    route(Auditor, Prompt, Method::GET, "/users", |m| on(m, users::list)),
    route(Operator, Upload, Method::POST, "/users", |m| on(m, users::link)),
    route(Auditor, Prompt, Method::GET, "/users/{id}", |m| on(m, users::get)),
    route(Operator, Upload, Method::PATCH, "/users/{id}", |m| on(m, users::update)),
    route(Operator, Prompt, Method::POST, "/users/{id}/deactivate", |m| on(m, users::deactivate)),
    route(Operator, Prompt, Method::GET, "/tokens", |m| on(m, tokens::list)),
    route(Operator, Upload, Method::POST, "/tokens", |m| on(m, tokens::create)),
    route(Operator, Prompt, Method::DELETE, "/tokens/{id}", |m| on(m, tokens::revoke)),
    route(Reader, Prompt, Method::GET, "/checkpoint", |m| on(m, tiles::checkpoint)),
    route(Reader, Prompt, Method::GET, "/tile/{*path}", |m| on(m, tiles::tile)),
    route(Auditor, Prompt, Method::GET, "/metrics", |m| on(m, metrics::show)),
    route(Public, Prompt, Method::GET, "/healthz", |m| on(m, health::alive)),
    route(Public, Prompt, Method::GET, "/readyz", |m| on(m, health::ready)),
    route(Public, Prompt, Method::GET, "/openapi.json", |m| on(m, openapi::document)),
];

const fn route(
    rule: Rule,
    pace: Pace,
    method: Method,
    path: &'static str,
    handler: fn(MethodFilter) -> MethodRouter<App>,
) -> Route {
    Route { rule, pace, method, path, handler }
}

/// Every page of the console, and what its forms and scripts send. Whoever comes without a session is led to the login.
pub const PAGES: &[Route] = &[
    route(Public, Prompt, Method::GET, "/login", |m| on(m, console::login::show)),
    route(Public, Upload, Method::POST, "/login", |m| on(m, console::login::begin)),
    route(Public, Prompt, Method::GET, "/login/oidc", |m| on(m, console::login::provider::leave)),
    route(Public, Prompt, Method::GET, "/login/oidc/callback", |m| on(m, console::login::provider::back)),
    route(Public, Prompt, Method::GET, "/assets/{name}", |m| on(m, console::asset)),
    route(Public, Prompt, Method::GET, "/docs/api", |m| on(m, console::reference::show)),
    route(Reader, Prompt, Method::POST, "/logout", |m| on(m, console::login::end)),
    route(Reader, Prompt, Method::GET, "/", |m| on(m, console::timeline::show)),
    route(Operator, Long, Method::POST, "/demonstration", |m| on(m, console::demonstration::load)),
    route(Reader, Prompt, Method::GET, "/events/{seq}", |m| on(m, console::event::show)),
    route(Reader, Long, Method::GET, "/live", |m| on(m, console::live::follow)),
    route(Reader, Prompt, Method::GET, "/export", |m| on(m, console::export::show)),
    route(Reader, Prompt, Method::GET, "/fragments/activity", |m| on(m, console::activity::show)),
    route(Reader, Prompt, Method::GET, "/trust", |m| on(m, console::trust::show)),
    route(Auditor, Long, Method::POST, "/trust/verify", |m| on(m, console::trust::verify)),
    route(Operator, Prompt, Method::POST, "/trust/checkpoint", |m| on(m, console::trust::checkpoint)),
    route(Auditor, Prompt, Method::GET, "/sources", |m| on(m, console::sources::show)),
    route(Auditor, Prompt, Method::GET, "/cold", |m| on(m, console::cold::show)),
    route(Operator, Long, Method::POST, "/cold/run", |m| on(m, console::cold::run)),
    route(Operator, Long, Method::POST, "/cold/{startSeq}/restore", |m| on(m, console::cold::restore)),
    route(Operator, Prompt, Method::GET, "/platform/{kind}", |m| on(m, console::platform::list)),
    route(Operator, Upload, Method::POST, "/platform/{kind}", |m| on(m, console::platform::create)),
    route(Operator, Prompt, Method::GET, "/platform/{kind}/{key}", |m| on(m, console::platform::show)),
    route(Operator, Upload, Method::POST, "/platform/{kind}/{key}/{deed}", |m| on(m, console::platform::change)),
];

/// All of [`ROUTES`] and [`PAGES`] behind their rules, and the layers around them.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    let routes = ROUTES.iter().map(|route| (route, Audience::Programs));
    for (route, audience) in routes.chain(PAGES.iter().map(|route| (route, Audience::People))) {
        let filter = MethodFilter::try_from(route.method.clone()).expect("a plain method");
        let handler = layers::admit((route.handler)(filter), &app, audience, route.rule, route.pace);
        router = router.route(route.path, handler);
    }
    layers::around(router, app)
}
