//! Where the log ends, as this process knows it: caught up from where it was, or read anew.

use std::collections::{BTreeMap, BTreeSet};

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::merkle::Frontier;
use dezky_audit_core::merkle::tile::{entries_at, partial_width};
use dezky_audit_core::time::Timestamp;
use futures_util::future::try_join_all;
use mongodb::bson::{RawDocument, doc};

use super::MongoStore;
use super::append::Side;
use super::document::place;
use super::value::{hash, hashes, integer, member, number, part, positions, seq};
use crate::batch::{Branch, Trunk, grow_branches};
use crate::error::StoreError;
use crate::log::{Head, NewEvent, TenantHead, Tip};

/// The most tenants whose streams are kept in memory.
const MAX_BRANCHES: usize = 4_096;
/// How many places behind the known end are looked at, one by one; and then, as long as all are taken, so often so many more. A
/// server may spend as much on a place where nothing is as on another. Whoever is further behind begins anew.
const WINDOW: u64 = 64;
const MORE: (usize, u64) = (16, 256);
/// Questions that are asked beside each other.
const AT_ONCE: usize = 8;
/// Every so many events of a tenant its peaks are stored.
pub(super) const TENANT_MARK: u64 = 64;

/// The log's tree, and the streams of tenants, at one tip.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) trunk: Trunk,
    pub(super) branches: BTreeMap<TenantSlug, Branch>,
}

impl MongoStore {
    /// The chain at the log's end now. Taken out of `side`: whoever still agrees with it puts it back.
    pub(super) async fn caught_up(&self, side: &mut Side) -> Result<Chain, StoreError> {
        self.alive()?;
        if let Some(mut chain) = side.chain.take()
            && self.advance(&mut chain).await?
        {
            return Ok(chain);
        }
        let trunk = self.load_trunk().await?;
        Ok(Chain { trunk, branches: BTreeMap::new() })
    }

    /// Adds what others have appended; false when the chain is not that of this log any more.
    async fn advance(&self, chain: &mut Chain) -> Result<bool, StoreError> {
        let tip = chain.trunk.tip();
        if tip.size == 0 {
            return Ok(false);
        }
        let events = self.events()?;
        let (mut next, mut from) = (Vec::new(), tip.size);
        for window in std::iter::once(WINDOW).chain(std::iter::repeat_n(MORE.1, MORE.0)) {
            let places = doc! { "_id": { "$in": positions(from..=from + window) } };
            let mut found = self.all(events.find(places).projection(doc! { "hash": 1, "tenant": 1 })).await?;
            found.sort_by_key(|document| number(document, "_id").unwrap_or_default());
            for document in &found {
                next.push(link(document)?);
            }
            from += window + 1;
            if found.len() as u64 <= window {
                break;
            }
        }
        let adjoins = |first: &NewEvent| first.seq.get() == tip.size && first.hash == tip.hash;
        if !next.first().is_some_and(adjoins) || next.last().is_some_and(|last| last.seq.get() + 1 == from) {
            return Ok(false);
        }
        next.remove(0);
        let adjacent = next.iter().zip(tip.size + 1..).take_while(|(event, due)| event.seq.get() == *due).count();
        next.truncate(adjacent);
        chain.trunk.grow(&next)?;
        let known: Vec<NewEvent> = next
            .into_iter()
            .filter(|event| event.tenant.as_ref().is_some_and(|t| chain.branches.contains_key(&t.slug)))
            .collect();
        if grow_branches(&mut chain.branches, &known, |_| Ok(None)).is_err() {
            chain.branches.clear();
        }
        Ok(true)
    }

    async fn load_trunk(&self) -> Result<Trunk, StoreError> {
        self.look_for_adopted().await?;
        let Some(head) = self.read_head().await? else { return Ok(Trunk::empty(self.origin.genesis())) };
        let mut tiles = BTreeMap::new();
        for level in (0..).take_while(|level| entries_at(*level, head.size) > 0) {
            if partial_width(level, head.size).is_some() {
                let index = entries_at(level, head.size) / 256;
                tiles.insert((level, index), self.tile_of(level, index, head.size).await?.unwrap_or_default());
            }
        }
        Trunk::load(&head, |level, index| Ok(tiles.get(&(level, index)).cloned()))
    }

    /// The head from the documents alone; `None` when there is no event.
    async fn read_head(&self) -> Result<Option<Head>, StoreError> {
        let events = self.events()?;
        let ends = events.find(doc! {}).sort(doc! { "_id": -1 }).projection(doc! { "hash": 1, "peaks": 1 });
        let Some(last) = self.first(ends).await? else { return Ok(None) };
        let (size, tip) = (number(&last, "_id")?, hash(&last, "hash")?);
        if let Some(peaks) = hashes(&last, "peaks") {
            return Ok(Some(Head { size, hash: tip, peaks }));
        }
        // The nearest stored peaks: where they must be, or, in a log that was begun elsewhere or tampered with, before.
        let due = doc! { "_id": integer(size / 256 * 256) };
        let marked = self.first(events.find(due).projection(doc! { "peaks": 1 })).await?;
        let mut mark = marked.filter(|document| hashes(document, "peaks").is_some());
        if mark.is_none() && size > 256 {
            let before = doc! { "_id": { "$lt": integer(size) }, "peaks": { "$exists": true } };
            mark = self.first(events.find(before).sort(doc! { "_id": -1 }).projection(doc! { "peaks": 1 })).await?;
        }
        let (from, peaks) = match &mark {
            Some(mark) => (number(mark, "_id")?, hashes(mark, "peaks").unwrap_or_default()),
            None => (self.begun().await?.map_or(0, |base| base.0), self.begun().await?.map_or_else(Vec::new, |base| base.1)),
        };
        let mut frontier =
            Frontier::from_peaks(from, peaks).map_err(|_| StoreError::corrupt(format!("the peaks stored with seq {from}")))?;
        for hash in self.event_hashes(from + 1, size).await? {
            frontier.push_event(&hash);
        }
        Ok(Some(Head { size, hash: tip, peaks: frontier.peaks().to_vec() }))
    }

    /// Where a log that comes from another store begins, and its peaks there.
    async fn begun(&self) -> Result<Option<(u64, Vec<Hash>)>, StoreError> {
        let log = self.collection("log")?;
        let begun = self.first(log.find(doc! { "_id": "log" }).projection(doc! { "begun": 1 })).await?;
        let Some(seq) = begun.map(|log| number(&log, "begun")).transpose()?.filter(|seq| *seq > 0) else { return Ok(None) };
        let first = self.first(self.events()?.find(doc! { "_id": integer(seq) }).projection(doc! { "peaks": 1 })).await?;
        let peaks = first.and_then(|first| hashes(&first, "peaks"));
        peaks.map(|peaks| Some((seq, peaks))).ok_or_else(|| StoreError::corrupt(format!("the peaks of seq {seq}, the first")))
    }

    /// The hashes of a range of events, all of which must be there.
    pub(super) async fn event_hashes(&self, first: u64, last: u64) -> Result<Vec<Hash>, StoreError> {
        if first > last {
            return Ok(Vec::new());
        }
        let events = self.events()?;
        let range = if last - first < 256 {
            doc! { "_id": { "$in": positions(first..=last) } }
        } else {
            doc! { "_id": { "$gte": integer(first), "$lte": integer(last) } }
        };
        let found = self.all(events.find(range).sort(doc! { "_id": 1 }).projection(doc! { "hash": 1 })).await?;
        let missing = |seq: u64| StoreError::corrupt(format!("the event {seq}, or its hash, is gone"));
        let mut hashes = Vec::with_capacity(found.len());
        for (document, due) in found.iter().zip(first..) {
            if number(document, "_id")? != due {
                return Err(missing(due));
            }
            hashes.push(hash(document, "hash").map_err(|_| missing(due))?);
        }
        if hashes.len() as u64 == last - first + 1 { Ok(hashes) } else { Err(missing(first + hashes.len() as u64)) }
    }

    /// Sees to it that the streams of these tenants are in the chain, as they are at its tip.
    pub(super) async fn load_branches<'a>(
        &self,
        chain: &mut Chain,
        tenants: impl Iterator<Item = &'a TenantSlug>,
    ) -> Result<(), StoreError> {
        if chain.branches.len() > MAX_BRANCHES {
            chain.branches.clear();
        }
        let Tip { size, .. } = chain.trunk.tip();
        let missing: BTreeSet<&TenantSlug> = tenants.filter(|slug| !chain.branches.contains_key(*slug)).collect();
        let missing: Vec<TenantSlug> = missing.into_iter().cloned().collect();
        for some in missing.chunks(AT_ONCE) {
            let heads = try_join_all(some.iter().map(|slug| self.read_tenant_head(slug, size))).await?;
            for (slug, head) in some.iter().zip(heads) {
                chain.branches.insert(slug.clone(), Branch::load(head)?);
            }
        }
        Ok(())
    }

    /// A tenant's head in the log of that size.
    pub(super) async fn read_tenant_head(&self, slug: &TenantSlug, size: u64) -> Result<Option<TenantHead>, StoreError> {
        let events = self.events()?;
        let own = doc! { "tenant.slug": slug.as_str(), "_id": { "$lte": integer(size) } };
        let newest = events.find(own).sort(doc! { "tenant.seq": -1 }).projection(doc! { "hash": 1, "tenant": 1 });
        // Among so many is the newest that has the stream's peaks with it.
        let mut since = self.all(newest.limit(TENANT_MARK.cast_signed())).await?;
        since.reverse();
        let Some(last) = since.last().cloned() else { return self.adopted_head(slug).await };
        let at = stream_seq(&last)?;
        let damaged = || StoreError::corrupt(format!("the stream of tenant '{slug}' before its event {at}"));
        let marked =
            since.iter().rposition(|event| part(event, "tenant").is_some_and(|tenant| member(tenant, "peaks").is_some()));
        let mut frontier = match marked {
            Some(marked) => {
                let peaks = part(&since[marked], "tenant").and_then(|tenant| hashes(tenant, "peaks")).ok_or_else(damaged)?;
                let mark = stream_seq(&since[marked])?;
                since.drain(..=marked);
                Frontier::from_peaks(mark, peaks).map_err(|_| damaged())?
            }
            None if since.first().is_some_and(|first| stream_seq(first).is_ok_and(|seq| seq == 1)) => Frontier::new(),
            None => {
                let adopted = self.adopted_head(slug).await?.ok_or_else(damaged)?;
                since.retain(|document| stream_seq(document).is_ok_and(|seq| seq > adopted.tenant_seq));
                Frontier::from_peaks(adopted.tenant_seq, adopted.peaks).map_err(|_| damaged())?
            }
        };
        for document in &since {
            if stream_seq(document)? != frontier.size() + 1 {
                return Err(damaged());
            }
            frontier.push_event(&hash(document, "hash")?);
        }
        if frontier.size() != at {
            return Err(damaged());
        }
        Ok(Some(TenantHead {
            tenant_seq: at,
            seq: seq(&last, "_id")?,
            hash: hash(&last, "hash")?,
            peaks: frontier.peaks().to_vec(),
        }))
    }
}

pub(super) fn hint(name: &str) -> mongodb::options::Hint {
    mongodb::options::Hint::Name(name.to_owned())
}

fn stream_seq(document: &RawDocument) -> Result<u64, StoreError> {
    number(part(document, "tenant").ok_or_else(|| StoreError::corrupt("an event's place in its tenant's stream"))?, "seq")
}

/// What of an event its successors build on.
fn link(document: &RawDocument) -> Result<NewEvent, StoreError> {
    Ok(NewEvent {
        seq: Seq::new(number(document, "_id")?).ok_or_else(|| StoreError::corrupt("an event at position 0"))?,
        hash: hash(document, "hash")?,
        line: Vec::new(),
        recorded_at: Timestamp::MIN,
        tenant: place(document)?,
        key: None,
    })
}
