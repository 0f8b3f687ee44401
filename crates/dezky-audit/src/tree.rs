//! The log's tree, read from the tiles that the store keeps.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::InvalidId;
use dezky_audit_core::merkle::Frontier;
use dezky_audit_core::merkle::tile::TileId;
use dezky_audit_core::merkle::tile::read::{TiledTree, tiles_for_frontier, tiles_for_inclusion};
use dezky_store::{Head, Store, StoreError};

/// The tiles give no such tree: some are missing or too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenTree;

/// The tree of the first `size` events.
pub(crate) async fn frontier_at(store: &dyn Store, size: u64) -> Result<Result<Frontier, BrokenTree>, StoreError> {
    let mut tree = tree(store, size, tiles_for_frontier(size)).await?;
    Ok(tree.frontier().map_err(|_| BrokenTree))
}

/// The root of the first `size` events.
pub(crate) async fn root_at(store: &dyn Store, size: u64) -> Result<Result<Hash, BrokenTree>, StoreError> {
    Ok(frontier_at(store, size).await?.map(|frontier| frontier.root()))
}

/// The root that a head's peaks fold to.
pub(crate) fn root_of(head: &Head) -> Result<Hash, BrokenTree> {
    Frontier::from_peaks(head.size, head.peaks.clone()).map(|frontier| frontier.root()).map_err(|_| BrokenTree)
}

/// The audit path of the event at leaf `index` in the tree of `size` events.
pub(crate) async fn inclusion(store: &dyn Store, index: u64, size: u64) -> Result<Result<Vec<Hash>, BrokenTree>, StoreError> {
    let Ok(tiles) = tiles_for_inclusion(index, size) else { return Ok(Err(BrokenTree)) };
    let mut tree = tree(store, size, tiles).await?;
    Ok(tree.inclusion(index).map_err(|_| BrokenTree))
}

pub(crate) async fn tree(
    store: &dyn Store,
    size: u64,
    wanted: Vec<TileId>,
) -> Result<TiledTree<impl FnMut(TileId) -> Result<Vec<Hash>, InvalidId>>, StoreError> {
    let mut tiles = Vec::with_capacity(wanted.len());
    for id in wanted {
        if let Some(hashes) = store.tile(id.level(), id.index()).await? {
            tiles.push((id.level(), id.index(), hashes));
        }
    }
    let read = move |id: TileId| {
        let tile = tiles.iter().find(|(level, index, _)| (*level, *index) == (id.level(), id.index()));
        tile.map(|(_, _, hashes)| hashes.clone()).ok_or(InvalidId { expected: "a tile of the store" })
    };
    Ok(TiledTree::new(size, read))
}
