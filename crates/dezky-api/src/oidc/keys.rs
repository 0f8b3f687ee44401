//! The issuer's keys (RFC 7517), and what it says about itself: read when a key is asked for that is not known, and again now and
//! then; kept when the issuer is away.
//!
//! A token of a known key waits for nobody. One that names an unknown key waits for at most one reading, and readings begin at
//! least [`super::OidcConfig::refetch`] apart, whoever sends what.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::discovery::{Discovered, DiscoveryError};
use super::jws::Jws;
use super::{OidcConfig, OidcError};
use crate::outgoing::{Outgoing, OutgoingError};

/// How old keys may be before they are read again beside the requests.
const OLD: Duration = Duration::from_secs(600);
/// The most keys of an issuer.
const MAX_KEYS: usize = 64;
/// Bytes of an RSA modulus: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// A public key.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    kind: Kind,
    /// The only algorithm that it says it is for.
    only: Option<String>,
    pub(super) verifying: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// Whether a signature by this algorithm can be one of this key.
    pub(super) fn may_sign(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::ES256 => Kind::P256,
            Algorithm::ES384 => Kind::P384,
            Algorithm::EdDSA => Kind::Ed25519,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return false,
            _ => Kind::Rsa,
        };
        let name = format!("{algorithm:?}");
        self.kind == kind && self.only.as_ref().is_none_or(|only| *only == name)
    }
}

pub(super) struct Keys(Arc<Shared>);

struct Shared {
    issuer: String,
    outgoing: Outgoing,
    refetch: Duration,
    patience: Duration,
    known: RwLock<Option<Known>>,
    /// When a reading began last, and how it ended. Held while one runs.
    last: Mutex<Option<Reading>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<[Key]>,
    discovered: Arc<Discovered>,
    read_at: Instant,
}

struct Reading {
    begun: Instant,
    failure: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("its configuration cannot be read")]
    Discovery(#[from] DiscoveryError),
    #[error("its keys cannot be read")]
    Outgoing(#[from] OutgoingError),
    #[error("its keys are no JSON Web Key Set")]
    Form(#[from] serde_json::Error),
    #[error("it publishes no key that is understood")]
    Empty,
    #[error("it took too long")]
    Slow,
}

impl Keys {
    pub(super) fn new(config: &OidcConfig, outgoing: Outgoing) -> Self {
        let OidcConfig { issuer, refetch, patience, .. } = config.clone();
        let (known, last) = (RwLock::default(), Mutex::default());
        Self(Arc::new(Shared { issuer, outgoing, refetch, patience, known, last }))
    }

    /// The key that a token names, or the issuer's only one of that kind where it names none.
    pub(super) async fn of(&self, jws: &Jws<'_>) -> Result<Key, OidcError> {
        if let Some(known) = self.0.known() {
            if known.read_at.elapsed() > OLD {
                let shared = Arc::clone(&self.0);
                tokio::spawn(async move { shared.read_again().await });
            }
            if let Some(key) = find(&known.keys, jws) {
                return Ok(key);
            }
        }
        let failure = self.0.read_again().await;
        match (self.0.known(), failure) {
            (Some(known), _) => {
                find(&known.keys, jws).ok_or_else(|| OidcError::Refused("it names no key of the issuer".to_owned()))
            }
            (None, failure) => Err(OidcError::NoKeys { reason: failure.unwrap_or_default() }),
        }
    }

    /// What the issuer says about itself; it is asked if that was never read.
    pub(super) async fn discovered(&self) -> Result<Arc<Discovered>, OidcError> {
        if let Some(known) = self.discovered_before() {
            return Ok(known);
        }
        let failure = self.0.read_again().await;
        self.discovered_before().ok_or_else(|| OidcError::NoKeys { reason: failure.unwrap_or_default() })
    }

    /// The same as far as it is known.
    pub(super) fn discovered_before(&self) -> Option<Arc<Discovered>> {
        self.0.known().map(|known| known.discovered)
    }
}

impl Shared {
    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys, unless that was tried a moment ago. Why it failed the last time.
    async fn read_again(self: &Arc<Self>) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some(reading) = last.as_ref().filter(|reading| reading.begun.elapsed() < self.refetch) {
            return reading.failure.clone();
        }
        let reading = last.insert(Reading { begun: Instant::now(), failure: Some("it was not read to the end".to_owned()) });
        let shared = Arc::clone(self);
        // In a task of its own: whoever asked may go away.
        let read =
            tokio::spawn(
                async move { tokio::time::timeout(shared.patience, shared.read()).await.unwrap_or(Err(ReadError::Slow)) },
            );
        match read.await {
            Ok(Ok(())) => reading.failure = None,
            Ok(Err(error)) => {
                let reason = dezky_audit::chain(&error);
                tracing::warn!(issuer = self.issuer, reason, "the issuer's keys could not be read; those that are known stay");
                reading.failure = Some(reason);
            }
            Err(_) => {}
        }
        reading.failure.clone()
    }

    async fn read(&self) -> Result<(), ReadError> {
        let discovered = Discovered::read(&self.outgoing, &self.issuer).await?;
        let keys = keys(&self.outgoing.get(&discovered.jwks_uri).await?)?;
        let known = Known { keys: keys.into(), discovered: discovered.into(), read_at: Instant::now() };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }
}

fn find(keys: &[Key], jws: &Jws<'_>) -> Option<Key> {
    let mut fitting = keys.iter().filter(|key| key.may_sign(jws.algorithm));
    match &jws.key_id {
        Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)).cloned(),
        None => fitting.next().filter(|_| fitting.next().is_none()).cloned(),
    }
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Those that are understood: a key of a new kind does not keep the others out.
fn keys(body: &[u8]) -> Result<Vec<Key>, ReadError> {
    let published: Published = serde_json::from_slice(body)?;
    let jwks = published.keys.into_iter().take(MAX_KEYS).filter_map(|jwk| serde_json::from_value(jwk).ok());
    let keys: Vec<_> = jwks.filter_map(key).collect();
    if keys.is_empty() { Err(ReadError::Empty) } else { Ok(keys) }
}

fn key(jwk: Jwk) -> Option<Key> {
    if jwk.r#use.as_ref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (x, y) = (jwk.x.as_deref(), jwk.y.as_deref());
    let (kind, verifying) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (modulus, exponent) = (jwk.n.as_deref()?, jwk.e.as_deref()?);
            if !RSA_BYTES.contains(&decoded(modulus)?.len()) || !(1..=8).contains(&decoded(exponent)?.len()) {
                return None;
            }
            (Kind::Rsa, DecodingKey::from_rsa_components(modulus, exponent).ok()?)
        }
        ("EC", Some("P-256")) => (Kind::P256, DecodingKey::from_ec_components(of_length(x, 32)?, of_length(y, 32)?).ok()?),
        ("EC", Some("P-384")) => (Kind::P384, DecodingKey::from_ec_components(of_length(x, 48)?, of_length(y, 48)?).ok()?),
        ("OKP", Some("Ed25519")) => (Kind::Ed25519, DecodingKey::from_ed_components(of_length(x, 32)?).ok()?),
        _ => return None,
    };
    Some(Key { id: jwk.kid, kind, only: jwk.alg, verifying })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

fn of_length(text: Option<&str>, length: usize) -> Option<&str> {
    text.filter(|text| decoded(text).is_some_and(|bytes| bytes.len() == length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_kinds_and_purposes_are_passed_over() {
        let b64 = |length: usize| BASE64URL_NOPAD.encode(&vec![1; length]);
        let (short, long, x32) = (b64(128), b64(256), b64(32));
        let set = serde_json::json!({"keys": [
            {"kty": "RSA", "n": long, "e": "AQAB", "kid": "good"},
            {"kty": "RSA", "n": short, "e": "AQAB", "kid": "short"},
            {"kty": "RSA", "n": long, "e": "AQAB", "kid": "encrypting", "use": "enc"},
            {"kty": "oct", "k": long, "kid": "secret"},
            {"kty": "EC", "crv": "secp256k1", "x": x32, "y": x32},
            {"kty": "EC", "crv": "P-256", "x": x32, "y": b64(31)},
            {"kty": "OKP", "crv": "Ed25519", "x": x32, "kid": "ed", "alg": "EdDSA"},
            {"kty": "AKP", "alg": "ML-DSA-44"}, 7, null, {"kid": "no type"},
        ]});
        let keys = keys(set.to_string().as_bytes()).unwrap();
        assert_eq!(keys.iter().filter_map(|key| key.id.as_deref()).collect::<Vec<_>>(), ["good", "ed"]);
        let may = |nth: usize, algorithm| keys[nth].may_sign(algorithm);
        assert!(may(0, Algorithm::RS256) && may(0, Algorithm::PS512) && !may(0, Algorithm::ES256));
        assert!(!may(0, Algorithm::HS256) && !may(1, Algorithm::HS256));
        assert!(may(1, Algorithm::EdDSA) && !may(1, Algorithm::RS256));
        assert!(super::keys(b"{\"keys\":[]}").is_err() && super::keys(b"[]").is_err());
    }
}
