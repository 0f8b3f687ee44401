//! Logins and credentials that were not accepted, told to the log.
//!
//! A login that was refused is an event of its own, with where it came from, which way was tried, and why in one of a few words;
//! nothing of what was entered, since people type passwords into the wrong field. Credentials of other requests are counted: the
//! first is told at once, those of the minute behind it as one event, and so are logins beyond [`MAX_EACH`] of one address and
//! [`MAX_ALL`] in all within a minute.
//!
//! One event for each, without end, would let anybody who can reach the server write into the log as fast as they can send, for ever:
//! what is appended is never taken back. A summary says what an auditor asks (how many, when, from where). A server that closes
//! tells what it has counted until then; only a process that is killed takes its last minute with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dezky_audit::{Act, ActBy, AuditLog, Clock as _, SystemClock};
use dezky_audit_core::event::Client;
use dezky_audit_core::ids::ActorType;
use dezky_audit_core::time::Timestamp;
use tokio::time::Instant;

use crate::rates::network;

/// How far two summaries are apart at least, and how long logins are counted together.
const APART: Duration = Duration::from_secs(60);
/// The most addresses that a summary names.
const MAX_ADDRESSES: usize = 10;
/// Refused logins of one address that are events of their own, within a minute.
const MAX_EACH: u32 = 10;
/// And of all addresses.
const MAX_ALL: u32 = 60;

/// Why somebody was not let in, as far as the log is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// No token or code of this service, nor one signed by the issuer.
    Unknown,
    Expired,
    Revoked,
    /// A printed code that was used or is too old.
    CodeOver,
    /// The operator's token, or a printed code, from where it is not taken.
    NotFromHere,
    /// Neither role nor group reads anything here.
    NoRole,
    TooManyTenants,
    /// Another site had the browser send it.
    OtherSite,
    /// This browser has begun no login that this would be the end of.
    NotBegun,
    /// The issuer did not let them in.
    DeniedByIssuer,
    /// The issuer does not take the code that came back.
    CodeNotTaken,
    /// A token that the issuer should have signed is not as it should be.
    BadIdentity,
}

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::CodeOver => "code-over",
            Self::NotFromHere => "not-from-here",
            Self::NoRole => "no-role",
            Self::TooManyTenants => "too-many-tenants",
            Self::OtherSite => "other-site",
            Self::NotBegun => "not-begun-here",
            Self::DeniedByIssuer => "denied-by-issuer",
            Self::CodeNotTaken => "code-not-taken",
            Self::BadIdentity => "bad-identity",
        }
    }
}

pub(crate) struct Refusals {
    log: AuditLog,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logins: Minute,
    counted: Option<Counted>,
    told: Option<Instant>,
    /// Whether a task waits to tell the rest.
    waiting: bool,
}

struct Counted {
    count: u64,
    since: Timestamp,
    until: Timestamp,
    addresses: Vec<String>,
}

/// The logins of a minute that were told one by one.
#[derive(Default)]
struct Minute {
    began: Option<Instant>,
    all: u32,
    by_network: HashMap<Option<IpAddr>, u32>,
}

impl Minute {
    /// Whether one more may be told by itself.
    fn admits(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.duration_since(began) >= APART) {
            *self = Self { began: Some(now), ..Self::default() };
        }
        let of_network = self.by_network.get(&address.map(network)).copied().unwrap_or(0);
        let admitted = self.all < MAX_ALL && of_network < MAX_EACH;
        if admitted {
            self.all += 1;
            self.by_network.insert(address.map(network), of_network + 1);
        }
        admitted
    }
}

impl Refusals {
    pub(crate) fn new(log: AuditLog) -> Arc<Self> {
        Arc::new(Self { log, state: Mutex::default() })
    }

    /// Tells one login that was refused, by the way that was tried, or counts it where there are too many.
    pub(crate) fn login(self: &Arc<Self>, address: Option<IpAddr>, method: &'static str, why: Why) {
        let alone = self.state.lock().unwrap_or_else(PoisonError::into_inner).logins.admits(address, Instant::now());
        if alone {
            self.record(Act::LoginRefused { method, reason: why.as_str() }, address);
        } else {
            self.note(address);
        }
    }

    /// Counts one.
    pub(crate) fn note(self: &Arc<Self>, address: Option<IpAddr>) {
        let now = SystemClock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = state.counted.get_or_insert(Counted { count: 0, since: now, until: now, addresses: Vec::new() });
        counted.count += 1;
        counted.until = now;
        if let Some(address) = address.map(|address| address.to_string())
            && counted.addresses.len() < MAX_ADDRESSES
            && !counted.addresses.contains(&address)
        {
            counted.addresses.push(address);
        }
        if state.waiting {
            return;
        }
        match state.told.map(|told| APART.saturating_sub(told.elapsed())).filter(|rest| !rest.is_zero()) {
            None => self.tell(&mut state),
            Some(rest) => {
                state.waiting = true;
                let refusals = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(rest).await;
                    let mut state = refusals.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.waiting = false;
                    refusals.tell(&mut state);
                });
            }
        }
    }

    /// Tells what was counted and not told yet: the server takes no more requests.
    pub(crate) fn close(&self) {
        self.tell(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, state: &mut State) {
        state.told = Some(Instant::now());
        let Some(Counted { count, since, until, addresses }) = state.counted.take() else { return };
        self.record(Act::CredentialsRefused { count, since, until, addresses }, None);
    }

    fn record(&self, act: Act, address: Option<IpAddr>) {
        let Ok(actor_type) = ActorType::new("anonymous") else { return };
        let client = address.map(|ip| Client { ip: Some(ip), user_agent: None });
        drop(self.log.record_act(act, ActBy { actor_type, actor: None, client, tenant: None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_minute_ten_of_an_address_and_sixty_in_all_stand_alone() {
        let (mut minute, now) = (Minute::default(), Instant::now());
        let mut told = |address: Option<&str>, times: u32, now: Instant| {
            let address = address.map(|address| address.parse().unwrap());
            (0..times).filter(|_| minute.admits(address, now)).count()
        };
        assert_eq!(told(Some("192.0.2.1"), 25, now), 10);
        // Whoever has one IPv6 address has 2^64 of them.
        assert_eq!((told(Some("2001:db8::1"), 7, now), told(Some("2001:db8::2"), 7, now)), (7, 3));
        assert_eq!(told(None, 20, now), 10);
        let others: usize = (2..=9).map(|last| told(Some(&format!("192.0.2.{last}")), 20, now)).sum();
        assert_eq!(others, 30);
        let later = now + APART;
        assert_eq!(told(Some("192.0.2.1"), 1, later.checked_sub(Duration::from_millis(1)).unwrap()), 0);
        assert_eq!(told(Some("192.0.2.1"), 25, later), 10);
    }
}
