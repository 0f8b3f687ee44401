//! Who asks, and what exists for them.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use dezky_audit::Scope;
use dezky_audit_core::ids::{InvalidId, Source, TenantSlug};
use dezky_platform::Role;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};

/// Somebody who was let in. Only [`crate::layers`] puts one into a request, so a handler that takes a `Caller` cannot be
/// reached without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// A stable name without line feeds; no secret: `operator`, `token:<id>`, `oidc:<subject>`.
    pub(crate) id: Arc<str>,
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    /// The only source that a recorder may name.
    pub(crate) source: Option<Source>,
    /// The human being, where it is one.
    pub(crate) person: Option<Person>,
}

/// A human being as the identity provider names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// A caller as plain data: what a token's record, an identity provider or a session says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Principal {
    pub(crate) id: String,
    pub(crate) role: Role,
    /// Slugs, of a tenant auditor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tenants: Vec<String>,
    /// Of a recorder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<Person>,
}

impl Principal {
    /// The holder of the operator's token.
    pub(crate) fn operator() -> Self {
        Self { id: OPERATOR.to_owned(), role: Role::Operator, tenants: Vec::new(), source: None, person: None }
    }
}

const OPERATOR: &str = "operator";

impl Caller {
    /// Whether this is the operator's token, or a service's with the operator's role: such a caller may say for whom it acts.
    pub(crate) fn may_name_actors(&self) -> bool {
        self.role == Role::Operator && self.person.is_none()
    }

    /// The one tenant whose events they see, on whose timeline belongs what they do with them.
    pub(crate) fn only_tenant(&self) -> Option<TenantSlug> {
        match &self.scope {
            Scope::Tenants(tenants) if tenants.len() == 1 => tenants.first().cloned(),
            _ => None,
        }
    }

    /// Whether this is a service with a token of its own.
    pub(crate) fn is_service(&self) -> bool {
        self.person.is_none() && &*self.id != OPERATOR
    }
}

impl From<&Caller> for Principal {
    fn from(caller: &Caller) -> Self {
        let tenants = match &caller.scope {
            Scope::Tenants(tenants) => tenants.iter().map(ToString::to_string).collect(),
            Scope::All => Vec::new(),
        };
        let source = caller.source.as_ref().map(ToString::to_string);
        Self { id: caller.id.to_string(), role: caller.role, tenants, source, person: caller.person.clone() }
    }
}

impl TryFrom<Principal> for Caller {
    type Error = InvalidId;

    /// Whoever is bound to tenants or to a source sees and says nothing else; without any they see and say nothing.
    fn try_from(principal: Principal) -> Result<Self, InvalidId> {
        let Principal { id, role, tenants, source, person } = principal;
        if id.chars().any(char::is_control) {
            return Err(InvalidId { expected: "a name without control characters" });
        }
        let scope = match role {
            Role::Operator | Role::Auditor => Scope::All,
            Role::TenantAuditor => Scope::Tenants(tenants.into_iter().map(TenantSlug::new).collect::<Result<_, _>>()?),
            Role::Recorder => Scope::Tenants(std::collections::BTreeSet::new()),
        };
        let source = match (role, source) {
            (Role::Recorder, None) => return Err(InvalidId { expected: "a source, which a recorder has" }),
            (Role::Recorder, Some(source)) => Some(Source::new(source)?),
            _ => None,
        };
        Ok(Self { id: id.into(), role, scope, source, person })
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(Code::Internal, "a route without a caller asks who is calling");
        parts.extensions.get().cloned().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: Role, tenants: &[&str], source: Option<&str>) -> Principal {
        let tenants = tenants.iter().map(|slug| (*slug).to_owned()).collect();
        Principal { id: "x".to_owned(), role, tenants, source: source.map(str::to_owned), person: None }
    }

    #[test]
    fn a_role_bounds_what_exists() {
        let caller = |role, tenants: &[&str], source| Caller::try_from(principal(role, tenants, source));
        assert_eq!(caller(Role::Auditor, &["acme"], Some("x")).unwrap().scope, Scope::All);
        let tenant = caller(Role::TenantAuditor, &["acme"], None).unwrap();
        assert!(tenant.scope.admits(Some("acme")) && !tenant.scope.admits(Some("globex")) && !tenant.scope.admits(None));
        assert!(!caller(Role::TenantAuditor, &[], None).unwrap().scope.admits(Some("acme")));
        assert!(caller(Role::TenantAuditor, &["Not A Slug"], None).is_err());
        let recorder = caller(Role::Recorder, &["acme"], Some("billing")).unwrap();
        assert!(!recorder.scope.admits(Some("acme")));
        assert_eq!(recorder.source.unwrap().as_str(), "billing");
        assert!(caller(Role::Recorder, &[], None).is_err());
        let broken = Principal { id: "a\nb".to_owned(), ..Principal::operator() };
        assert!(Caller::try_from(broken).is_err());
    }

    #[test]
    fn a_principal_is_read_back_as_it_was_written() {
        let person = Person { id: "37".to_owned(), email: Some("ann@acme.dk".to_owned()), name: None };
        let principal = Principal { person: Some(person), ..principal(Role::TenantAuditor, &["acme"], None) };
        let text = serde_json::to_string(&principal).unwrap();
        assert_eq!(text, r#"{"id":"x","role":"tenant-auditor","tenants":["acme"],"person":{"id":"37","email":"ann@acme.dk"}}"#);
        assert_eq!(serde_json::from_str::<Principal>(&text).unwrap(), principal);
    }
}
