//! The right edge of the tiles: what a writer keeps in memory to know which tiles an append changes.

use std::error::Error;

use super::read::TileError;
use super::{FULL_WIDTH, TileId, entries_at, partial_width};
use crate::hash::Hash;
use crate::merkle::{FrontierError, MAX_SIZE, fold_perfect};

/// The partial tile of each level of a growing tree: at most 64 KiB.
///
/// After an append that could not be committed, go back to a clone taken before, or load the edge again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TileEdge {
    size: u64,
    /// From level 0 up; a level that is empty now has no tile that could grow.
    partial: Vec<Vec<Hash>>,
}

/// A tile that an append made or widened, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    pub id: TileId,
    /// As many as the width of `id` says.
    pub hashes: Vec<Hash>,
}

impl TileEdge {
    /// The edge of an empty tree.
    pub const fn new() -> Self {
        Self { size: 0, partial: Vec::new() }
    }

    /// The edge of the tree of `size` leaves. `read` is asked for the last, partial tile of each level that has one, and
    /// may answer with more hashes than that.
    ///
    /// # Errors
    /// When a tile cannot be read or is too narrow.
    pub fn load<E: Error + 'static>(
        size: u64,
        mut read: impl FnMut(TileId) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, TileError<E>> {
        let mut partial = Vec::new();
        for level in (0..).take_while(|level| entries_at(*level, size) > 0) {
            let index = entries_at(level, size) / u64::from(FULL_WIDTH);
            let tile = partial_width(level, size).and_then(|width| TileId::new(level, index, width));
            let mut hashes = Vec::new();
            if let Some(tile) = tile {
                hashes = read(tile).map_err(|source| TileError::Read { tile, source })?;
                if hashes.len() < usize::from(tile.width()) {
                    return Err(TileError::TooNarrow { tile, actual: hashes.len() });
                }
                hashes.truncate(usize::from(tile.width()));
            }
            partial.push(hashes);
        }
        Ok(Self { size, partial })
    }

    /// Appends leaf hashes in order and returns every tile that is new or wider now, each once, in its last state: to be
    /// written in the transaction that appends the events, in place of narrower tiles with the same level and index.
    ///
    /// # Errors
    /// When the tree would pass 2^53 − 1 leaves; nothing is changed.
    pub fn append(&mut self, leaves: &[Hash]) -> Result<Vec<Tile>, FrontierError> {
        let added = u64::try_from(leaves.len()).map_err(|_| FrontierError::TooLarge)?;
        let size = self.size.checked_add(added).filter(|size| *size <= MAX_SIZE).ok_or(FrontierError::TooLarge)?;
        let mut changed = Vec::new();
        let mut arriving = leaves.to_vec();
        for level in 0.. {
            if arriving.is_empty() {
                break;
            }
            if self.partial.len() <= usize::from(level) {
                self.partial.push(Vec::new());
            }
            let index = entries_at(level, self.size) / u64::from(FULL_WIDTH);
            let hashes = &mut self.partial[usize::from(level)];
            hashes.append(&mut arriving);
            let (full, rest) = hashes.as_chunks::<{ FULL_WIDTH as usize }>();
            for (id, tile) in (index..).zip(full).filter_map(|(at, tile)| Some((TileId::new(level, at, FULL_WIDTH)?, tile))) {
                changed.push(Tile { id, hashes: tile.to_vec() });
                arriving.extend(fold_perfect(&mut tile.clone()));
            }
            let rest = rest.to_vec();
            if let Some(id) = TileId::of_tree(level, entries_at(level, size) / u64::from(FULL_WIDTH), size) {
                changed.push(Tile { id, hashes: rest.clone() });
            }
            self.partial[usize::from(level)] = rest;
        }
        self.size = size;
        Ok(changed)
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }
}
