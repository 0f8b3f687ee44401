//! What goes through the recorder: the events of one call, prepared, and how the answer comes back.

use std::collections::HashMap;

use dezky_audit_core::event::{Door, Draft, Prepared, Salt};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source};
use dezky_audit_core::time::Timestamp;
use tokio::sync::oneshot;

use crate::config::RecordLimits;
use crate::keys::IngestSecret;
use crate::record::{Receipt, RecordError, Refusal, RefusalReason};
use crate::world::Randomness;

/// An event that is ready to be linked.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) prepared: Prepared,
    /// Given when the draft has an `externalId`.
    pub(crate) key: Option<Key>,
    /// Which of its call's drafts, from 0.
    pub(crate) index: usize,
}

/// What makes an event the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) source: Source,
    pub(crate) external_id: ExternalId,
    /// Of the content as given.
    pub(crate) mac: Hash,
}

/// What preparing needs.
#[derive(Clone, Copy)]
pub(crate) struct Preparing<'a> {
    pub(crate) secret: &'a IngestSecret,
    pub(crate) random: &'a dyn Randomness,
}

impl Preparing<'_> {
    /// Checks, salts and digests a draft. `at` is when it happened if the draft does not say; it is no part of the
    /// content that is compared.
    pub(crate) fn entry(
        self,
        draft: Draft,
        index: usize,
        door: Door,
        at: Option<Timestamp>,
    ) -> Result<Result<Entry, RefusalReason>, RecordError> {
        let mut salts = [0; 64];
        self.random.fill(&mut salts)?;
        Ok(self.salted(draft, index, door, at, &salts))
    }

    fn salted(
        self,
        mut draft: Draft,
        index: usize,
        door: Door,
        at: Option<Timestamp>,
        salts: &[u8; 64],
    ) -> Result<Entry, RefusalReason> {
        draft.check(door)?;
        let key = draft.external_id.clone().map(|external_id| Key {
            source: draft.source.clone(),
            external_id,
            mac: draft.content_mac(self.secret.as_bytes()),
        });
        draft.at = draft.at.or(at);
        let (salts, _) = salts.as_chunks::<16>();
        // One for each part.
        let mut salts = salts.iter().cycle();
        let prepared = Prepared::new(draft, || Salt::new(salts.next().copied().unwrap_or_default()))?;
        Ok(Entry { prepared, key, index })
    }
}

/// The events of one call. No two of them have the same key.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) entries: Vec<Entry>,
    pub(crate) terms: Terms,
    /// The most bytes that its lines can have.
    pub(crate) bytes: usize,
    reply: oneshot::Sender<UnitResult>,
}

/// What happens to the rest of a unit when one of its events conflicts with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// Nothing is written.
    AllOrNothing,
    /// The others are written.
    EachByItself,
}

/// One answer for each entry, in their order.
pub(crate) type UnitResult = Result<Vec<Answer>, RecordError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Recorded(Receipt),
    /// The event at this position has the key, and another content.
    Conflict(Seq),
}

impl Unit {
    pub(crate) fn new(entries: Vec<Entry>, terms: Terms) -> (Self, oneshot::Receiver<UnitResult>) {
        let bytes = entries.iter().map(|entry| entry.prepared.longest_line()).sum();
        let (reply, answer) = oneshot::channel();
        (Self { entries, terms, bytes, reply }, answer)
    }

    /// Whoever asked may have gone.
    pub(crate) fn reply(self, result: UnitResult) {
        drop(self.reply.send(result));
    }
}

/// The drafts of one call, prepared.
pub(crate) struct Call {
    /// No two with the same key.
    pub(crate) entries: Vec<Entry>,
    /// For each draft where its answer is found, or why it has none.
    pub(crate) places: Vec<Result<CallPlace, RefusalReason>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CallPlace {
    pub(crate) entry: usize,
    /// The draft says again what an earlier one of the call said.
    pub(crate) repeats: bool,
}

/// Who brings drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bringer {
    Caller,
    /// An adapter of ours: as a caller, but it may leave notes in `metadata._audit`.
    Adapter,
}

impl Call {
    /// # Errors
    /// All refused drafts, if there is one.
    pub(crate) fn all_or_nothing(self) -> Result<(Vec<Entry>, Vec<CallPlace>), RecordError> {
        let (mut places, mut refusals) = (Vec::with_capacity(self.places.len()), Vec::new());
        for (index, place) in self.places.into_iter().enumerate() {
            match place {
                Ok(place) => places.push(place),
                Err(reason) => refusals.push(Refusal { index, reason }),
            }
        }
        if refusals.is_empty() { Ok((self.entries, places)) } else { Err(RecordError::Refused(refusals)) }
    }
}

impl Preparing<'_> {
    /// Prepares the drafts of one call; a draft that repeats an earlier one shares its answer.
    pub(crate) fn call(self, drafts: Vec<Draft>, bringer: Bringer) -> Result<Call, RecordError> {
        let (max_events, max_bytes) = (RecordLimits::MAX_EVENTS, RecordLimits::MAX_BYTES);
        if drafts.len() > max_events {
            return Err(RecordError::TooLarge { count: drafts.len(), bytes: 0, max_events, max_bytes });
        }
        let mut call = Call { entries: Vec::with_capacity(drafts.len()), places: Vec::with_capacity(drafts.len()) };
        let mut known: HashMap<(Source, ExternalId), usize> = HashMap::new();
        for (index, draft) in drafts.into_iter().enumerate() {
            let entry = match bringer {
                Bringer::Caller => self.entry(draft, index, Door::Caller, None)?,
                Bringer::Adapter => match without_notes(draft) {
                    Ok(draft) => self.entry(draft, index, Door::Internal, None)?,
                    Err(reason) => Err(reason),
                },
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(reason) => {
                    call.places.push(Err(reason));
                    continue;
                }
            };
            let earlier = entry.key.as_ref().and_then(|key| {
                let new = call.entries.len();
                let at = *known.entry((key.source.clone(), key.external_id.clone())).or_insert(new);
                call.entries.get(at).map(|earlier| (at, earlier.index, earlier.key.as_ref() == Some(key)))
            });
            call.places.push(match earlier {
                None => {
                    call.entries.push(entry);
                    Ok(CallPlace { entry: call.entries.len() - 1, repeats: false })
                }
                Some((at, _, true)) => Ok(CallPlace { entry: at, repeats: true }),
                Some((_, earlier, false)) => Err(RefusalReason::ConflictingInCall { earlier }),
            });
        }
        Ok(call)
    }
}

/// Holds a draft to what callers may send, its metadata apart.
fn without_notes(mut draft: Draft) -> Result<Draft, RefusalReason> {
    let metadata = draft.metadata.take();
    draft.check(Door::Caller)?;
    draft.metadata = metadata;
    Ok(draft)
}
