//! From a request's credentials to its caller.

use std::net::IpAddr;

use dezky_platform::{Token, TokenRefusal};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::app::App;
use crate::caller::{Caller, Principal};
use crate::config::BootstrapToken;
use crate::oidc::OidcError;
use crate::problem::{Code, Problem};
use crate::refusals::Why;

/// The caller, by the bearer token (RFC 6750, section 2.1) in the request's only `Authorization` header. `peer` is the address at
/// the other end of the socket.
///
/// Whoever sends a token that is not accepted is told just that; why is the problem's cause, for the server's log.
///
/// # Errors
/// `Unauthorized`.
pub(crate) async fn caller(app: &App, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Problem::new(Code::Unauthorized, "this needs a token")),
        (Some(_), Some(_)) => return Err(Problem::new(Code::Unauthorized, "there are two Authorization headers")),
        (Some(value), None) => value.as_bytes(),
    };
    let bearer = value.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let (_, token) = bearer.ok_or_else(|| Problem::new(Code::Unauthorized, "this needs a bearer token"))?;
    let principal = principal(app, token.trim_ascii(), peer).await?;
    Caller::try_from(principal).map_err(|error| Problem::internal(&error))
}

async fn principal(app: &App, token: &[u8], peer: Option<IpAddr>) -> Result<Principal, Problem> {
    if app.credentials.operator_token.matches(token) {
        return bootstrap(app.config.bootstrap_token, peer);
    }
    // Tokens of services hold no dot, signed ones hold two.
    if let (Some(oidc), true, Ok(token)) = (&app.config.oidc, token.contains(&b'.'), str::from_utf8(token)) {
        return oidc.principal(token).await.map_err(|error| match error {
            OidcError::Refused(reason) => refused(Why::BadIdentity, &reason),
            error @ OidcError::NoRole { .. } => {
                Problem::new(Code::Forbidden, "none of your groups has a role here").cause(&error)
            }
            OidcError::NoKeys { .. } => {
                Problem::new(Code::IssuerUnavailable, "the issuer of the token cannot be asked for its keys now").cause(&error)
            }
        });
    }
    match app.platform.tokens().accepted(token).await? {
        Ok(token) => Ok(service(&token)),
        Err(refusal) => {
            let why = match refusal {
                TokenRefusal::Malformed | TokenRefusal::Unknown | TokenRefusal::WrongSecret => Why::Unknown,
                TokenRefusal::Expired => Why::Expired,
                TokenRefusal::Revoked => Why::Revoked,
            };
            Err(refused(why, &refusal.to_string()))
        }
    }
}

fn service(token: &Token) -> Principal {
    let Token { role, tenants, source, .. } = token.clone();
    Principal { id: format!("token:{}", token.id), role, tenants, source, person: None }
}

fn bootstrap(accepted: BootstrapToken, peer: Option<IpAddr>) -> Result<Principal, Problem> {
    match accepted {
        BootstrapToken::Anywhere => Ok(Principal::operator()),
        BootstrapToken::Loopback if peer.is_some_and(|peer| peer.to_canonical().is_loopback()) => Ok(Principal::operator()),
        BootstrapToken::Loopback => {
            Err(refused(Why::NotFromHere, "the operator's token is taken from this machine only (http.bootstrap_token)"))
        }
        BootstrapToken::Off => Err(refused(Why::NotFromHere, "the operator's token is switched off (http.bootstrap_token)")),
    }
}

/// The same for everybody; `reason` is for the server's log.
fn refused(why: Why, reason: &str) -> Problem {
    Problem::new(Code::Unauthorized, "the token was not accepted").with_token(why).because(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_token_is_taken_from_where_the_setting_says() {
        let ok = |accepted, peer: &str| bootstrap(accepted, peer.parse().ok()).is_ok();
        for local in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(ok(BootstrapToken::Loopback, local), "{local}");
            assert!(ok(BootstrapToken::Anywhere, local), "{local}");
            assert!(!ok(BootstrapToken::Off, local), "{local}");
        }
        for far in ["10.0.0.1", "2001:db8::1", ""] {
            assert!(!ok(BootstrapToken::Loopback, far), "{far}");
            assert!(ok(BootstrapToken::Anywhere, far), "{far}");
        }
    }
}
