//! Stalwart's webhook, taken in and kept before it is looked at: `StalwartIntake` for whoever has the route, and [`Emptying`],
//! the work that maps what lies in the inbox.
//!
//! Stalwart holds its events in memory only, waits a second, and drops them after five minutes. So a body is answered as soon as
//! its signature is right and its bytes are on the disk, whatever the log's own state is; a worker maps it later.

mod inbox;
mod signature;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dezky_audit_core::source::stalwart::{AllowList, map_batch};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, Semaphore};

pub use inbox::{Inbox, InboxLimits};
pub use signature::{InvalidKey, WebhookKey};

use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The most bodies that are taken in at the same moment; others wait.
const AT_ONCE: usize = 8;
/// The most bodies that are mapped and recorded together, and the most bytes of them.
const BODIES: usize = 64;
const BYTES: u64 = 4 << 20;

/// Who sends, and what they sign it with.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The header `X-Signature`.
    pub signature: Option<&'a [u8]>,
    /// The address at the other end of the connection, proxies looked through as far as they are trusted.
    pub peer: IpAddr,
}

/// The body is on the disk, and will be mapped. Answer 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub bytes: u64,
}

/// Why a body was not taken. Stalwart sends it again, whatever it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("the body is not signed; set the webhook's signature key to the one that is configured here")]
    Unsigned,
    #[error("the signature in X-Signature is not that of the body; the keys on both sides must be the same")]
    WrongSignature,
    #[error("no signature key is configured here, so only this machine itself may send")]
    NotThisMachine,
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the inbox is full: {limit} bytes wait to be recorded")]
    Full { limit: u64 },
    #[error("the body broke off")]
    Broken,
    #[error("the inbox cannot be written to")]
    Disk(#[source] std::io::Error),
}

impl Refused {
    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unsigned | Self::WrongSignature => 401,
            Self::NotThisMachine => 403,
            Self::TooLarge { .. } => 413,
            Self::Broken => 400,
            Self::Full { .. } | Self::Disk(_) => 503,
        }
    }
}

/// Takes bodies in. Cheap to clone.
#[derive(Clone)]
pub struct StalwartIntake {
    key: Option<WebhookKey>,
    inbox: Arc<Inbox>,
    wake: Arc<Notify>,
    room: Arc<Semaphore>,
}

impl StalwartIntake {
    /// Without a key only this machine itself may send, and a warning says so.
    pub fn new(key: Option<WebhookKey>, inbox: Arc<Inbox>, wake: Arc<Notify>) -> Self {
        if key.is_none() {
            tracing::warn!(
                "STALWART_WEBHOOK_KEY is not set: webhooks are taken from this machine only, and anybody on it can forge them"
            );
        }
        Self { key, inbox, wake, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether bodies have to be signed.
    pub fn is_signed(&self) -> bool {
        self.key.is_some()
    }

    /// Takes one body in: durable when it returns. The signature is checked over the bytes as they came, in constant time.
    ///
    /// # Errors
    /// When it was not taken; nothing of it is kept then.
    pub async fn accept<S, E>(&self, sender: Sender<'_>, body: S) -> Result<Accepted, Refused>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut check = match (&self.key, sender.signature) {
            (Some(key), Some(signature)) => Some(key.check(signature).ok_or(Refused::WrongSignature)?),
            (Some(_), None) => return Err(Refused::Unsigned),
            (None, _) if !sender.peer.to_canonical().is_loopback() => return Err(Refused::NotThisMachine),
            (None, _) => None,
        };
        // Never closed.
        let _place = self.room.acquire().await.map_err(|_| Refused::Broken)?;
        let mut body = body;
        let mut arriving = self.inbox.begin();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Refused::Broken)?;
            if let Some(check) = &mut check {
                check.update(&piece);
            }
            arriving.write(&piece).await?;
        }
        if check.is_some_and(|check| !check.verifies()) {
            return Err(Refused::WrongSignature);
        }
        let bytes = arriving.keep().await?;
        self.wake.notify_one();
        Ok(Accepted { bytes })
    }
}

/// Maps what lies in the inbox, the oldest body first.
pub struct Emptying {
    delivery: Delivery,
    inbox: Arc<Inbox>,
    allow: Arc<AllowList>,
}

impl Emptying {
    /// `delivery` is told that a fingerprint says all that an event does.
    pub fn new(delivery: Delivery, inbox: Arc<Inbox>, allow: Arc<AllowList>) -> Self {
        Self { delivery: delivery.with_ids_of_contents(), inbox, allow }
    }
}

#[async_trait]
impl Work for Emptying {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let disk = |error: std::io::Error| {
            Problem::new(format!("the inbox cannot be read: {error}"), "look at its disk and its permissions")
        };
        let bodies = self.inbox.oldest(BODIES, BYTES).await.map_err(disk)?;
        let Some((newest, _)) = bodies.last() else {
            self.delivery.health.held().waiting = Some(0);
            return Ok(Progress::CaughtUp);
        };
        let (newest, names) = (newest.clone(), bodies.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let key = self.delivery.key().clone();
        let allow = Arc::clone(&self.allow);
        // Each by itself: equal events are told apart within a body.
        let map = move || bodies.iter().flat_map(|(_, body)| map_batch(body, &key, &allow)).collect::<Vec<_>>();
        let mapped =
            tokio::task::spawn_blocking(map).await.map_err(|_| Problem::new("mapping a body failed", "please report it"))?;
        self.delivery.deliver(mapped).await?;
        for name in names {
            self.inbox.remove(&name).await.map_err(disk)?;
        }
        let mut health = self.delivery.health.held();
        health.waiting = Some(self.inbox.bodies());
        health.cursor = newest;
        Ok(Progress::More)
    }
}
