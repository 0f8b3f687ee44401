//! The names and numbers of the format, each parsed once: whoever holds a `TenantSlug` holds a valid one.
//!
//! Every type here promises that its value has the form that section 1 (or 4) of the log format gives it.

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;

/// The greatest integer that a JSON number carries exactly: 2^53 − 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A value that does not have the form its type asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidId {
    /// What would have been accepted, as a noun phrase with its article.
    pub expected: &'static str,
}

/// A position in the log: 1 … 2^53 − 1, contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    pub const FIRST: Self = Self(1);

    /// `None` for 0 and for numbers beyond 2^53 − 1.
    pub const fn new(value: u64) -> Option<Self> {
        if value == 0 || value > MAX_SAFE_INTEGER { None } else { Some(Self(value)) }
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; `None` at the end of the number space.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The index of this event's leaf in the tree, from 0 (section 4).
    pub const fn leaf_index(self) -> u64 {
        self.0 - 1
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seq {
    type Err = InvalidId;

    /// `0|[1-9][0-9]*` and in range: no sign, no leading zero.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_decimal(text).and_then(Self::new).ok_or(InvalidId { expected: "a position between 1 and 2^53 − 1" })
    }
}

/// Reads `0|[1-9][0-9]*`; `None` for anything else and on overflow.
pub fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    text.parse().ok()
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $valid:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses `text`.
            ///
            /// # Errors
            /// When it does not have the documented form.
            pub fn new(text: impl Into<Box<str>>) -> Result<Self, InvalidId> {
                let text = text.into();
                if $valid(text.as_bytes()) { Ok(Self(text)) } else { Err(InvalidId { expected: $expected }) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// A dotted verb: `[a-z][a-z0-9_.-]{0,127}`.
    Action, is_action, "a dotted verb of 1 to 128 characters: [a-z][a-z0-9_.-]*"
);
text_id!(
    /// `success`, `failure`, `denied`: `[a-z][a-z0-9_-]{0,31}`.
    Outcome, is_word, "a word of 1 to 32 characters: [a-z][a-z0-9_-]*"
);
text_id!(
    /// `user`, `operator`, `service`, `system`, `anonymous`: `[a-z][a-z0-9_-]{0,31}`.
    ActorType, is_word, "a word of 1 to 32 characters: [a-z][a-z0-9_-]*"
);
text_id!(
    /// The system that says so: a slug. `audit` is the log itself.
    Source, is_slug, "a slug of 1 to 63 characters: [a-z0-9], with hyphens inside"
);
text_id!(
    /// The source's own id: 1–256 bytes of printable ASCII without space.
    ExternalId, is_external_id, "1 to 256 printable ASCII characters without a space"
);
text_id!(
    /// `tenant`, `user`, `flag`, `file`, …: `[a-z][a-z0-9_.-]{0,63}`.
    ResourceType, is_resource_type, "a dotted noun of 1 to 64 characters: [a-z][a-z0-9_.-]*"
);
text_id!(
    /// Names one tenant for ever: a slug.
    TenantSlug, is_slug, "a slug of 1 to 63 characters: [a-z0-9], with hyphens inside"
);
text_id!(
    /// Names one partner: a slug.
    PartnerSlug, is_slug, "a slug of 1 to 63 characters: [a-z0-9], with hyphens inside"
);
text_id!(
    /// The log's name (section 4): 1–180 bytes of `[a-z0-9._:/-]`, no empty, `.`, `..` or `tenant` path segment.
    Origin, is_origin,
    "an origin: 1 to 180 characters of [a-z0-9._:/-], no empty, '.', '..' or 'tenant' path segment, not beginning with 'dezky-audit' or 'cosignature'"
);

impl Source {
    /// Whether this is the log itself, whose events no caller may send.
    pub fn is_log_itself(&self) -> bool {
        self.as_str() == "audit"
    }
}

impl Origin {
    /// `prevHash` of the event with seq 1 (section 3).
    pub fn genesis(&self) -> Hash {
        Hash::of_parts(&[b"dezky-audit/v1\n", self.as_str().as_bytes(), b"\n"])
    }

    /// `tenantPrevHash` of a tenant's first event (section 3).
    pub fn tenant_genesis(&self, tenant: &str) -> Hash {
        Hash::of_parts(&[b"dezky-audit-tenant/v1\n", self.as_str().as_bytes(), b"\n", tenant.as_bytes(), b"\n"])
    }

    /// The name of a tenant's own log: `<origin>/tenant/<slug>` (section 5). It is a key name, not an [`Origin`].
    pub fn of_tenant(&self, tenant: &TenantSlug) -> String {
        format!("{self}/tenant/{tenant}")
    }
}

pub(crate) fn is_action(text: &[u8]) -> bool {
    is_dotted(text, 128)
}

pub(crate) fn is_resource_type(text: &[u8]) -> bool {
    is_dotted(text, 64)
}

fn is_dotted(text: &[u8], max: usize) -> bool {
    text.len() <= max
        && text.first().is_some_and(u8::is_ascii_lowercase)
        && text.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
}

pub(crate) fn is_word(text: &[u8]) -> bool {
    is_dotted(text, 32) && !text.contains(&b'.')
}

pub(crate) fn is_slug(text: &[u8]) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.first().is_some_and(alphanumeric)
        && text.last().is_some_and(alphanumeric)
        && text.iter().all(|b| alphanumeric(b) || *b == b'-')
}

pub(crate) fn is_external_id(text: &[u8]) -> bool {
    (1..=256).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

fn is_origin(text: &[u8]) -> bool {
    (1..=180).contains(&text.len())
        && text.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'/' | b'-'))
        && text.split(|b| *b == b'/').all(|segment| !matches!(segment, b"" | b"." | b".." | b"tenant"))
        && !text.starts_with(b"dezky-audit")
        && !text.starts_with(b"cosignature")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_begin_and_end_with_a_letter_or_digit() {
        for good in ["a", "0", "a-b", "a--b", &"x".repeat(63)] {
            assert!(TenantSlug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "A", "a_b", "ä", &"x".repeat(64)] {
            assert!(TenantSlug::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_have_no_reserved_segment() {
        for good in ["localhost/0123456789abcdef", "audit.example.eu/main", "a:8080/b_c-d", "tenants"] {
            assert!(Origin::new(good).is_ok(), "{good}");
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "a/./b", "a/../b", "a/tenant/b", "dezky-audit/x", "cosignature", "A", "a b", "a+b"]
        {
            assert!(Origin::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn positions_are_plain_decimals() {
        assert_eq!("9007199254740991".parse::<Seq>().unwrap().get(), MAX_SAFE_INTEGER);
        for bad in ["0", "01", "+1", "-1", "", " 1", "9007199254740992", "99999999999999999999"] {
            assert!(bad.parse::<Seq>().is_err(), "{bad}");
        }
    }
}
