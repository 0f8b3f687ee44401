//! HMAC-SHA-256 signatures (log format, section 5): whoever can check one can forge one.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::name::{KeyId, KeyName};

/// The shortest secret that is accepted.
pub const MIN_SECRET_BYTES: usize = 32;

/// The secret of the setting as it is written there: at least 32 bytes, wiped when dropped, never shown.
#[derive(Clone)]
pub struct HmacSecret(Zeroizing<Vec<u8>>);

/// A secret that is too easy to guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the HMAC secret has {bytes} bytes, but needs at least {MIN_SECRET_BYTES}")]
pub struct SecretTooShort {
    pub bytes: usize,
}

impl HmacSecret {
    /// Takes the bytes as they are.
    ///
    /// # Errors
    /// When there are fewer than 32 of them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretTooShort> {
        let bytes = Zeroizing::new(bytes.into());
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(SecretTooShort { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Takes what a file holds, without one final LF or CRLF.
    ///
    /// # Errors
    /// When fewer than 32 bytes remain.
    pub fn from_file_contents(contents: impl Into<Vec<u8>>) -> Result<Self, SecretTooShort> {
        let mut bytes = contents.into();
        if bytes.pop_if(|last| *last == b'\n').is_some() {
            bytes.pop_if(|last| *last == b'\r');
        }
        Self::new(bytes)
    }
}

impl fmt::Debug for HmacSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSecret(…)")
    }
}

/// The key that a secret gives to one log: `K`.
#[derive(Clone)]
pub(super) struct MacKey {
    secret: HmacSecret,
    key: Zeroizing<[u8; 32]>,
}

impl MacKey {
    pub(super) fn derive(secret: &HmacSecret, name: &KeyName) -> Self {
        let key = mac(&secret.0, &[b"dezky-audit/v1 mac key\n", name.as_str().as_bytes(), b"\n"]);
        Self { secret: secret.clone(), key: Zeroizing::new(key) }
    }

    /// The same secret's key for another log.
    pub(super) fn for_name(&self, name: &KeyName) -> Self {
        Self::derive(&self.secret, name)
    }

    /// Commits to the key without giving it away.
    pub(super) fn id(&self, name: &KeyName) -> KeyId {
        KeyId::compute(name, &[&[0xFF], b"dezky-hmac-sha256", &mac(self.key.as_slice(), &[b"key id"])])
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 32] {
        mac(self.key.as_slice(), &[message])
    }

    /// Takes the same time wherever the two differ.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.sign(message).ct_eq(signature).into()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key.ct_eq(other.key.as_slice()).into()
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_loses_one_line_end_and_no_more() {
        let secret = "x".repeat(32);
        for (contents, kept) in [
            (secret.clone(), 32),
            (format!("{secret}\n"), 32),
            (format!("{secret}\r\n"), 32),
            (format!("{secret}\n\n"), 33),
            (format!("{secret}\r"), 33),
            (format!("{secret} \n"), 33),
        ] {
            assert_eq!(HmacSecret::from_file_contents(contents).unwrap().0.len(), kept);
        }
        assert_eq!(HmacSecret::from_file_contents("short\n").unwrap_err(), SecretTooShort { bytes: 5 });
        assert!(HmacSecret::from_file_contents(format!("{}\n", "x".repeat(31))).is_err());
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", HmacSecret::new("s".repeat(40)).unwrap()), "HmacSecret(…)");
    }
}
