//! The events themselves: read, checked, appended as they are; and compared in the end.

use std::borrow::Cow;
use std::sync::Arc;

use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_store::{Append, DedupeKey, NewEvent, ReadLimit, Scope, Store, StoreError, Stored, TenantPlace, Tip};
use serde::Deserialize;

use super::{CopyError, Progress, Stage, differs};

/// What is read and appended at once.
const CHUNK: ReadLimit = ReadLimit { events: 2_000, bytes: 8 << 20 };
/// How often an append of unknown outcome is looked after before the copy is given up; it can be taken up again.
const MAX_UNKNOWN: u32 = 10;

/// Appends the source's events behind `tip`, up to `size`.
pub(super) async fn append(
    from: &dyn Store,
    to: &dyn Store,
    mut tip: Tip,
    size: u64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), CopyError> {
    let begun = tip.size;
    while tip.size < size {
        let read = from.read(tip.size + 1..=size, CHUNK).await.map_err(CopyError::Source)?;
        let batch = sealed(from, &read, tip.size + 1).await?;
        if batch.is_empty() {
            return Err(CopyError::Broken { seq: tip.size + 1 });
        }
        tip = append_batch(to, tip, batch).await?;
        progress(Progress { stage: Stage::Copying, done: tip.size - begun, total: size - begun });
    }
    Ok(())
}

/// Appends lines that were read from an archive behind `tip`, as they are; says where the log ends then. What was sent with an
/// `externalId` is known again afterwards, its content is not.
///
/// # Errors
/// `Broken` for a line that is not the intact event of its place; `Target` and `OtherWriter` as a copy has them. Call it again
/// with what is still missing.
pub async fn append_lines(to: &dyn Store, tip: Tip, lines: &[Stored]) -> Result<Tip, CopyError> {
    let mut preimage = Vec::new();
    let events =
        (tip.size + 1..).zip(lines).map(|(due, stored)| event(stored, due, &mut preimage).ok_or(CopyError::Broken { seq: due }));
    let mut events = events.collect::<Result<Vec<_>, _>>()?;
    let mut tip = tip;
    while !events.is_empty() {
        let before = tip.size;
        tip = append_batch(to, tip, events.clone()).await?;
        let done = usize::try_from(tip.size - before).unwrap_or(usize::MAX).min(events.len());
        events.drain(..done);
    }
    Ok(tip)
}

/// Appends at least the first event of a batch, and says where the log ends then.
async fn append_batch(to: &dyn Store, tip: Tip, batch: Vec<NewEvent>) -> Result<Tip, CopyError> {
    let batch: Arc<[NewEvent]> = batch.into();
    let after = |n: usize| {
        let last = n.checked_sub(1).and_then(|last| batch.get(last));
        last.map_or(tip, |last| Tip { size: last.seq.get(), hash: last.hash })
    };
    for _ in 0..MAX_UNKNOWN {
        match to.append(tip, Arc::clone(&batch)).await.map_err(CopyError::Target)? {
            Append::Appended { n } => return Ok(after(n)),
            Append::Conflict | Append::OutcomeUnknown => {
                // An append of ours whose answer was lost looks like another writer's, but for the head.
                let head = to.head().await.map_err(CopyError::Target)?.tip();
                let kept = usize::try_from(head.size.saturating_sub(tip.size)).unwrap_or(usize::MAX);
                match kept {
                    0 if head == tip => {}
                    _ if kept <= batch.len() && after(kept) == head => return Ok(head),
                    _ => return Err(CopyError::OtherWriter),
                }
            }
        }
    }
    Err(CopyError::Target(StoreError::Unavailable { what: "it never says what became of an append", source: None }))
}

/// The events of lines that were read, from `first` on without a gap, with the MACs that the source remembers.
async fn sealed(from: &dyn Store, read: &[Stored], first: u64) -> Result<Vec<NewEvent>, CopyError> {
    let mut events = Vec::with_capacity(read.len());
    let mut preimage = Vec::new();
    for (due, stored) in (first..).zip(read) {
        let event = event(stored, due, &mut preimage).ok_or(CopyError::Broken { seq: due })?;
        events.push(event);
    }
    let keys: Vec<_> =
        events.iter().filter_map(|event| event.key.as_ref()).map(|key| (key.source.clone(), key.external_id.clone())).collect();
    let mut receipts = from.seen(&keys).await.map_err(CopyError::Source)?.into_iter();
    for event in &mut events {
        let Some(key) = &mut event.key else { continue };
        let receipt = receipts.next().flatten().filter(|receipt| receipt.seq == event.seq);
        key.content_mac = receipt.and_then(|receipt| receipt.content_mac);
    }
    Ok(events)
}

#[derive(Deserialize)]
struct Keyed<'a> {
    #[serde(rename = "externalId", borrow)]
    external_id: Option<Cow<'a, str>>,
}

/// `None` for a line that is not the intact event of its place.
fn event(stored: &Stored, due: u64, preimage: &mut Vec<u8>) -> Option<NewEvent> {
    let LineCheck::Event(checked) = check_line(&stored.line, preimage) else { return None };
    if stored.seq != due || checked.seq.get() != due || checked.stored_hash != checked.computed_hash {
        return None;
    }
    let keyed: Keyed<'_> = serde_json::from_slice(&stored.line).ok()?;
    let key = match keyed.external_id {
        None => None,
        Some(id) => Some(DedupeKey {
            source: Source::new(checked.source).ok()?,
            external_id: ExternalId::new(&*id).ok()?,
            content_mac: None,
            stands_alone: false,
        }),
    };
    let tenant = match checked.tenant {
        None => None,
        Some(link) => Some(TenantPlace { slug: TenantSlug::new(link.slug).ok()?, tenant_seq: link.seq }),
    };
    Some(NewEvent {
        seq: checked.seq,
        hash: checked.stored_hash,
        line: stored.line.clone(),
        recorded_at: checked.recorded_at,
        tenant,
        key,
    })
}

/// The hash that the event at `seq` states.
pub(super) async fn hash_at(from: &dyn Store, seq: Seq) -> Result<Hash, CopyError> {
    let broken = CopyError::Broken { seq: seq.get() };
    let stored = from.get(&Scope::All, seq).await.map_err(CopyError::Source)?;
    let mut preimage = Vec::new();
    match stored.as_ref().map(|stored| check_line(&stored.line, &mut preimage)) {
        Some(LineCheck::Event(event)) => Ok(event.stored_hash),
        _ => Err(broken),
    }
}

/// Compares the lines of both stores from `first` to `last`, byte by byte.
pub(super) async fn compare(
    from: &dyn Store,
    to: &dyn Store,
    first: u64,
    last: u64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), CopyError> {
    let mut next = first;
    while next <= last {
        let (ours, theirs) = tokio::join!(from.read(next..=last, CHUNK), to.read(next..=last, CHUNK));
        let (ours, theirs) = (ours.map_err(CopyError::Source)?, theirs.map_err(CopyError::Target)?);
        // Where both cut off differs; what one has more is read again.
        let common = ours.len().min(theirs.len());
        let different = ours.iter().zip(&theirs).zip(next..).find(|((ours, theirs), due)| ours != theirs || ours.seq != *due);
        if let Some((_, seq)) = different {
            return Err(differs(format!("event {seq}")));
        }
        if common == 0 {
            return Err(differs(format!("event {next}")));
        }
        next += common as u64;
        progress(Progress { stage: Stage::Comparing, done: next - first, total: last + 1 - first });
    }
    Ok(())
}
