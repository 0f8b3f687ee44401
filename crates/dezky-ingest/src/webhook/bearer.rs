//! A token that a sender knows.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The fewest characters of a token.
const LEAST: usize = 16;
/// The most.
const MOST: usize = 1_024;

/// A source's bearer token. Only its SHA-256 is kept, and never shown.
#[derive(Clone)]
pub struct BearerToken([u8; 32]);

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has {LEAST} to {MOST} printable ASCII characters and no space; make one with: openssl rand -hex 32")]
pub struct InvalidToken;

impl BearerToken {
    /// # Errors
    /// When it is too short to protect anything, or holds what no header can.
    pub fn new(token: &str) -> Result<Self, InvalidToken> {
        let fits = (LEAST..=MOST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(Sha256::digest(token).into())) } else { Err(InvalidToken) }
    }

    /// Whether the value of an `Authorization` header carries the token; takes the same time wherever they differ.
    pub(super) fn matches(&self, header: &[u8]) -> bool {
        let bearer = header.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        bearer.is_some_and(|(_, token)| {
            let digest: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
            digest.ct_eq(&self.0).into()
        })
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let token = BearerToken::new("0123456789abcdef").unwrap();
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(token.matches(right.as_bytes()), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeF",
        ] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("0123"));
        for bad in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé", &"x".repeat(1_025)] {
            assert!(BearerToken::new(bad).is_err(), "{bad}");
        }
    }
}
