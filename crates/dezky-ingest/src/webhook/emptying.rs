//! What lies in an inbox becomes drafts.

use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::source::generic::Mapping;
use dezky_audit_core::source::stalwart::{AllowList, map_batch};
use dezky_audit_core::source::{Mapped, SourceKey};
use tokio::sync::mpsc;

use super::inbox::Inbox;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The most bodies that are mapped and recorded together, and the most bytes of them.
const BODIES: usize = 64;
const BYTES: u64 = 4 << 20;
/// So many events are mapped ahead of what is recorded.
const AHEAD: usize = 1_000;

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Stalwart(AllowList),
    Generic(Box<Mapping>),
}

impl Form {
    fn map<'a>(&'a self, body: &'a [u8], key: &'a SourceKey) -> Box<dyn Iterator<Item = Mapped> + 'a> {
        match self {
            Self::Stalwart(allow) => Box::new(map_batch(body, key, allow)),
            Self::Generic(mapping) => Box::new(mapping.map(body, key)),
        }
    }

    /// Whether an `externalId` is made of the content.
    fn has_ids_of_contents(&self) -> bool {
        match self {
            Self::Stalwart(_) => true,
            Self::Generic(mapping) => !mapping.has_ids(),
        }
    }
}

/// Maps what lies in an inbox, the oldest body first.
pub struct Emptying {
    delivery: Delivery,
    inbox: Arc<Inbox>,
    form: Arc<Form>,
}

impl Emptying {
    pub fn new(delivery: Delivery, inbox: Arc<Inbox>, form: Arc<Form>) -> Self {
        let delivery = if form.has_ids_of_contents() { delivery.with_ids_of_contents() } else { delivery };
        Self { delivery, inbox, form }
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
        let (give, mut take) = mpsc::channel(1);
        let (key, form) = (self.delivery.key().clone(), Arc::clone(&self.form));
        // A thread of its own maps some while others are recorded. Each body by itself: equal events are told apart within one.
        let mapping = tokio::task::spawn_blocking(move || {
            let mut ahead = Vec::new();
            for mapped in bodies.iter().flat_map(|(_, body)| form.map(body, &key)) {
                ahead.push(mapped);
                if ahead.len() == AHEAD && give.blocking_send(std::mem::take(&mut ahead)).is_err() {
                    return;
                }
            }
            // Where nobody takes it, the round was given up.
            drop(give.blocking_send(ahead));
        });
        let mut delivering = self.delivery.begin();
        while let Some(mapped) = take.recv().await {
            delivering.take(mapped).await?;
        }
        delivering.finish().await?;
        mapping.await.map_err(|_| Problem::new("mapping a body failed", "please report it"))?;
        for name in names {
            self.inbox.remove(&name).await.map_err(disk)?;
        }
        let mut health = self.delivery.health.held();
        health.waiting = Some(self.inbox.bodies());
        health.cursor = newest;
        Ok(Progress::More)
    }
}
