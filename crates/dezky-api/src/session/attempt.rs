//! A sign-in that was begun in a browser, until the identity provider sends that browser back.
//!
//! The browser keeps a random id, where it wanted to go, and until when, in a signed cookie of ten minutes. What the provider gets
//! to see (`state`, `nonce`, and of the verifier its hash) is derived from the id under the sessions' key: nobody stores it, each
//! process with the same key can finish what another began, and the verifier leaves no process but for the provider.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Sessions, now_ms, random_id, set_cookie};
use crate::problem::Problem;

/// How long one may take at the identity provider.
const LIFETIME_MS: u64 = 10 * 60 * 1000;
/// A longer path is forgotten.
const MAX_NEXT: usize = 1_500;
const USE: &str = "attempt";

/// What must be the same when the browser comes back.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// RFC 6749, section 10.12.
    pub(crate) state: String,
    /// OpenID Connect Core 1.0, section 3.1.2.1.
    pub(crate) nonce: String,
    /// RFC 7636, section 4.1: 43 characters.
    pub(crate) verifier: String,
    /// Where the browser wanted to go.
    pub(crate) next: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    next: String,
    expires: u64,
}

impl Sessions {
    /// A new one, and the value of `Set-Cookie`. `next` is a path of ours.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn attempt(&self, next: &str, secure: bool) -> Result<(Attempt, HeaderValue), Problem> {
        let next = if next.len() > MAX_NEXT { "/" } else { next };
        let kept = Kept { id: random_id()?, next: next.to_owned(), expires: now_ms() + LIFETIME_MS };
        let value = self.sealed(USE, &kept)?;
        Ok((self.of(kept), self.attempt_header(&value, LIFETIME_MS / 1000, secure)?))
    }

    /// The one that this browser has begun, if that was not too long ago.
    pub(crate) fn attempted(&self, headers: &HeaderMap) -> Option<Attempt> {
        let kept: Kept = self.opened(USE, headers, &self.attempt_cookie)?;
        (kept.expires > now_ms()).then(|| self.of(kept))
    }

    /// The value of `Set-Cookie` that makes the browser forget it.
    pub(crate) fn end_attempt(&self, secure: bool) -> Result<HeaderValue, Problem> {
        self.attempt_header("", 0, secure)
    }

    fn of(&self, Kept { id, next, .. }: Kept) -> Attempt {
        let derived = |use_: &str| BASE64URL_NOPAD.encode(&self.sign(use_, &id));
        Attempt { state: derived("state"), nonce: derived("nonce"), verifier: derived("verifier"), next }
    }

    fn attempt_header(&self, value: &str, max_age_seconds: u64, secure: bool) -> Result<HeaderValue, Problem> {
        set_cookie(&self.attempt_cookie, value, "/login", max_age_seconds, secure)
    }
}

/// What browsers know the cookie by; `mark` tells logs on one host apart.
pub(super) fn cookie_name(mark: &[u8]) -> String {
    format!("dezky_login_{}", HEXLOWER.encode(mark))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::COOKIE;

    use super::*;
    use crate::caller::Principal;

    fn keyed(secret: &str, origin: &str) -> Sessions {
        Sessions::new(secret, origin, Duration::from_secs(60))
    }

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(pair).unwrap())])
    }

    #[test]
    fn any_process_with_the_key_finishes_what_another_began() {
        let sessions = keyed("secret", "a/b");
        let (begun, cookie) = sessions.attempt("/events/7?x=%20", true).unwrap();
        let text = cookie.to_str().unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/login", "Max-Age=600"] {
            assert!(text.contains(attribute), "{text}");
        }
        assert!(keyed("secret", "a/b").attempted(&sent(&cookie)) == Some(begun.clone()));
        assert_eq!((begun.verifier.len(), begun.next.as_str()), (43, "/events/7?x=%20"));
        // What the cookie holds is none of what must stay here.
        for secret in [&begun.state, &begun.nonce, &begun.verifier] {
            assert!(!text.contains(secret.as_str()));
        }
        assert!(begun.state != begun.nonce && begun.nonce != begun.verifier);
        let (other, _) = sessions.attempt("/", true).unwrap();
        assert!(other.state != begun.state && other.verifier != begun.verifier);
        assert_eq!(sessions.attempt(&format!("/{}", "x".repeat(2_000)), true).unwrap().0.next, "/");
    }

    #[test]
    fn what_was_not_begun_here_is_no_attempt() {
        let sessions = keyed("secret", "a/b");
        let (_, cookie) = sessions.attempt("/", false).unwrap();
        assert!(keyed("other", "a/b").attempted(&sent(&cookie)).is_none());
        assert!(keyed("secret", "a/c").attempted(&sent(&cookie)).is_none());
        assert!(sessions.attempted(&HeaderMap::new()).is_none());
        // A session is no attempt, whatever its cookie is called.
        let session = sessions.open(Principal::operator(), false).unwrap();
        let value = session.to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
        let renamed = HeaderValue::try_from(format!("{}={value}", sessions.attempt_cookie)).unwrap();
        assert!(sessions.attempted(&sent(&renamed)).is_none());
        let late = Kept { id: "1".to_owned(), next: "/".to_owned(), expires: now_ms() };
        let late = format!("{}={}", sessions.attempt_cookie, sessions.sealed(USE, &late).unwrap());
        assert!(sessions.attempted(&sent(&HeaderValue::try_from(late).unwrap())).is_none());
    }
}
