//! Who asks.

use axum::extract::FromRequestParts;
use dezky_audit::Scope;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::credentials::Credentials;
use crate::problem::{Code, Problem};

/// Somebody who was let in, and what exists for them. Only [`crate::layers`] makes one, so a handler that takes a `Caller`
/// cannot be reached without.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// A stable name without line feeds; no secret.
    pub(crate) id: &'static str,
    pub(crate) scope: Scope,
}

impl Caller {
    /// The operator, if the request carries the operator's token.
    pub(crate) fn operator(headers: &HeaderMap, credentials: &Credentials) -> Result<Self, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::new(Code::Unauthorized, "this needs the operator's token"));
        };
        let token = value.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        match token {
            Some((_, token)) if credentials.operator_token.matches(token.trim_ascii()) => {
                Ok(Self { id: "operator", scope: Scope::All })
            }
            Some(_) => Err(Problem::new(Code::Unauthorized, "this is not the operator's token")),
            None => Err(Problem::new(Code::Unauthorized, "this needs the operator's token as a bearer token")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(Code::Internal, "a route without a caller asks who is calling");
        parts.extensions.get().cloned().ok_or_else(unknown)
    }
}
