//! The code that lets the operator in for the first time: 256 random bits, good once and for ten minutes.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How long a code is good for.
pub(crate) const INVITATION_TIME: std::time::Duration = std::time::Duration::from_secs(10 * 60);

/// A code that was given out; not the code itself.
pub(super) struct Invitation {
    digest: [u8; 32],
    until_ms: u64,
}

impl Invitation {
    /// Nothing where the system has no randomness.
    pub(super) fn new(now_ms: u64) -> Option<(Self, String)> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        let code = BASE64URL_NOPAD.encode(&bytes);
        let until_ms = now_ms + u64::try_from(INVITATION_TIME.as_millis()).unwrap_or(u64::MAX);
        Some((Self { digest: Sha256::digest(&code).into(), until_ms }, code))
    }

    /// Takes the same time wherever the codes differ.
    pub(super) fn admits(&self, code: &str, now_ms: u64) -> bool {
        let presented: [u8; 32] = Sha256::digest(code).into();
        bool::from(self.digest.ct_eq(&presented)) && now_ms < self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_ends_after_ten_minutes() {
        let (invitation, code) = Invitation::new(1_000).unwrap();
        assert!(invitation.admits(&code, 1_000 + 599_999));
        assert!(!invitation.admits(&code, 1_000 + 600_000));
        assert!(!invitation.admits(&code[1..], 1_000));
    }
}
