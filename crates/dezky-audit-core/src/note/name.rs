//! Who signs: a key's name, and the four bytes that tell its keys apart.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::hash::Hash;
use crate::ids::{InvalidId, Origin, TenantSlug};

/// The longest name that a key is loaded under (ML-DSA cosignatures can sign no longer one).
pub const MAX_KEY_NAME_BYTES: usize = 255;

/// The name of a key: not empty, no Unicode white space, no `+`, no control character. A log key's name is the log's
/// origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// Parses `text`.
    ///
    /// # Errors
    /// When it does not have the documented form.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, InvalidId> {
        let text = text.into();
        let is_bad = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if text.is_empty() || text.contains(is_bad) {
            return Err(InvalidId { expected: "a key name: not empty, no white space, no '+'" });
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this log's key for one tenant: `<name>/tenant/<slug>`.
    #[must_use]
    pub fn of_tenant(&self, tenant: &TenantSlug) -> Self {
        Self(format!("{self}/tenant/{tenant}").into())
    }
}

impl FromStr for KeyName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<&Origin> for KeyName {
    /// An origin has no white space and no `+`.
    fn from(origin: &Origin) -> Self {
        Self(origin.as_str().into())
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first four bytes of a hash over a key's name, type and public part. Shown as 8 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// `SHA-256(name ‖ LF ‖ type ‖ public)[:4]`.
    pub(crate) fn compute(name: &KeyName, parts: &[&[u8]]) -> Self {
        let public = parts.concat();
        let hash = Hash::of_parts(&[name.as_str().as_bytes(), b"\n", &public]);
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self([a, b, c, d])
    }

    /// Reads 8 lower-case hex digits.
    ///
    /// # Errors
    /// When `text` is anything else.
    pub fn from_hex(text: &str) -> Result<Self, InvalidId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidId { expected: "a key id of 8 lower-case hex digits" })
    }

    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
