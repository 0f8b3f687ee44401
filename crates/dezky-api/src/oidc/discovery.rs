//! What an issuer says about itself (OpenID Connect Discovery 1.0, section 4).

use serde::Deserialize;

use crate::outgoing::{Outgoing, OutgoingError};

/// The addresses that are needed here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Discovered {
    issuer: String,
    pub(super) jwks_uri: String,
    /// What logging in and out needs.
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    /// OpenID Connect RP-Initiated Logout 1.0, section 2.1.
    pub(super) end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("{url}")]
    Outgoing {
        url: String,
        #[source]
        source: OutgoingError,
    },
    #[error("{url} is no OpenID configuration")]
    Form {
        url: String,
        #[source]
        source: serde_json::Error,
    },
    /// To be believed, an issuer must be the one that was asked (section 4.3).
    #[error("{url} is of the issuer '{named}'; set oidc.issuer to exactly that, if that is meant")]
    OtherIssuer { url: String, named: String },
}

impl Discovered {
    /// Whether the token endpoint takes a client's secret in the body only. What is not said is `client_secret_basic`.
    pub(super) fn wants_secret_in_body(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|known| known == method);
        takes("client_secret_post") && !takes("client_secret_basic")
    }

    pub(super) async fn read(outgoing: &Outgoing, issuer: &str) -> Result<Self, DiscoveryError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
        let body = match outgoing.get(&url).await {
            Ok(body) => body,
            Err(source) => return Err(DiscoveryError::Outgoing { url, source }),
        };
        match serde_json::from_slice::<Self>(&body) {
            Ok(discovered) if discovered.issuer == issuer => Ok(discovered),
            Ok(discovered) => Err(DiscoveryError::OtherIssuer { url, named: discovered.issuer.chars().take(200).collect() }),
            Err(source) => Err(DiscoveryError::Form { url, source }),
        }
    }
}
