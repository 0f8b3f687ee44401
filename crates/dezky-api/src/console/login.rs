//! `/login`, `/logout`: how a session begins and ends.
//!
//! A session begins at the identity provider ([`provider`]), with a token, or with the code that `platform-api serve` prints:
//! good once, for ten minutes, and from this
//! machine only. The code comes in the fragment of the printed link, which no browser sends to a server and no proxy logs; a
//! small script posts it.
//!
//! Who signed in or out, how and from where, is an event, and so is who was not let in ([`crate::refusals`]).

pub(crate) mod provider;

use std::net::IpAddr;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dezky_audit::{Act, ActBy};
use dezky_platform::{Acting, Role};
use http::header::{AUTHORIZATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::assets;
use super::form::Form;
use super::page::{encoded, local, page_with, see};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::authentication;
use crate::caller::{Caller, Principal};
use crate::layers::{ClientAddress, Peer};
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};
use crate::refusals::Why;
use crate::session::{INVITATION_TIME, Redeemed, Session, same_origin};

/// What tells that somebody else stands between a browser and this machine.
const FORWARDING: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    refused: Option<&'a str>,
    minutes: u64,
    /// The host of the identity provider, where people can log in there, and the way to it.
    provider: Option<&'a str>,
    to_provider: String,
    /// Where to end the session at the identity provider, for whoever has ended theirs here.
    elsewhere: Option<String>,
}

impl LoginPage<'_> {
    fn of<'a>(app: &'a App, next: &'a str) -> LoginPage<'a> {
        LoginPage {
            next,
            refused: None,
            minutes: INVITATION_TIME.as_secs() / 60,
            provider: provider::configured(app).map(|(oidc, _)| oidc.host()),
            to_provider: format!("/login/oidc?next={}", encoded(next)),
            elsewhere: None,
        }
    }
}

pub(crate) async fn show(State(app): State<App>, headers: HeaderMap, parameters: Parameters) -> Result<Response, Problem> {
    let [next, left] = parameters.each(["next", "left"])?;
    let next = local(next.as_deref());
    if app.sessions.find(&headers).is_some() {
        return see(next);
    }
    let elsewhere = left.and_then(|_| provider::configured(&app).and_then(|(oidc, login)| oidc.end_session(login)));
    page_with(StatusCode::OK, &LoginPage { elsewhere, ..LoginPage::of(&app, next) })
}

/// Takes a code or a token, in one field.
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    let address = client.map(|Extension(ClientAddress(address))| address);
    same_origin(&headers).inspect_err(|_| app.refusals.login(address, "form", Why::OtherSite))?;
    let next = local(form.get("next"));
    let secret = form.get("secret").unwrap_or_default();
    let is_here = peer.to_canonical().is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name));
    let code_refused = |why| Problem::new(Code::Unauthorized, "the printed code was not accepted").with_token(why);
    let (method, entered) = match app.sessions.redeem(secret, is_here) {
        Redeemed::Good => ("code", Caller::try_from(Principal::operator()).map_err(|error| Problem::internal(&error))),
        Redeemed::Over => ("code", Err(code_refused(Why::CodeOver))),
        Redeemed::NotFromHere => ("code", Err(code_refused(Why::NotFromHere))),
        Redeemed::NoCode => ("token", by_token(&app, secret, peer).await),
    };
    match entered {
        Ok(caller) => {
            // Only a page that came by TLS has such an origin.
            let secure = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            let cookie = opened(&app, Principal::from(&caller), secure, method, address)?;
            tracing::info!(principal = &*caller.id, method, "somebody signed in");
            tell(&app, Act::Login { method }, &caller, &headers, address)?;
            let mut response = see(next)?;
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(problem) if matches!(problem.code(), Code::Unauthorized | Code::Forbidden) => {
            let unsaid = if problem.code() == Code::Forbidden { Why::NoRole } else { Why::Unknown };
            app.refusals.login(address, method, problem.token_refused().unwrap_or(unsaid));
            address.map_or(Ok(()), |address| app.rates.failure(address))?;
            tracing::warn!(reason = problem.told_to_the_log(), "a login was refused");
            let reason = "That was not accepted. A printed code is good once, for ten minutes, and in a browser on the same \
                          machine; otherwise paste the operator’s token.";
            page_with(problem.code().status(), &LoginPage { refused: Some(reason), ..LoginPage::of(&app, next) })
        }
        Err(problem) => Err(problem),
    }
}

/// A session for whoever was let in, as the value of `Set-Cookie`.
fn opened(
    app: &App,
    principal: Principal,
    secure: bool,
    method: &'static str,
    address: Option<IpAddr>,
) -> Result<HeaderValue, Problem> {
    app.sessions.open(principal, secure).inspect_err(|problem| {
        if problem.code() == Code::NotPossible {
            app.refusals.login(address, method, Why::TooManyTenants);
        }
    })
}

/// Whoever a token stands for, if they may read.
async fn by_token(app: &App, token: &str, peer: IpAddr) -> Result<Caller, Problem> {
    let unreadable = |_| Problem::new(Code::Unauthorized, "the token has characters that none has");
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).map_err(unreadable)?);
    let caller = authentication::caller(app, &headers, Some(peer)).await?;
    if caller.role == Role::Recorder {
        return Err(Problem::new(Code::Forbidden, "a recorder reads nothing"));
    }
    Ok(caller)
}

/// Ends the session in this browser.
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    session: Option<Extension<Session>>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Whoever came from the identity provider is told that they are still known there.
    let from_provider = caller.id.starts_with("oidc:");
    let mut response = see(if from_provider { "/login?left=provider" } else { "/login" })?;
    if let Some(Extension(session)) = session {
        response.headers_mut().insert(SET_COOKIE, app.sessions.end(&session)?);
        tell(&app, Act::Logout, &caller, &headers, client.map(|Extension(ClientAddress(address))| address))?;
    }
    Ok(response)
}

/// Records it, on the timeline of the tenant that this is all about, if there is one. Nobody waits for it.
fn tell(app: &App, act: Act, caller: &Caller, headers: &HeaderMap, address: Option<IpAddr>) -> Result<(), Problem> {
    let Acting { actor_type, actor, client } = OnBehalf::itself(caller, headers, address)?;
    let by = ActBy { actor_type, actor: Some(actor), client: Some(client), tenant: caller.only_tenant() };
    drop(app.log.record_act(act, by));
    Ok(())
}
