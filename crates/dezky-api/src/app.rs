//! What every handler holds.

use std::ops::Deref;
use std::sync::Arc;

use dezky_audit::{AuditLog, SystemClock};
use dezky_cold::Cold;
use dezky_platform::Platform;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::config::HttpConfig;
use crate::credentials::Credentials;
use crate::handlers::LastProbe;
use crate::metrics::HttpMetrics;
use crate::rates::Rates;
use crate::refusals::Refusals;
use crate::session::Sessions;
use crate::sources::Sources;

/// The most pages that are followed live at once.
const FOLLOWERS: usize = 64;

/// The most logins that the identity provider is asked about at once.
const LOGINS: usize = 32;

/// The log, and what the server needs around it. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    pub(crate) log: AuditLog,
    pub(crate) platform: Platform,
    pub(crate) sources: Sources,
    /// Where events are that have left hot storage.
    pub(crate) cold: Option<Cold>,
    pub(crate) credentials: Credentials,
    pub(crate) sessions: Sessions,
    pub(crate) config: HttpConfig,
    pub(crate) metrics: HttpMetrics,
    pub(crate) rates: Rates,
    /// Credentials that were not accepted.
    pub(crate) refusals: Arc<Refusals>,
    /// A permit for each request that is being answered, the public ones excepted.
    pub(crate) requests: Semaphore,
    /// A permit for each byte of a posted body that is in memory.
    pub(crate) body_bytes: Arc<Semaphore>,
    /// A permit for each export that is being streamed.
    pub(crate) exports: Arc<Semaphore>,
    /// A permit for each page that is followed live.
    pub(crate) followers: Arc<Semaphore>,
    /// A permit for each login that the identity provider is asked about.
    pub(crate) logins: Semaphore,
    /// Whether the server takes no more requests: what streams without end ends then.
    pub(crate) closing: watch::Sender<bool>,
    /// The last look at the store for `/readyz`.
    pub(crate) last_probe: Mutex<Option<LastProbe>>,
}

impl App {
    /// Within a runtime: the platform relays in a task of its own.
    pub fn new(log: AuditLog, credentials: Credentials, config: HttpConfig) -> Self {
        let platform = Platform::start(log.clone(), Arc::new(SystemClock));
        Self::with(log, platform, Sources::default(), None, credentials, config)
    }

    /// The same with a platform that was started before, sources, and cold storage.
    pub fn with(
        log: AuditLog,
        platform: Platform,
        sources: Sources,
        cold: Option<Cold>,
        credentials: Credentials,
        config: HttpConfig,
    ) -> Self {
        let limits = config.limits;
        Self(Arc::new(Parts {
            sessions: Sessions::new(&credentials.session, log.origin().as_str(), limits.session_time),
            requests: Semaphore::new(limits.requests),
            body_bytes: Arc::new(Semaphore::new(limits.bodies_bytes.max(limits.body_bytes))),
            exports: Arc::new(Semaphore::new(limits.exports)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            logins: Semaphore::new(LOGINS),
            closing: watch::Sender::new(false),
            last_probe: Mutex::new(None),
            rates: Rates::new(config.rates),
            refusals: Refusals::new(log.clone()),
            metrics: HttpMetrics::new(log.clone(), sources.clone(), cold.clone(), &limits),
            platform,
            sources,
            cold,
            log,
            credentials,
            config,
        }))
    }

    /// A code that signs its holder in as the operator, once, within ten minutes, from this machine: for whoever starts the
    /// service. `None` where the system has no randomness.
    pub fn invitation(&self) -> Option<String> {
        self.sessions.invite()
    }

    /// What operators change. Shut it down when the server has stopped, before the log.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }
}

impl Parts {
    /// How many bytes of posted bodies are in memory, and how many exports are being streamed.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        let limits = &self.config.limits;
        let bodies = limits.bodies_bytes.max(limits.body_bytes);
        (bodies - self.body_bytes.available_permits(), limits.exports - self.exports.available_permits())
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
