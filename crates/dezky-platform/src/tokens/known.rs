//! Whether a token is accepted, answered from memory.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;
use dezky_store::{Change, Swap};
use lru::LruCache;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{ID_BYTES, PREFIX, SECRET_BYTES, Token, TokenState, Tokens};
use crate::error::PlatformError;
use crate::record::Record;

/// How long a record that was read is good for: within this time, a revocation takes effect in other processes.
pub const READ_AGAIN: Duration = Duration::from_secs(30);
/// How often the use of a token is noted, at most.
const NOTE_AGAIN: Duration = Duration::from_secs(60);
/// How long noting it may keep a caller waiting.
const NOTE_TIME: Duration = Duration::from_secs(1);
/// The most records in memory.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(4_096).expect("above 0");

/// Why a token is not accepted. For the server's own log: whoever sent it is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("it is no token of this service")]
    Malformed,
    #[error("there is no token of this id")]
    Unknown,
    #[error("its secret is wrong")]
    WrongSecret,
    #[error("it has expired")]
    Expired,
    #[error("it was revoked")]
    Revoked,
}

/// The records that were read or changed lately. The least recently used go.
pub(crate) struct KnownTokens(Mutex<LruCache<String, Known>>);

#[derive(Clone)]
struct Known {
    token: Arc<Token>,
    version: u64,
    read_at: Instant,
}

impl Default for KnownTokens {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_KNOWN)))
    }
}

impl KnownTokens {
    /// Takes a record over, unless a newer one is known: a reader may be late.
    pub(crate) fn learn(&self, token: &Token, version: u64) {
        self.put(Known { token: Arc::new(token.clone()), version, read_at: Instant::now() });
    }

    fn put(&self, new: Known) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.peek(&new.token.id).is_none_or(|known| known.version <= new.version) {
            known.put(new.token.id.clone(), new);
        }
    }

    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(id);
    }

    fn fresh(&self, id: &str) -> Option<Known> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).filter(|known| known.read_at.elapsed() < READ_AGAIN).cloned()
    }
}

impl Tokens<'_> {
    /// The record of a token that is accepted now.
    ///
    /// # Errors
    /// When it could not be looked up: `Damaged`, `Store`.
    pub async fn accepted(&self, text: &[u8]) -> Result<Result<Arc<Token>, TokenRefusal>, PlatformError> {
        let Some((id, secret)) = parts(text) else { return Ok(Err(TokenRefusal::Malformed)) };
        let known = match self.platform.known_tokens().fresh(id) {
            Some(known) => known,
            None => {
                let Some(record) = self.shelf.find(id).await? else { return Ok(Err(TokenRefusal::Unknown)) };
                let known = Known { token: Arc::new(record.value), version: record.version, read_at: Instant::now() };
                self.platform.known_tokens().put(known.clone());
                known
            }
        };
        let now = self.platform.clock().now();
        let refusal = refusal(&known.token, secret, now);
        if refusal.is_none() && is_noted_long_ago(&known.token, now) {
            // That it was used is worth no failure, and no long wait.
            match tokio::time::timeout(NOTE_TIME, self.note(&known, now)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "a token's use is not noted"),
                Err(_) => tracing::debug!("a token's use is not noted: the store took too long"),
            }
        }
        Ok(refusal.map_or(Ok(known.token), Err))
    }

    /// Writes when the token was used. Whoever changes the record at the same time goes first.
    async fn note(&self, known: &Known, now: Timestamp) -> Result<(), PlatformError> {
        let used = Token { last_used_at: Some(now.to_string()), ..Token::clone(&known.token) };
        let damaged = |source| PlatformError::Damaged { what: Token::RESOURCE, key: used.id.clone(), source };
        let body = serde_json::to_string(&used).map_err(damaged)?;
        // Others that come meanwhile need not write it too. It was not read again: it is as old as it was.
        self.platform.known_tokens().put(Known { token: Arc::new(used.clone()), ..known.clone() });
        let (collection, key) = (Token::COLLECTION.to_owned(), used.id.clone());
        let change = Change { collection, key, expected: known.version, body };
        match self.platform.store().change_document(&change, &[]).await? {
            Swap::Done { version } => self.platform.known_tokens().learn(&used, version),
            // Perhaps it was revoked elsewhere.
            Swap::Conflict { .. } => self.platform.known_tokens().forget(&used.id),
        }
        Ok(())
    }
}

fn refusal(token: &Token, secret: &[u8], now: Timestamp) -> Option<TokenRefusal> {
    let presented = Hash::of(secret).to_hex();
    if !bool::from(presented.as_bytes().ct_eq(token.secret_sha256.as_bytes())) {
        return Some(TokenRefusal::WrongSecret);
    }
    match token.state {
        TokenState::Revoked => Some(TokenRefusal::Revoked),
        TokenState::Active => (!token.is_active(now)).then_some(TokenRefusal::Expired),
    }
}

fn is_noted_long_ago(token: &Token, now: Timestamp) -> bool {
    let noted = token.last_used_at.as_deref().and_then(|at| Timestamp::parse_canonical(at.as_bytes()));
    noted.is_none_or(|noted| u128::from(now.unix_ms().saturating_sub(noted.unix_ms())) >= NOTE_AGAIN.as_millis())
}

/// The id and the secret of a text of the right form.
fn parts(text: &[u8]) -> Option<(&str, &[u8])> {
    const ID: usize = 2 * ID_BYTES;
    let rest = text.strip_prefix(PREFIX.as_bytes())?;
    let (id, secret) = rest.split_at_checked(ID)?;
    let secret = secret.strip_prefix(b"_")?;
    let of_hex = id.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    if !of_hex || secret.len() != (SECRET_BYTES * 8).div_ceil(6) {
        return None;
    }
    Some((str::from_utf8(id).ok()?, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_looked_up() {
        let secret = "x".repeat(43);
        let good = format!("dzk_0123456789abcdef_{secret}");
        assert_eq!(parts(good.as_bytes()), Some(("0123456789abcdef", secret.as_bytes())));
        for bad in [
            String::new(),
            "dzk_".to_owned(),
            format!("dzk_0123456789ABCDEF_{secret}"),
            format!("dzk_0123456789abcdef-{secret}"),
            format!("dzk_0123456789abcdef_{secret}x"),
            format!("Dzk_0123456789abcdef_{secret}"),
            format!("dzk_é123456789abcde_{secret}"),
        ] {
            assert_eq!(parts(bad.as_bytes()), None, "{bad}");
        }
    }
}
