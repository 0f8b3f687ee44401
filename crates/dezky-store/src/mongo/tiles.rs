//! Tiles: stored a while after they are complete, computed from the hashes of events where not.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::tile::TileId;
use dezky_audit_core::merkle::tile::edge::Tile;
use dezky_audit_core::merkle::{Frontier, leaf_hash};
use mongodb::bson::{Document, doc};

use super::MongoStore;
use super::value::{hashes, joined};
use crate::error::StoreError;
use crate::tiles::Tiles;

/// Tiles that are not written yet.
pub(super) type Pending = BTreeMap<(u8, u64), Vec<Hash>>;

/// Notes what is worth storing: not the last tile of leaves as long as it grows with every event.
pub(super) fn note(pending: &mut Pending, tiles: Vec<Tile>) {
    let worth = tiles.into_iter().filter(|tile| tile.id.level() > 0 || tile.id.is_full());
    pending.extend(worth.map(|tile| ((tile.id.level(), tile.id.index()), tile.hashes)));
}

fn id(level: u8, index: u64) -> String {
    format!("{level}/{index}")
}

impl MongoStore {
    /// Writes tiles that are wider than those that are stored. A failure is none: they are computed where they are missing.
    pub(super) async fn put_tiles(&self, pending: Pending) {
        if pending.is_empty() {
            return;
        }
        let updates: Vec<Document> = pending
            .into_iter()
            .map(|((level, index), hashes)| {
                let width = i64::try_from(hashes.len()).unwrap_or_default();
                // Where a wider one is stored this becomes an insert of the same `_id`, which is refused.
                let narrower = doc! { "_id": id(level, index), "width": { "$lt": width } };
                doc! { "q": narrower, "u": { "$set": { "width": width, "hashes": joined(&hashes) } }, "upsert": true }
            })
            .collect();
        let put = doc! { "update": "tile", "updates": updates, "ordered": false };
        if let Err(error) = self.ask(async { self.primary.run_command(put).await }).await {
            tracing::debug!(%error, "tiles were not stored");
        }
    }

    pub(super) async fn stored_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, StoreError> {
        let tiles = self.collection("tile")?;
        let stored = self.first(tiles.find(doc! { "_id": id(level, index) })).await?;
        Ok(stored.and_then(|tile| hashes(&tile, "hashes")).unwrap_or_default())
    }

    /// A tile of the tree of `size` leaves.
    pub(super) fn tile_of(&self, level: u8, index: u64, size: u64) -> TileFuture<'_> {
        Box::pin(async move {
            let Some(due) = TileId::of_tree(level, index, size) else { return Ok(None) };
            let width = usize::from(due.width());
            let mut hashes = self.stored_tile(level, index).await?;
            hashes.truncate(width);
            let missing = hashes.len()..width;
            let first = index * 256;
            if missing.is_empty() {
                return Ok(Some(hashes));
            }
            if level == 0 {
                let from = first + missing.start as u64 + 1;
                hashes.extend(self.event_hashes(from, first + width as u64).await?.iter().map(leaf_hash));
                return Ok(Some(hashes));
            }
            for nth in missing {
                let below = self.tile_of(level - 1, first + nth as u64, size).await?.unwrap_or_default();
                let mut frontier = Frontier::new();
                frontier.extend(&below);
                hashes.push(frontier.root());
            }
            Ok(Some(hashes))
        })
    }
}

type TileFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<Hash>>, StoreError>> + Send + 'a>>;

#[async_trait]
impl Tiles for MongoStore {
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        let size = crate::EventLog::head(self).await?.size;
        self.tile_of(level, index, size).await
    }
}
