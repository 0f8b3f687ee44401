//! From mapped events to the log: tenants found, conflicts told apart, everything counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dezky_audit::{AuditLog, Clock, Directory, Draft, RecordError, Scope, Taken};
use dezky_audit_core::ids::{Action, ActorType, ExternalId, Outcome, Seq};
use dezky_audit_core::json::{Value, most_bytes};
use dezky_audit_core::source::{Mapped, MappedEvent, SourceKey};
use dezky_audit_core::time::Timestamp;

use crate::health::Health;
use crate::problem::Problem;
use crate::same::says_the_same;

/// The most events of one call of the log; while the store makes one durable, the next is prepared.
const MAX_EVENTS: usize = 1_000;
/// The most bytes of them, about.
const MAX_BYTES: usize = 8 << 20;

/// What one delivery came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    pub recorded: u64,
    pub duplicate: u64,
    pub skipped: u64,
    pub changed: u64,
}

/// What a source's events need to get into the log. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub log: AuditLog,
    pub directory: Arc<dyn Directory>,
    pub clock: Arc<dyn Clock>,
    pub health: Health,
    key: SourceKey,
    /// Whether an `externalId` says all that the event does: then a conflict is a duplicate.
    ids_are_contents: bool,
}

impl Delivery {
    pub fn new(log: AuditLog, directory: Arc<dyn Directory>, clock: Arc<dyn Clock>, health: Health) -> Self {
        let key = log.source_key();
        Self { log, directory, clock, health, key, ids_are_contents: false }
    }

    /// For a source whose `externalId`s are made of the content.
    #[must_use]
    pub fn with_ids_of_contents(self) -> Self {
        Self { ids_are_contents: true, ..self }
    }

    pub fn key(&self) -> &SourceKey {
        &self.key
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records what is to be recorded; durable when it returns. An event that was there already with another content is
    /// reported as `<source>.event_changed`.
    ///
    /// # Errors
    /// When not all of it is durable: the same can be delivered again.
    pub async fn deliver(&self, mapped: impl IntoIterator<Item = Mapped>) -> Result<Delivered, Problem> {
        let mut delivering = self.begin();
        delivering.take(mapped).await?;
        delivering.finish().await
    }

    /// The same for what comes in several pieces.
    pub(crate) fn begin(&self) -> Delivering<'_> {
        Delivering { delivery: self, events: Vec::new(), bytes: 0, recording: None, done: Delivered::default() }
    }

    /// Has them prepared and queued.
    fn record(&self, events: Vec<MappedEvent>) -> Recording {
        let draft = |event: &MappedEvent| {
            let whose = self.directory.resolve(&event.hints);
            Draft { tenant: whose.tenant, partner: whose.partner, ..event.draft.clone() }
        };
        let drafts = events.iter().map(draft).collect();
        Recording { taken: Box::pin(self.log.record_ingested(drafts)), events }
    }

    /// Waits until they are durable, and sees to what became of each.
    async fn settle(&self, Recording { events, taken }: Recording, done: &mut Delivered) -> Result<(), Problem> {
        let taken = taken.await?;
        let mut reports = Vec::new();
        for (event, taken) in events.iter().zip(taken) {
            match taken {
                Taken::Recorded(receipt) if receipt.duplicate => self.duplicate(done),
                Taken::Recorded(_) => {
                    done.recorded += 1;
                    self.health.held().count(event);
                }
                Taken::Conflict(_) if self.ids_are_contents => self.duplicate(done),
                Taken::Conflict(seq) => {
                    if self.is_recorded_at(seq, &event.draft).await? {
                        self.duplicate(done);
                    } else {
                        reports.extend(self.report("event_changed", event, Some(seq), None));
                        self.health.held().counts.changed += 1;
                        done.changed += 1;
                    }
                }
                Taken::Refused(reason) => {
                    tracing::warn!(%reason, "an event of a source cannot be recorded as it is");
                    reports.extend(self.report("unreadable", event, None, Some(reason.to_string())));
                    self.health.held().counts.unreadable += 1;
                }
            }
        }
        if !reports.is_empty() {
            // Known by their ids when they come again; they cannot conflict, since those are made of their content.
            self.log.record_ingested(reports).await?;
        }
        Ok(())
    }

    fn duplicate(&self, done: &mut Delivered) {
        done.duplicate += 1;
        self.health.held().counts.duplicate += 1;
    }

    async fn is_recorded_at(&self, seq: Seq, draft: &Draft) -> Result<bool, Problem> {
        let stored = self.log.get(&Scope::All, seq).await?;
        // What has left hot storage cannot be compared; that it came again is no news then.
        Ok(stored.is_none_or(|stored| says_the_same(&stored.line, draft)))
    }

    /// An event of ours about an event of the source.
    fn report(&self, verb: &str, event: &MappedEvent, seq: Option<Seq>, reason: Option<String>) -> Option<Draft> {
        let source = event.draft.source.clone();
        let content = event.draft.content();
        let mac = self.key.mac(verb, &[&content]).to_hex();
        let mut draft = Draft::new(
            Action::new(format!("{source}.{verb}")).ok()?,
            Outcome::new("failure").ok()?,
            source,
            ActorType::new("system").ok()?,
        );
        draft.external_id = ExternalId::new(format!("{verb}-{mac}")).ok();
        let id = event.draft.external_id.as_ref().map(|id| ("externalId", Value::from(id.as_str())));
        #[expect(clippy::cast_precision_loss, reason = "positions and sizes stay below 2^53")]
        let number = |name, number: u64| (name, Value::Number(number as f64));
        let members = [
            id,
            seq.map(|seq| number("seq", seq.get())),
            reason.map(|reason| ("reason", Value::from(reason))),
            Some(("mac", Value::from(mac))),
            Some(number("size", content.len() as u64)),
        ];
        draft.metadata = Some(members.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect());
        // Whoever wants to know what it says now finds it beside it.
        if verb == "event_changed"
            && let (Some(now), Some(members)) = (&event.draft.metadata, &mut draft.metadata)
        {
            members.push(("now".to_owned(), Value::Object(now.clone())));
        }
        Some(draft)
    }
}

/// A delivery under way.
pub(crate) struct Delivering<'d> {
    delivery: &'d Delivery,
    events: Vec<MappedEvent>,
    bytes: usize,
    recording: Option<Recording>,
    done: Delivered,
}

/// Events that the log has, but may not have made durable yet.
struct Recording {
    events: Vec<MappedEvent>,
    taken: Pin<Box<dyn Future<Output = Result<Vec<Taken>, RecordError>> + Send>>,
}

impl Delivering<'_> {
    /// Some of it may not even be on its way when this returns.
    pub(crate) async fn take(&mut self, mapped: impl IntoIterator<Item = Mapped>) -> Result<(), Problem> {
        for mapped in mapped {
            match mapped {
                Mapped::Skipped { raw_action } => {
                    tracing::trace!(raw_action, "skipped");
                    self.delivery.health.held().counts.skipped += 1;
                    self.done.skipped += 1;
                }
                Mapped::Event(event) => {
                    self.bytes += size_of_event(&event.draft);
                    self.events.push(*event);
                }
            }
            if self.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// All of it is durable when this returns.
    pub(crate) async fn finish(mut self) -> Result<Delivered, Problem> {
        self.send().await?;
        self.settle(None).await?;
        Ok(self.done)
    }

    async fn send(&mut self) -> Result<(), Problem> {
        if self.events.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let next = self.delivery.record(std::mem::take(&mut self.events));
        self.settle(Some(next)).await
    }

    /// Lets the one that is under way end, with another one behind it.
    async fn settle(&mut self, next: Option<Recording>) -> Result<(), Problem> {
        match std::mem::replace(&mut self.recording, next) {
            Some(recording) => self.delivery.settle(recording, &mut self.done).await,
            None => Ok(()),
        }
    }
}

/// About how many bytes a draft takes.
fn size_of_event(draft: &Draft) -> usize {
    512 + draft.metadata.as_ref().map_or(0, most_bytes)
}
