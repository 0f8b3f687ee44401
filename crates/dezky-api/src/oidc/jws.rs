//! A signed token (RFC 7515, compact): read strictly, and checked against keys of the kind that its algorithm asks for.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::verify;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Key;

/// The most bytes of a token.
const MAX_TOKEN: usize = 16 << 10;

/// What issuers may sign with: asymmetric and unbroken. Never `none`, nor an HMAC, whose secret would be a published key.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Why a token is not accepted as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidJws {
    #[error("it is no token of this service, and no signed JSON token either")]
    Form,
    #[error("its algorithm '{0}' is not accepted")]
    Algorithm(String),
    #[error("its header asks for something that is not understood ('crit')")]
    Critical,
    #[error("the issuer's key has not signed it")]
    Signature,
    #[error("its claims are no JSON object")]
    Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token whose signature was not checked yet.
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, InvalidJws> {
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= MAX_TOKEN).ok_or(InvalidJws::Form)?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(InvalidJws::Form)?;
        let header: Header = decoded(header).and_then(|json| serde_json::from_slice(&json).ok()).ok_or(InvalidJws::Form)?;
        if header.crit.is_some() {
            return Err(InvalidJws::Critical);
        }
        let known = ALGORITHMS.iter().find(|(name, _)| *name == header.alg);
        let shown = || header.alg.chars().take(20).flat_map(char::escape_debug).collect::<String>();
        let (_, algorithm) = known.ok_or_else(|| InvalidJws::Algorithm(shown()))?;
        Ok(Self { algorithm: *algorithm, key_id: header.kid, signed, claims, signature })
    }

    /// The claims, if this key has signed them.
    pub(super) fn verified(&self, key: &Key) -> Result<Map<String, Value>, InvalidJws> {
        let signed = || verify(self.signature, self.signed.as_bytes(), &key.verifying, self.algorithm).unwrap_or(false);
        if !key.may_sign(self.algorithm) || !signed() {
            return Err(InvalidJws::Signature);
        }
        decoded(self.claims).and_then(|json| serde_json::from_slice(&json).ok()).ok_or(InvalidJws::Claims)
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(header: &str) -> InvalidJws {
        let token = format!("{}.e30.AAAA", BASE64URL_NOPAD.encode(header.as_bytes()));
        Jws::read(&token).err().unwrap()
    }

    #[test]
    fn only_what_can_be_checked_is_read() {
        for none in ["none", "None", "HS256", "HS512", "RS1", "ES256K", "rs256", ""] {
            assert!(matches!(refused(&format!(r#"{{"alg":"{none}"}}"#)), InvalidJws::Algorithm(_)), "{none}");
        }
        assert_eq!(refused(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#), InvalidJws::Critical);
        assert_eq!(refused("{}"), InvalidJws::Form);
        assert_eq!(refused("[]"), InvalidJws::Form);
        for bad in ["", ".", "..", "a.b", "a.b.c.d", "e30.e30.", "%%.e30.AA"] {
            assert!(Jws::read(bad).is_err(), "{bad}");
        }
        let long = format!("e30.{}.AAAA", "A".repeat(MAX_TOKEN));
        assert_eq!(Jws::read(&long).err(), Some(InvalidJws::Form));
    }
}
