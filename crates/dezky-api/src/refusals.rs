//! Credentials that were not accepted, told to the log: the first at once, those of the minute behind it as one event.
//!
//! One event for each would let anybody who can reach the server write into the log as fast as they can send, for ever: what is
//! appended is never taken back. A summary says what an auditor asks (how many, when, from where) and is one event a minute at
//! most. A server that closes tells what it has counted until then; only a process that is killed takes its last minute with it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dezky_audit::{Act, ActBy, AuditLog, Clock as _, SystemClock};
use dezky_audit_core::ids::ActorType;
use dezky_audit_core::time::Timestamp;
use tokio::time::Instant;

/// How far two events are apart at least.
const APART: Duration = Duration::from_secs(60);
/// The most addresses that an event names.
const MAX_ADDRESSES: usize = 10;

pub(crate) struct Refusals {
    log: AuditLog,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
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

impl Refusals {
    pub(crate) fn new(log: AuditLog) -> Arc<Self> {
        Arc::new(Self { log, state: Mutex::default() })
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
        let Ok(actor_type) = ActorType::new("anonymous") else { return };
        let by = ActBy { actor_type, actor: None, client: None, tenant: None };
        drop(self.log.record_act(Act::LoginRefused { count, since, until, addresses }, by));
    }
}
