//! The signature of a webhook body: HMAC-SHA-256 (RFC 2104) over its bytes, in a header.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::Sha256;

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// In either case.
    #[default]
    Hex,
    /// With padding (RFC 4648, section 4).
    Base64,
}

/// A key that bodies are signed with, its bytes as they are written, and where the signature stands. The key is never shown.
#[derive(Clone)]
pub struct SignatureKey {
    mac: Hmac<Sha256>,
    header: HeaderName,
    encoding: Encoding,
    /// What stands before the signature, such as `sha256=`.
    prefix: String,
}

/// A key that protects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is empty: an empty key signs nothing; leave it out to take webhooks from this machine only")]
pub struct InvalidKey;

impl SignatureKey {
    /// # Errors
    /// When it is empty: Stalwart leaves the signature out then.
    pub fn new(key: &str, header: HeaderName, encoding: Encoding, prefix: &str) -> Result<Self, InvalidKey> {
        if key.is_empty() {
            return Err(InvalidKey);
        }
        let mac = Hmac::new_from_slice(key.as_bytes()).map_err(|_| InvalidKey)?;
        Ok(Self { mac, header, encoding, prefix: prefix.to_owned() })
    }

    /// As Stalwart signs: `X-Signature`, in base64.
    ///
    /// # Errors
    /// When it is empty.
    pub fn of_stalwart(key: &str) -> Result<Self, InvalidKey> {
        Self::new(key, HeaderName::from_static("x-signature"), Encoding::Base64, "")
    }

    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Begins to check a body against the header's value; `None` when that is no signature at all.
    pub(super) fn check(&self, signature: &[u8]) -> Option<Check> {
        let signature = signature.strip_prefix(self.prefix.as_bytes())?;
        let decoded = match self.encoding {
            Encoding::Hex => HEXLOWER_PERMISSIVE.decode(signature),
            Encoding::Base64 => BASE64.decode(signature),
        };
        let wanted = decoded.ok().filter(|wanted| wanted.len() == 32)?;
        Some(Check { mac: self.mac.clone(), wanted })
    }

    /// The header's value for a body.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.mac.clone();
        mac.update(body);
        let signature = mac.finalize().into_bytes();
        let encoded = match self.encoding {
            Encoding::Hex => HEXLOWER.encode(&signature),
            Encoding::Base64 => BASE64.encode(&signature),
        };
        format!("{}{encoded}", self.prefix)
    }
}

impl fmt::Debug for SignatureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureKey({}, …)", self.header)
    }
}

/// A body that is being checked as it comes.
pub(super) struct Check {
    mac: Hmac<Sha256>,
    wanted: Vec<u8>,
}

impl Check {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.mac.update(piece);
    }

    /// In constant time.
    pub(super) fn verifies(self) -> bool {
        self.mac.verify_slice(&self.wanted).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(key: &SignatureKey, signature: &str, pieces: &[&[u8]]) -> bool {
        key.check(signature.as_bytes()).is_some_and(|mut check| {
            pieces.iter().for_each(|piece| check.update(piece));
            check.verifies()
        })
    }

    #[test]
    fn the_golden_vector() {
        let body = br#"{"events":[{"id":"1795166102421037","createdAt":"2026-11-20T09:15:02Z","type":"auth.success","data":{"accountName":"jdoe@corp.example","accountId":12,"spanId":304404571900346369,"listenerId":"imaptls","localPort":993,"remoteIp":"91.12.44.7","remotePort":51514}}]}"#;
        let key = SignatureKey::of_stalwart("ovos-moles").unwrap();
        assert_eq!(key.sign(body), "DW5XcMjBGzg2CSX41z+rtc9nc5Z102Hix335U0Doa8Q=");
    }

    #[test]
    fn nothing_else_is_a_signature() {
        let key = SignatureKey::of_stalwart("k").unwrap();
        let right = key.sign(b"body");
        assert!(is_right(&key, &right, &[b"bo", b"", b"dy"]));
        assert!(!is_right(&key, &right, &[b"bodY"]));
        assert!(!is_right(&key, &SignatureKey::of_stalwart("other").unwrap().sign(b"body"), &[b"body"]));
        for none in ["", "AAAA", right.trim_end_matches('='), &format!("sha256={right}"), &right.to_lowercase().replace('=', "")]
        {
            assert!(!is_right(&key, none, &[b"body"]), "{none}");
        }
        assert!(SignatureKey::of_stalwart("").is_err());
        assert!(!format!("{key:?}").contains("\"k\""));
    }

    #[test]
    fn as_others_sign() {
        // RFC 4231, test case 2.
        let header = HeaderName::from_static("x-hub-signature-256");
        let key = SignatureKey::new("Jefe", header, Encoding::Hex, "sha256=").unwrap();
        let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(key.sign(b"what do ya want for nothing?"), right);
        assert!(is_right(&key, &right.to_uppercase().replace("SHA256", "sha256"), &[b"what do ya want for nothing?"]));
        for wrong in [&right[7..], "sha1=5bdc", "sha256=", &right.replace("5b", "5c")] {
            assert!(!is_right(&key, wrong, &[b"what do ya want for nothing?"]), "{wrong}");
        }
    }
}
