//! Events of the log about itself: source `audit`, which no caller can name.

use std::sync::Arc;

use dezky_audit_core::event::{Door, Draft};
use dezky_audit_core::ids::{Action, ActorType, ExternalId, InvalidId, Outcome, Source};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;

use crate::keys::IngestSecret;
use crate::queue::Queue;
use crate::record::{Receipt, RecordError, Refusal};
use crate::unit::{Answer, Preparing, Terms, Unit};
use crate::world::World;

/// The log's own way in.
#[derive(Clone)]
pub(crate) struct OwnEvents {
    pub(crate) queue: Arc<Queue>,
    pub(crate) secret: IngestSecret,
    pub(crate) world: World,
}

/// Best-effort events that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) count: u64,
    /// When the first and the last of them happened.
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl OwnEvents {
    /// An hour without an event.
    pub(crate) async fn heartbeat(&self) -> Result<Receipt, RecordError> {
        self.record("audit.heartbeat", "success", None, Members::new()).await
    }

    /// Events were lost; `id` names this loss, so that it is told once.
    pub(crate) async fn events_lost(&self, loss: Loss, id: &str) -> Result<Receipt, RecordError> {
        let data = vec![
            ("count".to_owned(), number(loss.count)),
            ("since".to_owned(), Value::from(loss.since.to_string())),
            ("until".to_owned(), Value::from(loss.until.to_string())),
        ];
        self.record("audit.events_lost", "failure", Some(id), data).await
    }

    /// The log is signed by other keys from `size` events on; `id` names this change.
    pub(crate) async fn key_changed(&self, old: &[String], new: &[String], size: u64, id: &str) -> Result<Receipt, RecordError> {
        let list = |keys: &[String]| Value::Array(keys.iter().map(|key| Value::from(key.as_str())).collect());
        let data = vec![("old".to_owned(), list(old)), ("new".to_owned(), list(new)), ("size".to_owned(), number(size))];
        self.record("audit.key_changed", "success", Some(id), data).await
    }

    pub(crate) async fn record(
        &self,
        action: &str,
        outcome: &str,
        id: Option<&str>,
        data: Members,
    ) -> Result<Receipt, RecordError> {
        let draft = draft(action, outcome, id, data).map_err(|_| RecordError::Refused(Vec::new()))?;
        let preparing = Preparing { secret: &self.secret, random: &*self.world.random };
        let refused = |reason| RecordError::Refused(vec![Refusal { index: 0, reason }]);
        let entry = preparing.entry(draft, 0, Door::Internal, None)?.map_err(refused)?;
        let (unit, answer) = Unit::new(vec![entry], Terms::EachByItself);
        self.queue.push(unit)?;
        match answer.await.map_err(|_| RecordError::OutcomeUnknown)??.first() {
            Some(Answer::Recorded(receipt)) => Ok(*receipt),
            Some(Answer::Conflict(seq)) => Err(refused(crate::record::RefusalReason::ConflictingContent { seq: *seq })),
            None => Err(RecordError::OutcomeUnknown),
        }
    }
}

fn draft(action: &str, outcome: &str, id: Option<&str>, data: Members) -> Result<Draft, InvalidId> {
    let mut draft = Draft::new(Action::new(action)?, Outcome::new(outcome)?, Source::new("audit")?, ActorType::new("system")?);
    draft.external_id = id.map(ExternalId::new).transpose()?;
    draft.metadata = Some(data);
    Ok(draft)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) fn number(n: u64) -> Value {
    Value::Number(n as f64)
}
