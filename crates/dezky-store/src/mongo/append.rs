//! The one insert that writes history.

use std::collections::BTreeSet;
use std::time::Instant;

use dezky_audit_core::ids::TenantSlug;
use mongodb::Collection;
use mongodb::bson::{RawDocumentBuf, doc};

use super::MongoStore;
use super::chain::{Chain, TENANT_MARK};
use super::document::{Marks, encode};
use super::fault::Sent;
use super::tiles::{Pending, note};
use super::value::{integer, number, optional_hash, positions};
use crate::batch::{Branch, Trunk, grow_branches};
use crate::error::StoreError;
use crate::log::{Append, NewEvent, Tip};

/// How often the same documents are sent before the outcome counts as unknown.
const ATTEMPTS: usize = 4;
/// So many tiles are written together.
const TILES_AT_ONCE: usize = 5;
/// Every so many events the log's peaks are stored.
const MARK: usize = 256;

/// What this handle remembers between appends.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// True as long as the log ends at its tip: another process may have written meanwhile.
    pub(super) chain: Option<Chain>,
    /// Tiles of events that are in; written beside a batch once they are some, for each write takes the server a sync.
    pub(super) tiles: Pending,
}

/// What must be put back when a batch did not get in whole.
struct Before {
    trunk: Trunk,
    branches: Vec<(TenantSlug, Option<Branch>)>,
}

impl MongoStore {
    /// Appends a checked batch; `at_once` where the head is probably still the one that this handle knows.
    pub(super) async fn append_to(
        &self,
        side: &mut Side,
        expected: Tip,
        batch: &[NewEvent],
        at_once: bool,
    ) -> Result<Append, StoreError> {
        self.alive()?;
        // Of a head that this handle knows, the unique `_id` says whether it still is the head.
        // At the beginning it does not: the log may have been begun elsewhere since.
        let trusted = at_once && !batch.is_empty() && expected.size > 0;
        let known = side.chain.take_if(|chain| trusted && chain.trunk.tip() == expected);
        let mut chain = match known {
            Some(chain) => chain,
            None => self.caught_up(side).await?,
        };
        let tip = chain.trunk.tip();
        if tip != expected {
            side.chain = Some(chain);
            // What a majority has of it.
            let behind = usize::try_from(tip.size.saturating_sub(expected.size)).unwrap_or(usize::MAX).min(batch.len());
            let own = if self.own(&batch[..behind.min(1)]).await? == 0 { 0 } else { self.own(&batch[..behind]).await? };
            if own > 0 {
                return Ok(Append::Appended { n: own });
            }
            if at_once {
                self.turns.lost();
            }
            return Ok(Append::Conflict);
        }
        if batch.is_empty() {
            side.chain = Some(chain);
            return Ok(Append::Appended { n: 0 });
        }
        let tenants: BTreeSet<&TenantSlug> = batch.iter().filter_map(|event| Some(&event.tenant.as_ref()?.slug)).collect();
        self.load_branches(&mut chain, tenants.iter().copied()).await?;
        let before = Before {
            trunk: chain.trunk.clone(),
            branches: tenants.iter().map(|slug| ((*slug).clone(), chain.branches.get(*slug).cloned())).collect(),
        };
        // The server looks for the keys while the documents are made.
        let (known, grown) = tokio::join!(self.knows_keys(batch), async { grow(&mut chain, batch) });
        let (documents, tiles) = match (known, grown) {
            (Ok(false), Ok(grown)) => grown,
            (Err(error), _) | (_, Err(error)) => {
                side.chain = Some(before.restored(chain));
                return Err(error);
            }
            (Ok(true), Ok(_)) => {
                side.chain = Some(before.restored(chain));
                return Ok(Append::Conflict);
            }
        };
        let pending = if side.tiles.len() < TILES_AT_ONCE { Pending::new() } else { std::mem::take(&mut side.tiles) };
        let (done, (), ()) = tokio::join!(self.insert_all(&documents, batch), self.put_tiles(pending), self.look_whose_turn());
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                side.chain = Some(before.restored(chain));
                return Err(error);
            }
        };
        match done {
            Append::Appended { n } if n == batch.len() => {
                self.turns.won(Instant::now());
                side.tiles.extend(tiles);
                side.chain = Some(chain);
                Ok(Append::Appended { n })
            }
            Append::Appended { n: 0 } | Append::Conflict => {
                self.turns.lost();
                side.chain = Some(before.restored(chain));
                Ok(Append::Conflict)
            }
            Append::Appended { n } => {
                let mut chain = before.restored(chain);
                let (_, tiles) = grow(&mut chain, &batch[..n])?;
                side.tiles.extend(tiles);
                side.chain = Some(chain);
                Ok(Append::Appended { n })
            }
            Append::OutcomeUnknown => Ok(Append::OutcomeUnknown),
        }
    }

    /// Sends the documents until it is known what became of them.
    async fn insert_all(&self, documents: &[RawDocumentBuf], batch: &[NewEvent]) -> Result<Append, StoreError> {
        let events: Collection<RawDocumentBuf> = self.primary.collection("event");
        let (mut from, mut doubt) = (0, false);
        for _ in 0..ATTEMPTS {
            let insert = async { events.insert_many(&documents[from..]).ordered(true).await.map(drop) };
            let sent = tokio::time::timeout(self.answer, insert).await.map_or(Sent::Unknown, Sent::of);
            match sent {
                Sent::All => return Ok(Append::Appended { n: batch.len() }),
                Sent::Duplicate(nth) => {
                    let at = from + nth;
                    let own = match self.own(&batch[at..]).await {
                        Ok(own) => own,
                        // All before it is in; whose it is where the insert stopped only matters when nothing else is.
                        Err(_) if at > 0 && !doubt => return Ok(Append::Appended { n: at }),
                        Err(_) => return Ok(Append::OutcomeUnknown),
                    };
                    if own == 0 {
                        return Ok(Append::Appended { n: at });
                    }
                    from = at + own;
                    doubt = true;
                    if from == batch.len() {
                        return Ok(if self.is_certain(&batch[from - 1]).await {
                            Append::Appended { n: from }
                        } else {
                            Append::OutcomeUnknown
                        });
                    }
                }
                Sent::Nothing(error) if !doubt => return Err(error.into()),
                Sent::Nothing(_) => return Ok(Append::OutcomeUnknown),
                Sent::Unknown => doubt = true,
            }
        }
        Ok(Append::OutcomeUnknown)
    }

    /// How many of these are there already as an earlier attempt put them there: the primary's own view.
    async fn own(&self, batch: &[NewEvent]) -> Result<usize, StoreError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(0) };
        let events = self.events()?;
        let there = doc! { "_id": { "$in": positions(first.seq.get()..=last.seq.get()) } };
        let local = mongodb::options::ReadConcern::local();
        let mut found = self.all(events.find(there).projection(doc! { "hash": 1 }).read_concern(local)).await?;
        found.sort_by_key(|document| number(document, "_id").unwrap_or_default());
        let same = |(document, event): &(&RawDocumentBuf, &NewEvent)| {
            number(document, "_id").is_ok_and(|seq| seq == event.seq.get())
                && optional_hash(document, "hash").is_some_and(|hash| hash == event.hash)
        };
        Ok(found.iter().zip(batch).take_while(same).count())
    }

    /// Whether a majority has this event.
    async fn is_certain(&self, event: &NewEvent) -> bool {
        let Ok(events) = self.events() else { return false };
        let place = doc! { "_id": integer(event.seq.get()) };
        let found = self.first(events.find(place).projection(doc! { "hash": 1 })).await;
        found.is_ok_and(|found| found.and_then(|document| optional_hash(&document, "hash")) == Some(event.hash))
    }
}

impl Before {
    /// The chain as it was.
    fn restored(self, mut chain: Chain) -> Chain {
        chain.trunk = self.trunk;
        for (slug, branch) in self.branches {
            match branch {
                Some(branch) => drop(chain.branches.insert(slug, branch)),
                None => drop(chain.branches.remove(&slug)),
            }
        }
        chain
    }
}

/// Adds a batch to the chain; its documents, with the peaks that are stored with some, and the tiles that it completes.
fn grow(chain: &mut Chain, batch: &[NewEvent]) -> Result<(Vec<RawDocumentBuf>, Pending), StoreError> {
    let mut documents = Vec::with_capacity(batch.len());
    let mut pending = Pending::new();
    let mut rest = batch;
    while !rest.is_empty() {
        // Up to the next event that takes the log's peaks with it.
        let size = usize::try_from(chain.trunk.tip().size % MARK as u64).unwrap_or_default();
        let (part, behind) = rest.split_at(rest.len().min(MARK - size));
        note(&mut pending, chain.trunk.grow(part)?);
        for (event, nth) in part.iter().zip(1..) {
            grow_branches(&mut chain.branches, std::slice::from_ref(event), |_| Ok(None))?;
            let due = event.tenant.as_ref().filter(|place| place.tenant_seq.is_multiple_of(TENANT_MARK));
            let tenant_peaks = due.and_then(|place| Some(chain.branches.get(&place.slug)?.head()?.peaks));
            let marked = nth == part.len() && size + nth == MARK;
            let peaks = marked.then(|| chain.trunk.head().peaks);
            documents.push(encode(event, &Marks { peaks, tenant_peaks }));
        }
        rest = behind;
    }
    Ok((documents, pending))
}
