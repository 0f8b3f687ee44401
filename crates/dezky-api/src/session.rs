//! Sessions of people in browsers: signed cookies that nobody stores.
//!
//! A cookie is `base64url(JSON) . base64url(HMAC-SHA-256)` (RFC 2104) over the principal, when it was issued, when it ends, and a
//! random id. It is `HttpOnly`, `SameSite=Lax`, and `Secure` where the browser came by TLS. Whoever logs out is remembered by
//! id until the session would have ended, in this process only: another process with the same secret takes the cookie until
//! then, as it cannot know.
//!
//! A request that its cookie authenticates and that may change something must show that it comes from a page of ours: by the
//! token of its session, in the field `csrf` or the header `X-CSRF-Token`, and by `Sec-Fetch-Site` or `Origin` where the browser sends them.

mod attempt;
mod guard;
mod invitation;

pub(crate) use attempt::Attempt;
pub(crate) use guard::{guarded, same_origin};
pub(crate) use invitation::{INVITATION_TIME, Redeemed};

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use dezky_audit::{Clock as _, SystemClock};
use hmac::{Hmac, KeyInit, Mac};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::caller::Principal;
use crate::problem::{Code, Problem};
use invitation::Invitation;

/// A cookie of more bytes is none of ours: browsers drop those above 4096 with their names and attributes.
const MAX_COOKIE_BYTES: usize = 3_900;
/// Ended sessions that are remembered; beyond, all that are open end.
const MAX_ENDED: usize = 10_000;

/// Opens, finds and ends sessions.
pub(crate) struct Sessions {
    key: Zeroizing<[u8; 32]>,
    /// Two logs on one host, on different ports, share a browser's cookies.
    cookie: String,
    attempt_cookie: String,
    /// How long a session lasts.
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Ids of sessions that were ended, and when they would have been.
    ended: HashMap<String, u64>,
    /// Sessions issued before are over.
    none_before: u64,
    invitation: Option<Invitation>,
}

/// Somebody's session, as their cookie tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) principal: Principal,
    issued: u64,
    expires: u64,
    id: String,
    /// What forms of this session carry.
    #[serde(skip)]
    pub(crate) csrf: String,
}

impl Sessions {
    /// `origin` is the log's; `secret` any text of 256 random bits.
    pub(crate) fn new(secret: &str, origin: &str, lifetime: Duration) -> Self {
        let mark = &Sha256::digest(origin)[..4];
        let cookie = format!("dezky_session_{}", HEXLOWER.encode(mark));
        let key = Zeroizing::new(mac(secret.as_bytes(), b"dezky-session/v1"));
        Self { key, cookie, attempt_cookie: attempt::cookie_name(mark), lifetime, state: Mutex::default() }
    }

    /// A new session, as the value of `Set-Cookie`.
    ///
    /// # Errors
    /// When the system has no randomness, or somebody has so many tenants that no browser would keep the cookie.
    pub(crate) fn open(&self, principal: Principal, secure: bool) -> Result<HeaderValue, Problem> {
        let issued = now_ms();
        let expires = issued.saturating_add(u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX));
        let session = Session { principal, issued, expires, id: random_id()?, csrf: String::new() };
        let value = self.sealed("cookie", &session)?;
        if value.len() > MAX_COOKIE_BYTES {
            let many = "your groups name more tenants than a session can hold";
            return Err(Problem::new(Code::NotPossible, many).hint("ask for fewer, or for a role that sees the whole log"));
        }
        set_cookie(&self.cookie, &value, "/", self.lifetime.as_secs(), secure)
    }

    /// The session of a request, if its cookie is one of ours, and not over.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let session: Session = self.opened("cookie", headers, &self.cookie)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let over = session.expires <= now_ms() || session.issued < state.none_before || state.ended.contains_key(&session.id);
        let csrf = BASE64URL_NOPAD.encode(&self.sign("csrf", &session.id));
        (!over).then_some(Session { csrf, ..session })
    }

    /// Ends a session; the value of `Set-Cookie` makes the browser forget it.
    pub(crate) fn end(&self, session: &Session) -> Result<HeaderValue, Problem> {
        let now = now_ms();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.retain(|_, expires| *expires > now);
        if state.ended.len() >= MAX_ENDED {
            state.ended.clear();
            state.none_before = now;
        }
        state.ended.insert(session.id.clone(), session.expires);
        drop(state);
        set_cookie(&self.cookie, "", "/", 0, false)
    }

    /// A new code that opens one session from this machine; the one before is good for nothing any more.
    pub(crate) fn invite(&self) -> Option<String> {
        let (invitation, code) = Invitation::new(now_ms())?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).invitation = Some(invitation);
        Some(code)
    }

    /// What becomes of a code that came from this machine, or from elsewhere. A good one is good for nothing from then on.
    pub(crate) fn redeem(&self, code: &str, is_here: bool) -> Redeemed {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.invitation {
            Some(invitation) => invitation.redeem(code, is_here, now_ms()),
            None => Redeemed::NoCode,
        }
    }

    fn sign(&self, use_: &str, text: &str) -> [u8; 32] {
        mac(&*self.key, format!("{use_}\n{text}").as_bytes())
    }

    /// A cookie's value: what it holds, and that it is ours, for this use.
    fn sealed(&self, use_: &str, held: &impl Serialize) -> Result<String, Problem> {
        let payload = serde_json::to_vec(held).map_err(|error| Problem::internal(&error))?;
        let payload = BASE64URL_NOPAD.encode(&payload);
        let signature = BASE64URL_NOPAD.encode(&self.sign(use_, &payload));
        Ok(format!("{payload}.{signature}"))
    }

    /// What a request's cookie holds, if it is ours, for this use.
    fn opened<T: DeserializeOwned>(&self, use_: &str, headers: &HeaderMap, name: &str) -> Option<T> {
        let mut ours = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
        let value = ours.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
        if value.len() > MAX_COOKIE_BYTES {
            return None;
        }
        let (payload, signature) = value.split_once('.')?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        if !bool::from(self.sign(use_, payload).ct_eq(signature.as_slice())) {
            return None;
        }
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?).ok()
    }
}

fn set_cookie(name: &str, value: &str, path: &str, seconds: u64, secure: bool) -> Result<HeaderValue, Problem> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).map_err(|error| Problem::internal(&error))
}

/// 128 bits.
fn random_id() -> Result<String, Problem> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| Problem::new(Code::Internal, "the system has no random numbers now"))?;
    Ok(HEXLOWER.encode(&id))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn now_ms() -> u64 {
    SystemClock.now().unix_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(secret: &str, origin: &str) -> Sessions {
        Sessions::new(secret, origin, Duration::from_secs(28_800))
    }

    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(format!("other=1; {pair}; more=2")).unwrap())])
    }

    #[test]
    fn a_session_is_found_until_it_is_ended() {
        let sessions = keyed("secret", "a/b");
        let cookie = sessions.open(Principal::operator(), true).unwrap();
        let text = cookie.to_str().unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=28800"] {
            assert!(text.contains(attribute), "{text}");
        }
        let session = sessions.find(&sent(&cookie)).unwrap();
        assert_eq!(session.principal, Principal::operator());
        assert!(session.csrf.len() == 43 && session.csrf != sessions.find(&sent(&other(&sessions))).unwrap().csrf);
        sessions.end(&session).unwrap();
        assert_eq!(sessions.find(&sent(&cookie)), None);
    }

    #[test]
    fn a_session_lasts_as_long_as_is_set() {
        let short = Sessions::new("secret", "a/b", Duration::ZERO);
        let cookie = short.open(Principal::operator(), true).unwrap();
        assert!(cookie.to_str().unwrap().contains("Max-Age=0"));
        // Whatever a browser does with it, and whichever process is asked.
        assert!(short.find(&sent(&cookie)).is_none() && keyed("secret", "a/b").find(&sent(&cookie)).is_none());
    }

    fn other(sessions: &Sessions) -> HeaderValue {
        sessions.open(Principal::operator(), false).unwrap()
    }

    #[test]
    fn what_was_not_signed_here_is_no_session() {
        let sessions = keyed("secret", "a/b");
        let cookie = sessions.open(Principal::operator(), false).unwrap();
        assert_eq!(keyed("other", "a/b").find(&sent(&cookie)), None);
        assert_eq!(keyed("secret", "a/c").find(&sent(&cookie)), None);
        let text = cookie.to_str().unwrap();
        for (from, to) in [("=ey", "=eyA"), (".", "x."), (".", "")] {
            let forged = HeaderValue::try_from(text.replacen(from, to, 1)).unwrap();
            assert_eq!(sessions.find(&sent(&forged)), None, "{from}");
        }
        assert_eq!(sessions.find(&HeaderMap::new()), None);
    }

    #[test]
    fn a_session_that_no_browser_would_keep_is_refused() {
        let sessions = keyed("secret", "a/b");
        let of = |tenants: usize| Principal {
            role: dezky_platform::Role::TenantAuditor,
            tenants: (0..tenants).map(|n| format!("{n:063}")).collect(),
            ..Principal::operator()
        };
        assert!(sessions.open(of(20), true).unwrap().len() < 4_096);
        assert_eq!(sessions.open(of(100), true).unwrap_err().code(), Code::NotPossible);
    }

    #[test]
    fn a_code_is_good_once() {
        let sessions = keyed("secret", "a/b");
        assert_eq!(sessions.redeem("", true), Redeemed::NoCode);
        let (first, second) = (sessions.invite().unwrap(), sessions.invite().unwrap());
        assert_eq!(sessions.redeem(&first, true), Redeemed::NoCode);
        assert_eq!(sessions.redeem(&second, true), Redeemed::Good);
        assert_eq!(sessions.redeem(&second, true), Redeemed::Over);
    }
}
