//! Who is let in, how many at once, how often, and for how long.

use std::net::IpAddr;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use dezky_audit::{Act, ActBy, Clock as _, SystemClock};
use dezky_platform::PlatformError;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method};

use super::{ClientAddress, Peer};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::caller::{Caller, Principal};
use crate::client_address::UnclearAddress;
use crate::problem::{Code, Problem};
use crate::routes::{Pace, Rule};
use crate::session::{self, Session};
use crate::{authentication, console, denials};

/// The most characters of a query that an event tells.
const MAX_QUERY: usize = 1_000;

/// Who is meant to use a route: whoever comes without credentials is told so, or led to the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Programs,
    People,
}

/// What one route asks of its requests.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) app: App,
    pub(super) audience: Audience,
    pub(super) rule: Rule,
    pub(super) pace: Pace,
}

pub(super) async fn admitted(
    State(Admission { app, audience, rule, pace }): State<Admission>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let limits = &app.config.limits;
    let _place = match rule {
        // Whether the server lives must be told under load too.
        Rule::Public => None,
        // The handler checks the signature over the body as it comes.
        Rule::Signed => {
            clear_address(request.extensions())?;
            Some(app.requests.try_acquire().map_err(|_| full(limits.requests))?)
        }
        Rule::Recorder | Rule::Reader | Rule::Auditor | Rule::Operator => {
            let session = session_of(&app, request.headers()).await?;
            if let Some(session) = &session {
                request = session::guarded(request, session).await?;
            } else if audience == Audience::People && !request.headers().contains_key(AUTHORIZATION) {
                return console::to_login(&request);
            }
            let (parts, body) = request.into_parts();
            let caller = let_in(&app, rule, &parts, session.as_ref()).await?;
            request = Request::from_parts(parts, body);
            if let Some(session) = session {
                request.extensions_mut().insert(session);
            }
            request.extensions_mut().insert(caller);
            Some(app.requests.try_acquire().map_err(|_| full(limits.requests))?)
        }
    };
    let (mut parts, body) = request.into_parts();
    readable_path(&mut parts).await?;
    let request = Request::from_parts(parts, body);
    let viewing = viewing(&app, rule, &request);
    let time = match pace {
        Pace::Prompt => Some(limits.answer_time),
        Pace::Upload => Some(limits.body_time + limits.answer_time),
        Pace::Long => None,
    };
    let response = match time {
        Some(time) => {
            let late = |_| Problem::new(Code::TimedOut, format!("there was no answer after {} s", time.as_secs()));
            tokio::time::timeout(time, next.run(request)).await.map_err(late)?
        }
        None => next.run(request).await,
    };
    if let Some((act, by)) = viewing.filter(|_| response.status().is_success()) {
        drop(app.log.record_act(act, by));
    }
    Ok(response)
}

/// The caller, if the rule admits them, and they do not ask too often.
async fn let_in(app: &App, rule: Rule, request: &Parts, session: Option<&Session>) -> Result<Caller, Problem> {
    let address = clear_address(&request.extensions)?;
    let counted = rule != Rule::Recorder;
    if let Some(address) = address.filter(|_| counted) {
        app.rates.address(address)?;
    }
    let peer = request.extensions.get().map(|Peer(address)| *address);
    let caller = match session {
        Some(session) => Caller::try_from(session.principal.clone()).map_err(|error| Problem::internal(&error))?,
        None => authentication::caller(app, &request.headers, peer).await.map_err(|problem| failed(app, address, problem))?,
    };
    if counted {
        app.rates.caller(&caller.id)?;
    }
    if !rule.admits(caller.role) {
        let acting = OnBehalf::itself(&caller, &request.headers, address)?;
        let route = request.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        denials::tell(app, &caller, acting, &request.method, route, request.uri.path());
        return Err(Problem::new(Code::Forbidden, format!("the role {} may not do this", caller.role.as_str())));
    }
    Ok(caller)
}

/// A path whose segments can be read; the handlers' own refusal would be no problem document.
async fn readable_path(parts: &mut Parts) -> Result<(), Problem> {
    match RawPathParams::from_request_parts(parts, &()).await {
        Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => {
            Err(Problem::new(Code::InvalidParameter, "a segment of the path is not UTF-8"))
        }
        _ => Ok(()),
    }
}

/// Where the request came from, `None` where nobody knows; refused where proxies say unclear things about it.
fn clear_address(extensions: &Extensions) -> Result<Option<IpAddr>, Problem> {
    if let Some(unclear) = extensions.get::<UnclearAddress>() {
        return Err(Problem::new(Code::InvalidParameter, format!("it is not clear where this request came from: {unclear}")));
    }
    Ok(extensions.get().map(|ClientAddress(address)| *address))
}

/// Counts a token that was not accepted; the reason goes to the server's log, as long as there are not too many.
fn failed(app: &App, address: Option<IpAddr>, problem: Problem) -> Problem {
    if problem.token_refused().is_none() {
        return problem;
    }
    app.refusals.note(address);
    if let Some(Err(too_many)) = address.map(|address| app.rates.failure(address)) {
        return too_many;
    }
    tracing::info!(reason = problem.told_to_the_log(), "a token was not accepted");
    problem
}

/// What is recorded if a person gets to see what they asked for.
fn viewing(app: &App, rule: Rule, request: &Request) -> Option<(Act, ActBy)> {
    let caller = request.extensions().get::<Caller>().filter(|caller| caller.person.is_some())?;
    if !app.config.record_views || rule != Rule::Reader || request.method() != Method::GET {
        return None;
    }
    let address = request.extensions().get().map(|ClientAddress(address)| *address);
    let acting = OnBehalf::itself(caller, request.headers(), address).ok()?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let query: String = request.uri().query().unwrap_or_default().chars().take(MAX_QUERY).collect();
    let act = match route {
        "/audit/export" => Act::Exported { query },
        _ => Act::Viewed { route: request.uri().path().chars().take(MAX_QUERY).collect(), query },
    };
    // Who looked at a tenant's events is told on that tenant's timeline, where it is one only.
    let tenant = caller.only_tenant();
    let by = ActBy { actor_type: acting.actor_type, actor: Some(acting.actor), client: Some(acting.client), tenant };
    Some((act, by))
}

/// The session of a request's browser, unless the request has an `Authorization` header, which goes first.
async fn session_of(app: &App, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    match app.sessions.find(headers) {
        Some(session) if stands(app, &session.principal).await? => Ok(Some(session)),
        _ => Ok(None),
    }
}

/// Whether what a session was opened with is still good: a revoked token ends the sessions that it opened.
async fn stands(app: &App, principal: &Principal) -> Result<bool, Problem> {
    let Some(id) = principal.id.strip_prefix("token:") else { return Ok(true) };
    match app.platform.tokens().get(id).await {
        Ok(token) => Ok(token.value.is_active(SystemClock.now())),
        Err(PlatformError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn full(requests: usize) -> Problem {
    Problem::new(Code::Overloaded, format!("{requests} requests are being answered"))
}
