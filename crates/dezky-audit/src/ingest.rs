//! The way in for adapters of ours: each event by itself, and with the notes that callers may not send.

use std::collections::HashMap;
use std::future::Future;

use dezky_audit_core::event::{Door, Draft};
use dezky_audit_core::ids::Seq;
use dezky_audit_core::source::SourceKey;
use tokio::sync::oneshot;

use crate::audit_log::AuditLog;
use crate::record::{Receipt, RecordError, RefusalReason};
use crate::unit::{Answer, Preparing, Terms, Unit, UnitResult};

/// What became of one event of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Recorded(Receipt),
    /// Another event with this `(source, externalId)` says something else; it stands there.
    Conflict(Seq),
    /// It can never be recorded as it is.
    Refused(RefusalReason),
}

/// Where the answer of a draft comes from.
enum Place {
    Entry(usize),
    /// Repeats an earlier one of the same call, or contradicts it.
    Repeats(usize),
    Contradicts(usize),
    Refused(RefusalReason),
}

impl AuditLog {
    /// Records events of a source in their order, one answer each: prepared and queued when the call returns, so that the next
    /// can be prepared meanwhile; durable when the future does. One that conflicts or is refused does not touch the others. At
    /// most as many as [`AuditLog::record_batch`] takes.
    ///
    /// # Errors
    /// When nothing is known of any of them: the same call can be made again, those with an `externalId` are known by it.
    pub fn record_ingested(&self, drafts: Vec<Draft>) -> impl Future<Output = Result<Vec<Taken>, RecordError>> + Send + use<> {
        let queued = self.queue_ingested(drafts);
        async move {
            let (places, answer) = queued?;
            let answers = match answer {
                Some(answer) => answer.await.map_err(|_| RecordError::OutcomeUnknown)??,
                None => Vec::new(),
            };
            places.into_iter().map(|place| place.taken(&answers)).collect()
        }
    }

    fn queue_ingested(&self, drafts: Vec<Draft>) -> Result<(Vec<Place>, Option<oneshot::Receiver<UnitResult>>), RecordError> {
        let inner = &*self.inner;
        let preparing = Preparing { secret: &inner.secret, random: &*inner.world.random };
        let (mut entries, mut places, mut known) = (Vec::new(), Vec::with_capacity(drafts.len()), HashMap::new());
        for (index, draft) in drafts.into_iter().enumerate() {
            let entry = match preparing.entry(draft, index, Door::Internal, None)? {
                Ok(entry) => entry,
                Err(reason) => {
                    places.push(Place::Refused(reason));
                    continue;
                }
            };
            let earlier = entry.key.as_ref().and_then(|key| {
                let name = (key.source.clone(), key.external_id.clone());
                known.insert(name, (entries.len(), key.mac)).map(|earlier| (earlier, key.mac))
            });
            match earlier {
                Some(((at, mac), same)) if mac == same => places.push(Place::Repeats(at)),
                Some(((at, _), _)) => places.push(Place::Contradicts(at)),
                None => {
                    places.push(Place::Entry(entries.len()));
                    entries.push(entry);
                    continue;
                }
            }
            // The first of its name stays the one that is compared with.
            if let (Some(key), Some(((at, mac), _))) = (entry.key, earlier) {
                known.insert((key.source, key.external_id), (at, mac));
            }
        }
        if entries.is_empty() {
            return Ok((places, None));
        }
        let (unit, answer) = Unit::new(entries, Terms::EachByItself);
        inner.queue.push(unit)?;
        Ok((places, Some(answer)))
    }

    /// The key under which sources' contents are named, which is the log's ingest secret.
    pub fn source_key(&self) -> SourceKey {
        SourceKey::new(*self.inner.secret.as_bytes())
    }
}

impl Place {
    fn taken(self, answers: &[Answer]) -> Result<Taken, RecordError> {
        let answer = |at: usize| match answers.get(at) {
            Some(Answer::Recorded(receipt)) => Ok(Taken::Recorded(*receipt)),
            Some(Answer::Conflict(seq)) => Ok(Taken::Conflict(*seq)),
            None => Err(RecordError::OutcomeUnknown),
        };
        match self {
            Self::Entry(at) => answer(at),
            Self::Repeats(at) => answer(at).map(|taken| match taken {
                Taken::Recorded(receipt) => Taken::Recorded(Receipt { duplicate: true, ..receipt }),
                other => other,
            }),
            Self::Contradicts(at) => answer(at).map(|taken| match taken {
                Taken::Recorded(receipt) => Taken::Conflict(receipt.seq),
                other => other,
            }),
            Self::Refused(reason) => Ok(Taken::Refused(reason)),
        }
    }
}
