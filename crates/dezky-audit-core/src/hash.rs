//! SHA-256 digests: the hash of an event, the digest of a part, a node of the tree.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::base64;
use crate::ids::InvalidId;

/// 32 bytes of SHA-256. Shown as lower-case hex; roots and tree nodes are written in base64 (section 8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// The digest of the concatenation of `parts`.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut state = Sha256::new();
        for part in parts {
            state.update(part);
        }
        Self(state.finalize().into())
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits.
    ///
    /// # Errors
    /// When `text` is anything else.
    pub fn from_hex(text: &str) -> Result<Self, InvalidId> {
        Self::from_hex_bytes(text.as_bytes()).ok_or(InvalidId { expected: "64 lower-case hex digits" })
    }

    pub(crate) fn from_hex_bytes(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        HEXLOWER.decode_mut(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads 44 characters of padded base64.
    ///
    /// # Errors
    /// When `text` is anything else.
    pub fn from_base64(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { expected: "32 bytes in padded base64" };
        if text.len() != 44 {
            return Err(invalid);
        }
        let bytes = base64::decode(text.as_bytes()).ok_or_else(|| invalid.clone())?;
        Ok(Self(bytes.try_into().map_err(|_| invalid)?))
    }

    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Writes the 64 hex digits without allocating.
    pub fn write_hex(self, out: &mut [u8; 64]) {
        HEXLOWER.encode_mut(&self.0, out);
    }

    pub fn to_base64(self) -> String {
        base64::encode(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        self.write_hex(&mut hex);
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
