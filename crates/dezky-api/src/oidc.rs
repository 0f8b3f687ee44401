//! People, as an OpenID Connect issuer names them: bearer tokens that it signed (RFC 7519), and what its groups may do here.
//!
//! A token is accepted when it names this issuer and this service's audience, its times hold, and a key that the issuer publishes
//! has signed it with one of the algorithms in [`jws`]. Everything else is refused alike; the reason is told to the server's log.
//! What ends a [`login`] is checked in the same way.

mod claims;
mod discovery;
mod jws;
mod keys;
mod login;
mod roles;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{Clock as _, SystemClock};

use crate::caller::{Person, Principal};
use crate::outgoing::{Outgoing, may_be_asked};
use claims::{Claims, Expected};
use jws::Jws;
use keys::Keys;
pub use login::LoginConfig;
pub(crate) use login::{LoginError, Returned};
pub use roles::{InvalidRoles, RoleMap};

/// Whom to believe, and what to make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// Exactly as the issuer writes itself, `https` unless it is on this machine.
    pub issuer: String,
    /// What tokens for this service name as their audience: with Authentik, the provider's client id.
    pub audience: String,
    /// The claim that lists a person's groups.
    pub roles_claim: String,
    pub roles: RoleMap,
    /// How far the issuer's clock may be off.
    pub clock_skew: Duration,
    /// How far readings of the issuer's keys are apart at least.
    pub refetch: Duration,
    /// How long one reading may take.
    pub patience: Duration,
}

/// An issuer that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIssuer {
    #[error("the issuer is no https:// address (http:// only on this machine), or has a query")]
    Address,
    #[error("the system's certificate authorities cannot be read; install ca-certificates")]
    Certificates(#[source] std::io::Error),
}

/// An issuer, and its keys as far as they are known. Clones are the same.
#[derive(Clone)]
pub struct Oidc(Arc<Inner>);

struct Inner {
    config: OidcConfig,
    keys: Keys,
    outgoing: Outgoing,
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oidc").field(&self.0.config.issuer).finish()
    }
}

/// Why a token gives no caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// It is not accepted; the reason is for the server's log.
    #[error("{0}")]
    Refused(String),
    /// The issuer's keys were never read.
    #[error("the issuer's keys are not known: {reason}")]
    NoKeys { reason: String },
    /// The token is good, and none of its groups has a role here.
    #[error("none of the groups of '{subject}' has a role here")]
    NoRole { subject: String },
}

impl Oidc {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// See [`InvalidIssuer`].
    pub fn new(config: OidcConfig) -> Result<Self, InvalidIssuer> {
        let uri = config.issuer.parse().ok().filter(may_be_asked).filter(|uri| uri.query().is_none());
        if uri.is_none() || config.issuer.contains('#') {
            return Err(InvalidIssuer::Address);
        }
        let outgoing = Outgoing::new().map_err(InvalidIssuer::Certificates)?;
        let keys = Keys::new(&config, outgoing.clone());
        Ok(Self(Arc::new(Inner { config, keys, outgoing })))
    }

    /// The person whom a token names.
    pub(crate) async fn principal(&self, token: &str) -> Result<Principal, OidcError> {
        self.of_token(token, &self.0.config.audience, None).await
    }

    /// The same of a token for this audience and, where it ends a login, of this nonce.
    async fn of_token(&self, token: &str, audience: &str, nonce: Option<&str>) -> Result<Principal, OidcError> {
        let Inner { config, keys, .. } = &*self.0;
        let jws = Jws::read(token).map_err(|error| OidcError::Refused(error.to_string()))?;
        let key = keys.of(&jws).await?;
        let claims = jws.verified(&key).map_err(|error| OidcError::Refused(error.to_string()))?;
        let claims = Claims::read(claims).map_err(|error| OidcError::Refused(error.to_string()))?;
        let now = SystemClock.now().unix_ms() / 1_000;
        let expected = Expected { issuer: &config.issuer, audience, clock_skew: config.clock_skew, nonce };
        claims.check(expected, now).map_err(|error| OidcError::Refused(error.to_string()))?;
        let granted = config.roles.granted(claims.texts(&config.roles_claim));
        let no_role = || OidcError::NoRole { subject: claims.subject.clone() };
        let (role, tenants) = granted.ok_or_else(no_role)?;
        let person = Person { id: claims.subject.clone(), email: claims.email(), name: claims.name() };
        Ok(Principal { id: format!("oidc:{}", claims.subject), role, tenants, source: None, person: Some(person) })
    }
}
