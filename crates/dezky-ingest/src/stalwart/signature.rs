//! The signature of a webhook body: base64 of HMAC-SHA-256 (RFC 2104) over its bytes.

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `STALWART_WEBHOOK_KEY`: the bytes of the setting as they are written. Never shown.
#[derive(Clone)]
pub struct WebhookKey(Hmac<Sha256>);

/// A key that protects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "STALWART_WEBHOOK_KEY is empty: Stalwart signs nothing with an empty key; leave it out to take webhooks from this machine only"
)]
pub struct InvalidKey;

impl WebhookKey {
    /// # Errors
    /// When it is empty: Stalwart leaves the signature out then.
    pub fn new(key: &str) -> Result<Self, InvalidKey> {
        if key.is_empty() {
            return Err(InvalidKey);
        }
        Hmac::new_from_slice(key.as_bytes()).map(Self).map_err(|_| InvalidKey)
    }

    /// Begins to check a body against the header's value; `None` when that is no signature at all.
    pub(super) fn check(&self, signature: &[u8]) -> Option<Check> {
        let wanted = BASE64.decode(signature).ok().filter(|wanted| wanted.len() == 32)?;
        Some(Check { mac: self.0.clone(), wanted })
    }

    /// The header's value for a body.
    pub fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(body);
        BASE64.encode(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey(…)")
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

    #[test]
    fn the_golden_vector() {
        let body = br#"{"events":[{"id":"1795166102421037","createdAt":"2026-11-20T09:15:02Z","type":"auth.success","data":{"accountName":"jdoe@corp.example","accountId":12,"spanId":304404571900346369,"listenerId":"imaptls","localPort":993,"remoteIp":"91.12.44.7","remotePort":51514}}]}"#;
        assert_eq!(WebhookKey::new("ovos-moles").unwrap().sign(body), "DW5XcMjBGzg2CSX41z+rtc9nc5Z102Hix335U0Doa8Q=");
    }

    #[test]
    fn nothing_else_is_a_signature() {
        let key = WebhookKey::new("k").unwrap();
        let right = key.sign(b"body");
        let is_right = |signature: &str, pieces: &[&[u8]]| {
            key.check(signature.as_bytes()).is_some_and(|mut check| {
                pieces.iter().for_each(|piece| check.update(piece));
                check.verifies()
            })
        };
        assert!(is_right(&right, &[b"bo", b"", b"dy"]));
        assert!(!is_right(&right, &[b"bodY"]));
        assert!(!is_right(&WebhookKey::new("other").unwrap().sign(b"body"), &[b"body"]));
        for none in ["", "AAAA", right.trim_end_matches('='), &format!("sha256={right}"), &right.to_lowercase().replace('=', "")]
        {
            assert!(!is_right(none, &[b"body"]), "{none}");
        }
        assert!(WebhookKey::new("").is_err());
    }
}
