//! Who looks at a page.

use axum::extract::FromRequestParts;
use dezky_platform::Role;
use http::request::Parts;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::session::Session;

/// A caller, and what forms need who is here with a session.
pub(crate) struct Visitor {
    pub(crate) caller: Caller,
    /// The session's token; empty for whoever came with a bearer token, who needs none.
    pub(crate) csrf: String,
}

impl Visitor {
    pub(crate) fn is_operator(&self) -> bool {
        self.caller.role == Role::Operator
    }

    /// Whether the whole log is theirs to see.
    pub(crate) fn sees_all(&self) -> bool {
        matches!(self.caller.role, Role::Operator | Role::Auditor)
    }

    /// As a page calls them.
    pub(crate) fn name(&self) -> &str {
        let person = self.caller.person.as_ref();
        person.and_then(|person| person.name.as_deref().or(person.email.as_deref())).unwrap_or(&self.caller.id)
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let csrf = parts.extensions.get::<Session>().map(|session| session.csrf.clone()).unwrap_or_default();
        Ok(Self { caller, csrf })
    }
}
