//! `/login`, `/logout`: how a session begins and ends.
//!
//! A session begins with a token, or with the code that `platform-api serve` prints: good once, for ten minutes, and from this
//! machine only. The code comes in the fragment of the printed link, which no browser sends to a server and no proxy logs; a
//! small script posts it.

use std::net::IpAddr;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dezky_platform::Role;
use http::header::{AUTHORIZATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::assets;
use super::form::Form;
use super::page::{local, page_with, see};
use crate::app::App;
use crate::authentication;
use crate::caller::{Caller, Principal};
use crate::layers::{ClientAddress, Peer, failed};
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};
use crate::session::{INVITATION_TIME, Session, same_origin};

/// What tells that somebody else stands between a browser and this machine.
const FORWARDING: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    refused: Option<&'a str>,
    minutes: u64,
}

fn shown(status: StatusCode, next: &str, refused: Option<&str>) -> Result<Response, Problem> {
    page_with(status, &LoginPage { next, refused, minutes: INVITATION_TIME.as_secs() / 60 })
}

pub(crate) async fn show(State(app): State<App>, headers: HeaderMap, parameters: Parameters) -> Result<Response, Problem> {
    let next = parameters.only("next")?;
    let next = local(next.as_deref());
    if app.sessions.find(&headers).is_some() { see(next) } else { shown(StatusCode::OK, next, None) }
}

/// Takes a code or a token, in one field.
pub(crate) async fn begin(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    same_origin(&headers)?;
    let next = local(form.get("next"));
    let secret = form.get("secret").unwrap_or_default();
    let is_here = peer.to_canonical().is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name));
    let principal = if is_here && app.sessions.redeem(secret) {
        Ok(Principal::operator())
    } else {
        by_token(&app, secret, peer, client.map(|Extension(ClientAddress(address))| address)).await
    };
    match principal {
        Ok(principal) => {
            tell(&principal.id, None);
            // Only a page that came by TLS has such an origin.
            let secure = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
            let cookie = app.sessions.open(principal, secure)?;
            let mut response = see(next)?;
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(problem) if matches!(problem.code(), Code::Unauthorized | Code::Forbidden) => {
            tell("", Some(problem.told_to_the_log()));
            let reason = "That was not accepted. A printed code is good once, for ten minutes, and in a browser on the same \
                          machine; otherwise paste the operator’s token.";
            shown(problem.code().status(), next, Some(reason))
        }
        Err(problem) => Err(problem),
    }
}

/// Whoever a token stands for, if they may read.
async fn by_token(app: &App, token: &str, peer: IpAddr, address: Option<IpAddr>) -> Result<Principal, Problem> {
    let unreadable = |_| Problem::new(Code::Unauthorized, "the token has characters that none has");
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).map_err(unreadable)?);
    let caller = authentication::caller(app, &headers, Some(peer)).await.map_err(|problem| failed(app, address, problem))?;
    if caller.role == Role::Recorder {
        return Err(Problem::new(Code::Forbidden, "a recorder reads nothing"));
    }
    Ok(Principal::from(&caller))
}

/// Ends the session in this browser.
pub(crate) async fn end(State(app): State<App>, _: Caller, session: Option<Extension<Session>>) -> Result<Response, Problem> {
    let mut response = see("/login")?;
    if let Some(Extension(session)) = session {
        response.headers_mut().insert(SET_COOKIE, app.sessions.end(&session)?);
    }
    Ok(response)
}

/// Where every login and every refused one is told.
fn tell(principal: &str, refused: Option<&str>) {
    match refused {
        None => tracing::info!(principal, "somebody signed in"),
        Some(reason) => tracing::warn!(reason, "a login was refused"),
    }
}
