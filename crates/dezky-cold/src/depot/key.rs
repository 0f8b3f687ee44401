//! Names of objects.

use std::fmt;
use std::str::FromStr;

use dezky_audit_core::archive::ObjectName;

/// The most bytes of a name.
const MAX_BYTES: usize = 512;

/// A name that leads nowhere else, on any file system and in any bucket: segments of `[A-Za-z0-9._-]`, joined by `/`, none of
/// them empty or beginning with a dot; at most 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// Text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of an object: segments of [A-Za-z0-9._-], joined by '/', none empty or beginning with a dot")]
pub struct InvalidKey(String);

impl ObjectKey {
    /// # Errors
    /// When `text` is no such name.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let fine = |segment: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(known)
        };
        if text.len() <= MAX_BYTES && text.split('/').all(fine) {
            Ok(Self(text))
        } else {
            Err(InvalidKey(text.chars().take(MAX_BYTES).flat_map(char::escape_default).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ObjectName> for ObjectKey {
    fn from(name: ObjectName) -> Self {
        Self(name.to_string())
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for text in ["events/00000000000000000001-00000000000000000002.jsonl.gz", "tile/0/x001/234.p/5", "checkpoint"] {
            assert_eq!(ObjectKey::new(text).unwrap().as_str(), text);
        }
        let long = "a".repeat(MAX_BYTES + 1);
        for text in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a\\b", "a\0b", "å", "a b", &long] {
            assert!(ObjectKey::new(text).is_err(), "{text}");
        }
    }
}
