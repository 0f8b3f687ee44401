//! Tokens of services: who may call without being a person, as what, and for how long.
//!
//! A token is `dzk_<id>_<secret>`: the id (16 hex digits) names its record for ever, the secret is 256 random bits in base64url
//! that are shown once. Only their SHA-256 is kept; nobody guesses 256 bits, so a slow hash would add nothing.
//!
//! Making and revoking one is a change like any other, with its event beside it. That it was used is noted at most once a
//! minute, without an event.

mod known;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use dezky_audit::{NoRandomness, Randomness as _, SystemRandomness};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{PartnerSlug, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::field::{self, MAX_TENANTS};
use crate::flags::HistoryActor;
use crate::mutation::Edited;
use crate::platform::Platform;
use crate::record::{Listing, Record, Shelf, Versioned};
use crate::role::Role;
pub(crate) use known::KnownTokens;
pub use known::{READ_AGAIN, TokenRefusal};

const PREFIX: &str = "dzk_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// How long a token lives unless somebody says otherwise, and at most.
pub const TOKEN_DAYS: u16 = 90;
pub const MAX_TOKEN_DAYS: u16 = 365;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A token's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    pub id: String,
    /// What it is for, for people.
    pub name: String,
    pub role: Role,
    /// Of a tenant auditor: slugs, in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Of a recorder: the only source that it may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub(crate) secret_sha256: String,
    pub state: TokenState,
    pub created_by: HistoryActor,
    pub created_at: String,
    pub expires_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    pub updated_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    Active,
    /// For ever.
    Revoked,
}

/// What a token begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub tenants: Vec<String>,
    pub source: Option<String>,
    pub expires_in_days: Option<u16>,
}

/// A token that was made.
#[derive(Clone)]
pub struct MadeToken {
    pub record: Versioned<Token>,
    /// The token itself. Nothing can show it again.
    pub text: String,
}

impl std::fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeToken").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Token {
    /// Whether it is accepted at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.state == TokenState::Active && Timestamp::parse_canonical(self.expires_at.as_bytes()).is_some_and(|end| now < end)
    }
}

impl Record for Token {
    const COLLECTION: &'static str = dezky_store::directory::TOKENS;
    const RESOURCE: &'static str = "token";

    fn key(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    /// The only tenant that it reads: who may see a tenant's events is told on the tenant's own timeline.
    fn tenant(&self) -> Option<TenantSlug> {
        match self.tenants.as_slice() {
            [only] => TenantSlug::new(only.as_str()).ok(),
            _ => None,
        }
    }

    fn partner(&self) -> Option<PartnerSlug> {
        None
    }

    fn touch(&mut self, at: String) {
        self.updated_at = at;
    }
}

/// The tokens of a platform.
pub struct Tokens<'p> {
    platform: &'p Platform,
    shelf: Shelf<'p, Token>,
}

impl<'p> Tokens<'p> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, shelf: Shelf::new(platform) }
    }

    /// # Errors
    /// `NotFound`, `Damaged`, `Store`.
    pub async fn get(&self, id: &str) -> Result<Versioned<Token>, PlatformError> {
        self.shelf.get(id).await
    }

    /// Revoked and expired ones too, by id, behind `after`.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<Token>, PlatformError> {
        self.shelf.list(after, limit).await
    }

    /// `token.created`.
    ///
    /// # Errors
    /// `Invalid`; `Random` when the system has no randomness.
    pub async fn create(&self, acting: &Acting, new: NewToken) -> Result<MadeToken, PlatformError> {
        let id = HEXLOWER.encode(&random::<ID_BYTES>()?);
        let secret = BASE64URL_NOPAD.encode(&random::<SECRET_BYTES>()?);
        let text = format!("{PREFIX}{id}_{secret}");
        let now = self.platform.clock().now();
        let record = self
            .shelf
            .change(acting, &id, None, "token.created", |known| {
                if known.is_some() {
                    return Err(PlatformError::conflict("the random id was given before; try again"));
                }
                let (tenants, source) = bounds(&new)?;
                let value = Token {
                    id: id.clone(),
                    name: field::name("/name", &new.name)?,
                    role: new.role,
                    tenants,
                    source,
                    secret_sha256: Hash::of(secret.as_bytes()).to_hex(),
                    state: TokenState::Active,
                    created_by: HistoryActor::of(&acting.actor),
                    created_at: now.to_string(),
                    expires_at: expiry(now, new.expires_in_days)?.to_string(),
                    last_used_at: None,
                    updated_at: now.to_string(),
                };
                Ok(Edited::Changed { value, action: "token.created" })
            })
            .await?;
        Ok(MadeToken { record, text })
    }

    /// `token.revoked`: here at once, in other processes within [`READ_AGAIN`].
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was revoked already.
    pub async fn revoke(&self, acting: &Acting, id: &str) -> Result<Versioned<Token>, PlatformError> {
        self.shelf
            .change(acting, id, None, "token.revoked", |known| match known {
                Some(token) if token.state == TokenState::Active => {
                    let next = Token { state: TokenState::Revoked, ..token.clone() };
                    Ok(self.shelf.touched(token, next, "token.revoked"))
                }
                Some(_) => Err(PlatformError::conflict(format!("the token '{id}' was revoked"))),
                None => Err(PlatformError::NotFound { what: Token::RESOURCE, key: id.to_owned() }),
            })
            .await
    }
}

/// What a role is bound to: a tenant auditor to tenants, a recorder to a source, others to nothing.
fn bounds(new: &NewToken) -> Result<(Vec<String>, Option<String>), PlatformError> {
    match (new.role, new.tenants.as_slice(), &new.source) {
        (Role::TenantAuditor, [], _) => Err(PlatformError::invalid("/tenants", "a tenant auditor has at least one")),
        (Role::TenantAuditor, tenants, None) => {
            if tenants.len() > MAX_TENANTS {
                return Err(PlatformError::invalid("/tenants", format!("at most {MAX_TENANTS} tenants")));
            }
            let mut tenants = tenants.to_vec();
            tenants.sort_unstable();
            tenants.dedup();
            tenants.iter().try_for_each(|slug| field::tenant("/tenants", slug).map(drop))?;
            Ok((tenants, None))
        }
        (Role::Recorder, _, None) => Err(PlatformError::invalid("/source", "a recorder has one")),
        (Role::Recorder, [], Some(source)) => {
            let source = Source::new(source.as_str()).map_err(|error| PlatformError::invalid("/source", error.to_string()))?;
            if source.as_str() == "audit" {
                return Err(PlatformError::invalid("/source", "the source audit is the log itself"));
            }
            Ok((Vec::new(), Some(source.to_string())))
        }
        (_, [], None) => Ok((Vec::new(), None)),
        (_, [_, ..], _) => Err(PlatformError::invalid("/tenants", "only a tenant auditor has tenants")),
        (_, _, Some(_)) => Err(PlatformError::invalid("/source", "only a recorder has a source")),
    }
}

fn expiry(now: Timestamp, days: Option<u16>) -> Result<Timestamp, PlatformError> {
    let days = days.unwrap_or(TOKEN_DAYS);
    if !(1..=MAX_TOKEN_DAYS).contains(&days) {
        return Err(PlatformError::invalid("/expiresInDays", format!("1 to {MAX_TOKEN_DAYS}")));
    }
    let life = u64::from(days) * DAY_MS;
    Timestamp::from_unix_ms(now.unix_ms() + life)
        .ok_or_else(|| PlatformError::invalid("/expiresInDays", "beyond the end of time"))
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandomness.fill(&mut bytes)?;
    Ok(bytes)
}
