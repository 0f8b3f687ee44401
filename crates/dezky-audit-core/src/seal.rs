//! Sealed parts (section 2): a part under a key of its own, so that destroying the key erases every copy at once.
//!
//! HKDF-SHA-256 (RFC 5869) gives key and nonce, AES-256-GCM seals. Made by erasure, later; read and checked here.

use std::collections::HashMap;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base64;
use crate::event::{PartForm, PartName, read_part_form};
use crate::hash::Hash;
use crate::json::is_lower_hex;

/// The alg of a sealed part.
pub const ALGORITHM: &str = "HKDF-A256GCM";

/// A sealed part that is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the ciphertext does not open under its key")]
    NotOpened,
    #[error("what was sealed does not have the digest")]
    DigestMismatch,
}

/// A file of seal keys that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: not a key; write one '<kid: 32 hex digits> <key: 64 hex digits>' a line")]
pub struct SealKeysError {
    pub line: usize,
}

/// Seal keys by `kid`.
#[derive(Clone, Default)]
pub struct SealKeys(HashMap<String, Zeroizing<[u8; 32]>>);

impl std::fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} seal keys", self.0.len())
    }
}

impl SealKeys {
    /// Reads lines of `<kid> <key>`, both lower-case hex; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is neither.
    pub fn parse(text: &str) -> Result<Self, SealKeysError> {
        let mut keys = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = SealKeysError { line: index + 1 };
            let (kid, key) = line.split_once(char::is_whitespace).ok_or_else(|| error.clone())?;
            let is_kid = kid.len() == 32 && is_lower_hex(kid.as_bytes());
            let bytes = HEXLOWER.decode(key.trim().as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            match bytes {
                Some(bytes) if is_kid => keys.0.insert(kid.to_owned(), Zeroizing::new(bytes)),
                _ => return Err(error),
            };
        }
        Ok(keys)
    }

    /// Opens a sealed part; `None` when the key is not here. The digest is checked before anything is returned.
    pub fn open(&self, kid: &str, ct: &str, digest: &Hash, origin: &str, part: PartName) -> Option<Result<Vec<u8>, SealError>> {
        let key = self.0.get(kid)?;
        Some(open(key, kid, ct, digest, origin, part))
    }
}

fn open(key: &[u8; 32], kid: &str, ct: &str, digest: &Hash, origin: &str, part: PartName) -> Result<Vec<u8>, SealError> {
    let mut text = base64::decode(ct.as_bytes()).ok_or(SealError::NotOpened)?;
    let split = text.len().checked_sub(16).ok_or(SealError::NotOpened)?;
    let tag: [u8; 16] = text[split..].try_into().map_err(|_| SealError::NotOpened)?;
    text.truncate(split);
    let mut derived = Zeroizing::new([0; 44]);
    let info = [b"dezky-audit-seal/v1\n", origin.as_bytes(), b"\n", kid.as_bytes()].concat();
    Hkdf::<Sha256>::new(Some(digest.as_bytes()), key).expand(&info, &mut *derived).map_err(|_| SealError::NotOpened)?;
    let cipher = Aes256Gcm::new_from_slice(&derived[..32]).map_err(|_| SealError::NotOpened)?;
    let nonce: [u8; 12] = derived[32..].try_into().map_err(|_| SealError::NotOpened)?;
    cipher
        .decrypt_inout_detached(&nonce.into(), digest.as_bytes(), text.as_mut_slice().into(), &Tag::from(tag))
        .map_err(|_| SealError::NotOpened)?;
    let length = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    text.truncate(length);
    match read_part_form(part, &text) {
        Ok(PartForm::Disclosed(_)) if Hash::of(&text) == *digest => Ok(text),
        _ => Err(SealError::DigestMismatch),
    }
}
