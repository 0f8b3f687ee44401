//! How the server behaves: limits and trust, all with defaults.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use crate::oidc::{LoginConfig, Oidc};
use crate::server::Tls;

/// Settings of the HTTP side.
#[derive(Debug, Clone, Default)]
pub struct HttpConfig {
    /// Peers whose `X-Forwarded-For` and `Forwarded` are believed. Empty: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    pub bootstrap_token: BootstrapToken,
    /// Who names people; `None`: only tokens of this service are accepted.
    pub oidc: Option<Oidc>,
    /// How people log in to the console there; `None`: not at all. Means nothing without `oidc`.
    pub login: Option<LoginConfig>,
    pub limits: Limits,
    pub rates: RateLimits,
    /// Whether it is recorded that a person looked at events, or exported them.
    pub record_views: bool,
    /// A certificate and its key; `None`: TLS ends before this server, or nowhere.
    pub tls: Option<Tls>,
}

/// How often. Recording, webhooks and health are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of one caller.
    pub caller_per_second: NonZeroU32,
    /// Requests from one address; of IPv6, from one network of 64 bits.
    pub address_per_second: NonZeroU32,
    /// Tokens from one address that are not accepted; more are answered with 429.
    pub failures_per_minute: NonZeroU32,
}

impl Default for RateLimits {
    fn default() -> Self {
        let n = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self { caller_per_second: n(2_000), address_per_second: n(5_000), failures_per_minute: n(120) }
    }
}

/// From where the operator's token is accepted: by the address at the other end of the socket, so that a proxy on this machine
/// makes everybody local.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BootstrapToken {
    /// From this machine.
    #[default]
    Loopback,
    Anywhere,
    Off,
}

/// How much, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most open connections; more wait in the listener's backlog.
    pub connections: usize,
    /// The most requests answered at once; more are turned away with 503.
    pub requests: usize,
    /// The most exports streamed at once.
    pub exports: usize,
    /// The most bytes of one posted body.
    pub body_bytes: usize,
    /// The most bytes of all posted bodies in memory; more wait. A parsed body takes several times its size.
    pub bodies_bytes: usize,
    /// The most bytes of a request's head.
    pub head_bytes: usize,
    /// The most headers of a request.
    pub headers: usize,
    /// How long a request's head may take to arrive, and an idle connection may stay.
    pub head_time: Duration,
    /// How long a posted body may take to arrive.
    pub body_time: Duration,
    /// How long an answer may take once the body is there, but for those of [`crate::Pace::Long`] routes.
    pub answer_time: Duration,
    /// How long a client may go without taking any byte of its answer.
    pub stall_time: Duration,
    /// How long open requests are waited for after the stop signal.
    pub drain_time: Duration,
    /// How long somebody stays signed in to the console, with the role that they had when they came.
    pub session_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            requests: 512,
            exports: 8,
            body_bytes: 16 << 20,
            bodies_bytes: 32 << 20,
            head_bytes: 32 << 10,
            headers: 64,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            answer_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(20),
            session_time: Duration::from_secs(8 * 60 * 60),
        }
    }
}
