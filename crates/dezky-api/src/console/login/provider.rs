//! `/login/oidc`, `/login/oidc/callback`: to the identity provider, and back from it.
//!
//! Both are reached by links, so they need no script and carry nothing that changes anything by itself: what comes back is good
//! only in the browser that was sent ([`crate::session::Attempt`]), once, and while the provider says so. Whatever went wrong, the
//! login page says it in words of ours; what the provider said is in the server's log.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dezky_audit::Act;
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{LoginPage, opened, tell};
use crate::app::App;
use crate::caller::Caller;
use crate::console::page::{local, page_with, see};
use crate::layers::ClientAddress;
use crate::oidc::{LoginConfig, LoginError, Oidc, Returned};
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// What events call this way in.
const METHOD: &str = "oidc";

type Client = Option<Extension<ClientAddress>>;

/// The provider, where people can log in there.
pub(super) fn configured(app: &App) -> Option<(&Oidc, &LoginConfig)> {
    let login = app.config.login.as_ref().filter(|login| login.public_url.is_some())?;
    Some((app.config.oidc.as_ref()?, login))
}

/// To the identity provider, and from there to the page that was wanted.
pub(crate) async fn leave(State(app): State<App>, client: Client, parameters: Parameters) -> Result<Response, Problem> {
    let address = client.map(|Extension(ClientAddress(address))| address);
    address.map_or(Ok(()), |address| app.rates.address(address))?;
    let next = parameters.only("next")?;
    let next = local(next.as_deref());
    let Some((oidc, login)) = configured(&app) else { return see("/login") };
    let (attempt, cookie) = app.sessions.attempt(next, login.is_secure())?;
    match oidc.begin(login, &attempt).await {
        Ok(url) => {
            let mut response = see(&url)?;
            response.headers_mut().insert(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => not_let_in(&app, address, &error, next),
    }
}

/// Back from the identity provider, with a code that it takes once and from us only.
pub(crate) async fn back(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let address = client.map(|Extension(ClientAddress(address))| address);
    address.map_or(Ok(()), |address| app.rates.address(address))?;
    let Some((oidc, login)) = configured(&app) else { return see("/login") };
    let attempt = app.sessions.attempted(&headers);
    let next = attempt.as_ref().map_or("/", |attempt| &attempt.next).to_owned();
    let entered = match (attempt, returned(parameters)) {
        (Some(attempt), Some(returned)) => {
            let _place =
                app.logins.try_acquire().map_err(|_| Problem::new(Code::Overloaded, "many people are logging in now"))?;
            oidc.finish(login, &attempt, &returned).await
        }
        _ => Err(LoginError::Strange),
    };
    let mut response = match entered {
        Ok(principal) => {
            let caller = Caller::try_from(principal.clone()).map_err(|error| Problem::internal(&error))?;
            let session = opened(&app, principal, login.is_secure(), METHOD, address)?;
            tracing::info!(principal = &*caller.id, method = METHOD, "somebody signed in");
            tell(&app, Act::Login { method: METHOD }, &caller, &headers, address)?;
            let mut response = see(&next)?;
            response.headers_mut().append(SET_COOKIE, session);
            response
        }
        Err(error) => not_let_in(&app, address, &error, &next)?,
    };
    response.headers_mut().append(SET_COOKIE, app.sessions.end_attempt(login.is_secure())?);
    Ok(response)
}

/// The login page with what happened.
fn not_let_in(app: &App, address: Option<IpAddr>, error: &LoginError, next: &str) -> Result<Response, Problem> {
    let status = if let Some(why) = error.refusal() {
        app.refusals.login(address, METHOD, why);
        address.map_or(Ok(()), |address| app.rates.failure(address))?;
        StatusCode::FORBIDDEN
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    tracing::warn!(reason = %error, "a login was refused");
    let mut response = page_with(status, &LoginPage { refused: Some(error.advice()), ..LoginPage::of(app, next) })?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    Ok(response)
}

/// What the provider sent along; nothing where it is not clear. It may send more than is looked at.
fn returned(parameters: Parameters) -> Option<Returned> {
    let mut pairs = parameters.into_pairs();
    let mut take = |name: &str| {
        let at = pairs.iter().position(|(known, _)| known == name)?;
        Some(pairs.swap_remove(at).1)
    };
    let state = take("state")?;
    let returned = Returned {
        state,
        code: take("code"),
        error: take("error"),
        error_description: take("error_description"),
        issuer: take("iss"),
    };
    let again = ["state", "code", "error", "iss"].iter().any(|name| take(name).is_some());
    (!again).then_some(returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Option<Returned> {
        returned(Parameters::parse(query).unwrap())
    }

    #[test]
    fn what_comes_back_is_clear_or_nothing() {
        let good = read("session_state=x&code=c%2B1&state=s&iss=https%3A%2F%2Fsso.example.eu%2F").unwrap();
        assert_eq!((good.state.as_str(), good.code.as_deref(), good.error), ("s", Some("c+1"), None));
        assert_eq!(good.issuer.as_deref(), Some("https://sso.example.eu/"));
        let denied = read("error=access_denied&error_description=no&state=s").unwrap();
        assert_eq!((denied.error.as_deref(), denied.code), (Some("access_denied"), None));
        for unclear in ["", "code=c", "state=s&state=t&code=c", "state=s&code=c&code=d", "error=x&state=s&error=y"] {
            assert!(read(unclear).is_none(), "{unclear}");
        }
    }
}
