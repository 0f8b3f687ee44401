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
    used: bool,
}

/// What became of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redeemed {
    Good,
    /// It was used before, or is too old.
    Over,
    /// It is good on this machine only, and stays so.
    NotFromHere,
    /// It is not the code that was given out last.
    NoCode,
}

impl Invitation {
    /// Nothing where the system has no randomness.
    pub(super) fn new(now_ms: u64) -> Option<(Self, String)> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        let code = BASE64URL_NOPAD.encode(&bytes);
        let until_ms = now_ms + u64::try_from(INVITATION_TIME.as_millis()).unwrap_or(u64::MAX);
        Some((Self { digest: Sha256::digest(&code).into(), until_ms, used: false }, code))
    }

    /// Takes the same time wherever the codes differ.
    pub(super) fn redeem(&mut self, code: &str, is_here: bool, now_ms: u64) -> Redeemed {
        let presented: [u8; 32] = Sha256::digest(code).into();
        if !bool::from(self.digest.ct_eq(&presented)) {
            Redeemed::NoCode
        } else if self.used || now_ms >= self.until_ms {
            Redeemed::Over
        } else if !is_here {
            Redeemed::NotFromHere
        } else {
            self.used = true;
            Redeemed::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_here_once_and_for_ten_minutes() {
        let (mut invitation, code) = Invitation::new(1_000).unwrap();
        assert_eq!(invitation.redeem(&code[1..], true, 1_000), Redeemed::NoCode);
        assert_eq!(invitation.redeem(&code, true, 1_000 + 600_000), Redeemed::Over);
        assert_eq!(invitation.redeem(&code, false, 1_000), Redeemed::NotFromHere);
        assert_eq!(invitation.redeem(&code, true, 1_000 + 599_999), Redeemed::Good);
        assert_eq!(invitation.redeem(&code, true, 1_000), Redeemed::Over);
    }
}
