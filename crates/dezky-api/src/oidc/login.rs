//! Logging people in at the issuer: the authorisation code flow (RFC 6749, section 4.1; OpenID Connect Core 1.0, section 3.1)
//! with PKCE (RFC 7636, always S256).
//!
//! Requests to the issuer go through [`crate::outgoing`], with its limits. The identity token is checked as every bearer token is,
//! and for this login's nonce and this client. The access token is not looked at: nothing is asked of the issuer in a person's name.

use std::fmt;

use bytes::Bytes;
use dezky_audit::chain;
use http_body_util::Full;
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::url::Url;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::discovery::Discovered;
use super::{Oidc, OidcError};
use crate::caller::Principal;
use crate::outgoing::{Outgoing, OutgoingError, may_be_asked};
use crate::refusals::Why;
use crate::session::Attempt;

/// Where the issuer sends people back to, below [`LoginConfig::public_url`].
const RETURN_PATH: &str = "/login/oidc/callback";
/// The most characters of what an issuer says about a failure.
const MAX_SAID: usize = 200;

/// What logging people in takes beside what tokens take.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginConfig {
    /// What this service is called by the issuer.
    pub client_id: String,
    /// `None`: a public client, which PKCE alone protects.
    pub client_secret: Option<Zeroizing<String>>,
    /// Where browsers find this service, such as `https://audit.example.eu`, without a slash at its end. `None`: where it
    /// listens; whoever binds the socket says so by [`LoginConfig::listening_at`], and until then nobody logs in.
    pub public_url: Option<String>,
    /// Beside `openid`.
    pub scopes: Vec<String>,
}

impl LoginConfig {
    /// Where the service listens, which is where browsers find it if nothing else was configured.
    pub fn listening_at(&mut self, url: &str) {
        self.public_url.get_or_insert_with(|| url.to_owned());
    }

    /// Whether browsers come by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }
}

impl fmt::Debug for LoginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginConfig")
            .field("client_id", &self.client_id)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// What a browser brings back from the issuer.
#[derive(Default)]
pub(crate) struct Returned {
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    /// RFC 6749, section 4.1.2.1.
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
    /// Who says so (RFC 9207).
    pub(crate) issuer: Option<String>,
}

/// Why somebody was not logged in. The texts are for the server's log; [`LoginError::advice`] is for whoever tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("this browser has begun no login that this would be the end of")]
    Strange,
    #[error("the issuer did not let them in: {0}")]
    Denied(String),
    #[error("the issuer had a failure: {0}")]
    Failing(String),
    #[error("the issuer does not take what this service asks: {0}")]
    Misfit(String),
    #[error("the issuer does not take the code: {0}")]
    Code(String),
    #[error("the identity token is not accepted: {0}")]
    Token(String),
    #[error("{0}")]
    NoRole(String),
    #[error("the issuer cannot be asked: {0}")]
    Away(String),
}

impl LoginError {
    /// Why somebody was refused, where that is what happened, rather than something out of order.
    pub(crate) const fn refusal(&self) -> Option<Why> {
        match self {
            Self::Strange => Some(Why::NotBegun),
            Self::Denied(_) => Some(Why::DeniedByIssuer),
            Self::Code(_) => Some(Why::CodeNotTaken),
            Self::Token(_) => Some(Why::BadIdentity),
            Self::NoRole(_) => Some(Why::NoRole),
            Self::Failing(_) | Self::Misfit(_) | Self::Away(_) => None,
        }
    }

    /// What happened and what to do, for the person; nothing of what the issuer said.
    pub(crate) const fn advice(&self) -> &'static str {
        match self {
            Self::Strange => {
                "This sign-in was begun in another browser or at another address of this service, has ended already, or took longer \
                 than ten minutes. Begin again."
            }
            Self::Denied(_) => {
                "The identity provider did not let you in, or you stopped there. Begin again, or ask whoever gives rights there."
            }
            Self::Failing(_) => "The identity provider could not do it now. Begin again in a moment.",
            Self::Misfit(_) => {
                "The identity provider does not take what this service asks: one of the two is set wrongly. Tell whoever runs this \
                 service; its log says what the provider answered."
            }
            Self::Code(_) => {
                "The identity provider does not know this sign-in any more: it took too long, or its last page was loaded twice. \
                 Begin again."
            }
            Self::Token(_) => {
                "What the identity provider said about you could not be accepted. Begin again; if that does not help, tell whoever \
                 runs this service: its log says why."
            }
            Self::NoRole(_) => {
                "The identity provider knows you, but none of your groups has a role here. Ask whoever runs this service for one, \
                 then begin again."
            }
            Self::Away(_) => "The identity provider does not answer now. Begin again in a moment.",
        }
    }
}

impl From<OidcError> for LoginError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Refused(reason) => Self::Token(reason),
            OidcError::NoKeys { reason } => Self::Away(reason),
            OidcError::NoRole { .. } => Self::NoRole(error.to_string()),
        }
    }
}

impl Oidc {
    /// The issuer as people know it: its host.
    pub(crate) fn host(&self) -> &str {
        let rest = self.0.config.issuer.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// Where a browser begins this login.
    ///
    /// # Errors
    /// `Away`, `Misfit`.
    pub(crate) async fn begin(&self, login: &LoginConfig, attempt: &Attempt) -> Result<String, LoginError> {
        let client = client(login, &*self.0.keys.discovered().await?)?;
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier(attempt));
        let scopes = ["openid"].into_iter().chain(login.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        let state = attempt.state.clone();
        let request = client.authorize_url(|| CsrfToken::new(state)).add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())));
        let (url, _) = request.set_pkce_challenge(challenge).add_extra_param("nonce", &attempt.nonce).url();
        Ok(url.into())
    }

    /// The person who came back, if that is the end of this login.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub(crate) async fn finish(&self, login: &LoginConfig, attempt: &Attempt, back: &Returned) -> Result<Principal, LoginError> {
        let same = bool::from(attempt.state.as_bytes().ct_eq(back.state.as_bytes()));
        if !same || back.issuer.as_ref().is_some_and(|issuer| *issuer != self.0.config.issuer) {
            return Err(LoginError::Strange);
        }
        if let Some(error) = &back.error {
            return Err(failure(error, back.error_description.as_deref()));
        }
        let code = back.code.clone().ok_or_else(|| LoginError::Misfit("neither a code nor an error came back".to_owned()))?;
        let client = client(login, &*self.0.keys.discovered().await?)?;
        let outgoing = self.0.outgoing.clone();
        let ask = move |request: HttpRequest| asked(outgoing.clone(), request);
        let request = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier(attempt));
        let answer = request.request_async(&ask).await.map_err(not_exchanged)?;
        let id_token = answer.extra_fields().id_token.as_deref();
        let id_token = id_token.ok_or_else(|| LoginError::Misfit("there is no identity token in its answer".to_owned()))?;
        Ok(self.of_token(id_token, &login.client_id, Some(&attempt.nonce)).await?)
    }

    /// Where a person ends their session at the issuer too (OpenID Connect RP-Initiated Logout 1.0, section 2), as far as that is
    /// known: nobody is asked. It names no address to come back to, since many issuers refuse the whole request for one that was
    /// not registered for just that.
    pub(crate) fn end_session(&self, login: &LoginConfig) -> Option<String> {
        let discovered = self.0.keys.discovered_before()?;
        let mut url = endpoint("end_session_endpoint", discovered.end_session_endpoint.as_deref()).ok()?;
        url.query_pairs_mut().append_pair("client_id", &login.client_id);
        Some(url.into())
    }
}

type TokenAnswer = StandardTokenResponse<IdToken, BasicTokenType>;
type Client = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What OpenID Connect adds to an answer of the token endpoint.
#[derive(Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

fn client(login: &LoginConfig, discovered: &Discovered) -> Result<Client, LoginError> {
    let no_address = || LoginError::Misfit("http.public_url is no address".to_owned());
    let public_url = login.public_url.as_deref().ok_or_else(no_address)?;
    let redirect = RedirectUrl::new(format!("{public_url}{RETURN_PATH}")).map_err(|_| no_address())?;
    let authorization = endpoint("authorization_endpoint", discovered.authorization_endpoint.as_deref())?;
    let token = endpoint("token_endpoint", discovered.token_endpoint.as_deref())?;
    let client = oauth2::Client::new(ClientId::new(login.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(authorization))
        .set_token_uri(TokenUrl::from_url(token))
        .set_redirect_uri(redirect)
        .set_auth_type(if discovered.wants_secret_in_body() { AuthType::RequestBody } else { AuthType::BasicAuth });
    Ok(match &login.client_secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.to_string())),
        None => client,
    })
}

/// An address that the issuer names, if it is one that people and requests may be sent to.
fn endpoint(name: &str, url: Option<&str>) -> Result<Url, LoginError> {
    let url = url.filter(|url| url.parse().is_ok_and(|uri| may_be_asked(&uri)));
    let url = url.and_then(|url| Url::parse(url).ok());
    url.ok_or_else(|| LoginError::Misfit(format!("its configuration has no usable {name}")))
}

/// A request to the token endpoint. A failure of the issuer is no answer.
async fn asked(outgoing: Outgoing, request: HttpRequest) -> Result<HttpResponse, OutgoingError> {
    let answer = outgoing.send(request.map(|body| Full::from(Bytes::from(body)))).await?;
    match answer.status().as_u16() {
        status @ 500.. => Err(OutgoingError::Status { status }),
        _ => Ok(answer.map(Vec::from)),
    }
}

fn verifier(attempt: &Attempt) -> PkceCodeVerifier {
    PkceCodeVerifier::new(attempt.verifier.clone())
}

/// What the issuer told the browser.
fn failure(error: &str, description: Option<&str>) -> LoginError {
    let said = shown(&[error, description.unwrap_or_default()].join(" "));
    match error {
        "access_denied" | "login_required" | "consent_required" | "interaction_required" | "account_selection_required" => {
            LoginError::Denied(said)
        }
        "server_error" | "temporarily_unavailable" => LoginError::Failing(said),
        _ => LoginError::Misfit(said),
    }
}

fn not_exchanged(error: RequestTokenError<OutgoingError, BasicErrorResponse>) -> LoginError {
    match error {
        RequestTokenError::ServerResponse(said) => match said.error() {
            BasicErrorResponseType::InvalidGrant => LoginError::Code(shown(&said.to_string())),
            _ => LoginError::Misfit(shown(&said.to_string())),
        },
        RequestTokenError::Request(error) => LoginError::Away(chain(&error)),
        // What it is holds a token perhaps.
        RequestTokenError::Parse(..) => LoginError::Misfit("its answer is no JSON of the expected form".to_owned()),
        RequestTokenError::Other(reason) => LoginError::Misfit(shown(&reason)),
    }
}

/// Text from elsewhere, for the server's log.
fn shown(text: &str) -> String {
    text.trim().chars().take(MAX_SAID).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_issuer_says_is_told_to_the_log_only() {
        for (error, refusal) in [("access_denied", true), ("server_error", false), ("invalid_scope", false), ("nonsense", false)]
        {
            let failed = failure(error, Some("ask <b>Zoë</b>\nat extension 7"));
            assert_eq!(failed.refusal().is_some(), refusal, "{error}");
            assert!(failed.to_string().contains(r"extension 7") && !failed.to_string().contains('\n'), "{failed}");
            assert!(!failed.advice().contains("Zoë") && !failed.advice().contains(error), "{error}");
        }
        assert!(failure("access_denied", Some(&"x".repeat(10_000))).to_string().len() < 300);
    }

    #[test]
    fn browsers_are_sent_to_addresses_with_tls_only() {
        for good in ["https://sso.example.eu/authorize?tenant=1", "http://127.0.0.1:9000/authorize"] {
            assert_eq!(endpoint("x", Some(good)).unwrap().as_str(), good);
        }
        for bad in ["http://sso.example.eu/authorize", "javascript:alert(1)", "/authorize", "", "https://"] {
            assert!(matches!(endpoint("x", Some(bad)), Err(LoginError::Misfit(_))), "{bad}");
        }
        assert!(endpoint("x", None).is_err());
    }
}
