//! How often, by caller and by address: a client that asks more often is told to come back, before anything is done for it.
//!
//! Recording, webhooks and health are not counted here: what records waits in queues with limits of their own.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::RateLimits;
use crate::problem::{Code, Problem};

/// So often, those that were not heard of lately are forgotten.
const SWEEP: u64 = 1_024;
/// Denied changes that are recorded for one caller: so many at once, then one a second.
const DENIALS: NonZeroU32 = NonZeroU32::new(20).expect("above 0");
const ONE: NonZeroU32 = NonZeroU32::MIN;

pub(crate) struct Rates {
    callers: Keyed<Arc<str>>,
    addresses: Keyed<IpAddr>,
    failures: Keyed<IpAddr>,
    denials: Keyed<Arc<str>>,
    limits: RateLimits,
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            callers: Keyed::new(Quota::per_second(limits.caller_per_second)),
            addresses: Keyed::new(Quota::per_second(limits.address_per_second)),
            failures: Keyed::new(Quota::per_minute(limits.failures_per_minute)),
            denials: Keyed::new(Quota::per_second(ONE).allow_burst(DENIALS)),
            limits,
        }
    }

    pub(crate) fn caller(&self, id: &Arc<str>) -> Result<(), Problem> {
        let often = || format!("more than {} requests a second of this caller", self.limits.caller_per_second);
        if self.callers.admits(id) { Ok(()) } else { Err(Problem::new(Code::TooManyRequests, often())) }
    }

    pub(crate) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        let often = || format!("more than {} requests a second from this address", self.limits.address_per_second);
        if self.addresses.admits(&network(address)) { Ok(()) } else { Err(Problem::new(Code::TooManyRequests, often())) }
    }

    /// Counts credentials that were not accepted. Good ones are never held up by this: where many share an address, one of them
    /// could lock the others out; and nobody guesses 256 bits, at whatever rate.
    pub(crate) fn failure(&self, address: IpAddr) -> Result<(), Problem> {
        let often =
            || format!("more than {} tokens a minute from this address were not accepted", self.limits.failures_per_minute);
        if self.failures.admits(&network(address)) { Ok(()) } else { Err(Problem::new(Code::TooManyRequests, often())) }
    }

    /// Whether another denied request of this caller is recorded.
    pub(crate) fn denial(&self, id: &Arc<str>) -> bool {
        self.denials.admits(id)
    }
}

struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    asked: AtomicU64,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota), asked: AtomicU64::new(0) }
    }

    fn admits(&self, key: &K) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).is_ok()
    }
}

/// Whoever has one IPv6 address has its network of 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_rate_of_its_own() {
        // A minute's worth, so that no time that a test takes gives one back.
        let limits = RateLimits { failures_per_minute: ONE, ..RateLimits::default() };
        let rates = Rates::new(limits);
        let failure = |address: &str| rates.failure(address.parse().unwrap()).is_ok();
        assert!(failure("192.0.2.1") && !failure("192.0.2.1"));
        assert!(failure("192.0.2.2"));
        assert!(failure("2001:db8::1") && !failure("2001:db8::ffff:2") && failure("2001:db8:0:1::1"));
    }
}
