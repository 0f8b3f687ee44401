//! The platform: its records, and the relay that brings their events to the log.

use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Clock};
use dezky_store::Store;

use crate::acting::Acting;
use crate::directory::PlatformDirectory;
use crate::error::PlatformError;
use crate::event::{Subject, refused};
use crate::flags::{Flag, Flags};
use crate::outbox::{Relay, Relaying};
use crate::partners::{Partner, Partners};
use crate::record::Record;
use crate::tenants::{Tenant, Tenants};
use crate::tokens::{KnownTokens, Token, Tokens};
use crate::users::{User, Users};

/// Everything that operators change. Clones are the same platform.
#[derive(Clone)]
pub struct Platform {
    log: AuditLog,
    clock: Arc<dyn Clock>,
    relay: Arc<Relay>,
    relaying: Arc<Relaying>,
    directory: Arc<PlatformDirectory>,
    known_tokens: Arc<KnownTokens>,
}

/// A change that its caller had no right to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The action that it would have been.
    pub action: &'a str,
    /// `tenants`, `partners`, `flags`, `users` or `tokens`.
    pub collection: &'a str,
    pub key: &'a str,
    pub reason: &'a str,
}

impl Platform {
    /// Over the store of a log; a task relays what an earlier process left in the outbox.
    pub fn start(log: AuditLog, clock: Arc<dyn Clock>) -> Self {
        let relay = Arc::new(Relay::new(log.clone()));
        let relaying = Arc::new(Relaying::start(Arc::clone(&relay)));
        Self { log, clock, relay, relaying, directory: Arc::default(), known_tokens: Arc::default() }
    }

    pub fn tenants(&self) -> Tenants<'_> {
        Tenants::new(self)
    }

    pub fn partners(&self) -> Partners<'_> {
        Partners::new(self)
    }

    pub fn flags(&self) -> Flags<'_> {
        Flags::new(self)
    }

    pub fn users(&self) -> Users<'_> {
        Users::new(self)
    }

    pub fn tokens(&self) -> Tokens<'_> {
        Tokens::new(self)
    }

    /// Tells sources whose an event is. It knows what was changed here, and after [`Platform::refresh_directory`] everything.
    pub fn directory(&self) -> Arc<PlatformDirectory> {
        Arc::clone(&self.directory)
    }

    /// Reads all tenants and users; to be called at start, and now and then where other processes change them too.
    ///
    /// # Errors
    /// `Store`, `Damaged`.
    pub async fn refresh_directory(&self) -> Result<(), PlatformError> {
        self.directory.refresh(self).await
    }

    /// Records that somebody had no right to a change. Never fails its caller.
    pub fn deny(&self, acting: &Acting, refusal: &Refused<'_>) {
        let subject = match refusal.collection {
            Tenant::COLLECTION => Subject::unknown::<Tenant>(refusal.key),
            Partner::COLLECTION => Subject::unknown::<Partner>(refusal.key),
            Flag::COLLECTION => Subject::unknown::<Flag>(refusal.key),
            Token::COLLECTION => Subject::unknown::<Token>(refusal.key),
            _ => Subject::unknown::<User>(refusal.key),
        };
        self.refuse(acting, refusal.action, "denied", subject, refusal.reason);
    }

    /// Records all that is in the outbox, waits for nobody longer than that, and stops relaying.
    pub async fn shutdown(&self, deadline: Duration) {
        self.relaying.stop();
        if tokio::time::timeout(deadline, self.relay.drain()).await.is_err() {
            tracing::warn!("events of changes stay in the outbox until the next start");
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.log.store()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn changed<T: Record>(&self, record: &T, version: u64) {
        self.directory.learn(record);
        if let Some(token) = (record as &dyn std::any::Any).downcast_ref() {
            self.known_tokens.learn(token, version);
        }
    }

    pub(crate) fn known_tokens(&self) -> &KnownTokens {
        &self.known_tokens
    }

    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    pub(crate) fn refuse(&self, acting: &Acting, action: &str, outcome: &str, subject: Subject<'_>, reason: &str) {
        match refused(acting, action, outcome, self.clock.now(), subject, reason) {
            Ok(draft) => drop(self.log.record_best_effort(draft)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a refused change cannot be told as an event");
            }
        }
    }

    /// Records that a change was refused, if it was.
    pub(crate) fn tell_refusal(&self, acting: &Acting, action: &str, subject: Subject<'_>, error: &PlatformError) {
        if error.is_refusal() {
            self.refuse(acting, action, "failure", subject, &error.to_string());
        }
    }
}
