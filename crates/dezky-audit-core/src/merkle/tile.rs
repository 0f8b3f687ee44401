//! Tiles: the tree cut into files of up to 256 hashes, as C2SP `tlog-tiles` has it (log format, section 6).
//!
//! This file is arithmetic on names and sizes only; what reads tiles is in [`read`], what grows them in [`edge`].
//! Tile (L, N) holds the roots of the perfect subtrees of 256^L leaves from `N · 256` on; at level 0 these are the leaf
//! hashes. Only full tiles feed the level above.

pub mod edge;
pub mod read;

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;
use crate::ids::{InvalidId, parse_decimal};

/// The hashes in a full tile.
pub const FULL_WIDTH: u16 = 256;
/// The highest level that `tlog-tiles` can name. Trees of at most 2^64 − 1 leaves fill levels 0 to 7 only.
pub const MAX_LEVEL: u8 = 63;

const HEIGHT: u32 = 8;
const NO_TILE: InvalidId = InvalidId { expected: "a tile path such as tile/0/x001/234.p/5" };
const NO_BUNDLE: InvalidId = InvalidId { expected: "an entry bundle path such as tile/entries/x001/234.p/5" };

/// The coordinates of a tile. Shown and parsed as its path: `tile/<L>/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

impl TileId {
    /// `None` unless `level` ≤ 63 and 1 ≤ `width` ≤ 256; a full tile has width 256.
    pub const fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        if level > MAX_LEVEL || width == 0 || width > FULL_WIDTH { None } else { Some(Self { level, index, width }) }
    }

    /// The tile at (`level`, `index`) as wide as it is in a tree of `size` leaves; `None` if it does not exist there.
    pub fn of_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(u64::from(FULL_WIDTH))?;
        let width = entries_at(level, size).checked_sub(before)?.min(u64::from(FULL_WIDTH));
        Self::new(level, index, u16::try_from(width).ok()?)
    }

    pub const fn level(self) -> u8 {
        self.level
    }

    pub const fn index(self) -> u64 {
        self.index
    }

    /// The number of hashes that are asked for: 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    pub const fn is_full(self) -> bool {
        self.width == FULL_WIDTH
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_tail(f, self.index, self.width)
    }
}

impl FromStr for TileId {
    type Err = InvalidId;

    /// Reads exactly what [`TileId`] shows; no leading slash.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (level, tail) = text.strip_prefix("tile/")?.split_once('/')?;
            let (index, width) = parse_tail(tail)?;
            Self::new(u8::try_from(parse_decimal(level)?).ok()?, index, width)
        };
        parse().ok_or(NO_TILE)
    }
}

/// The coordinates of an entry bundle: the entries (event hashes) whose leaves are in the tile of level 0 with the same
/// index. Shown and parsed as its path: `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

impl BundleId {
    /// `None` unless 1 ≤ `width` ≤ 256.
    pub const fn new(index: u64, width: u16) -> Option<Self> {
        if width == 0 || width > FULL_WIDTH { None } else { Some(Self { index, width }) }
    }

    pub const fn index(self) -> u64 {
        self.index
    }

    pub const fn width(self) -> u16 {
        self.width
    }

    /// The index of the first leaf: `seq − 1` of the first event. `None` on overflow.
    pub fn first_leaf(self) -> Option<u64> {
        self.index.checked_mul(u64::from(FULL_WIDTH))
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_tail(f, self.index, self.width)
    }
}

impl FromStr for BundleId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (index, width) = parse_tail(text.strip_prefix("tile/entries/")?)?;
            Self::new(index, width)
        };
        parse().ok_or(NO_BUNDLE)
    }
}

/// How many hashes level `level` has in a tree of `size` leaves, over all its tiles.
pub const fn entries_at(level: u8, size: u64) -> u64 {
    match size.checked_shr(HEIGHT * level as u32) {
        Some(entries) => entries,
        None => 0,
    }
}

/// The width of the last, partial tile of `level` in a tree of `size` leaves; `None` where there is none.
pub fn partial_width(level: u8, size: u64) -> Option<u16> {
    u16::try_from(entries_at(level, size) % u64::from(FULL_WIDTH)).ok().filter(|width| *width > 0)
}

/// Every tile that a tree of `size` leaves has, level by level: all full ones and each level's partial one.
pub fn tiles(size: u64) -> impl Iterator<Item = TileId> {
    (0..HEIGHT).flat_map(move |level| {
        let level = u8::try_from(level).unwrap_or(MAX_LEVEL);
        let count = entries_at(level, size).div_ceil(u64::from(FULL_WIDTH));
        (0..count).filter_map(move |index| TileId::of_tree(level, index, size))
    })
}

/// The bytes of a tile: its hashes one after the other.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Reads a tile's bytes back; `None` unless they are 1 to 256 hashes.
pub fn decode_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.is_empty() || hashes.len() > usize::from(FULL_WIDTH) {
        return None;
    }
    Some(hashes.iter().map(|hash| Hash::new(*hash)).collect())
}

/// The bytes of an entry bundle: for each event `00 20` and the 32 bytes of its hash.
pub fn encode_bundle(event_hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(event_hashes.len() * 34);
    for hash in event_hashes {
        bytes.extend_from_slice(&[0, 32]);
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}

/// Reads an entry bundle back; `None` unless it is 1 to 256 entries of 32 bytes.
pub fn decode_bundle(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (entries, rest) = bytes.as_chunks::<34>();
    if !rest.is_empty() || entries.is_empty() || entries.len() > usize::from(FULL_WIDTH) {
        return None;
    }
    entries.iter().map(|entry| Some(Hash::new(entry.strip_prefix(&[0, 32])?.try_into().ok()?))).collect()
}

fn write_tail(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut divisor: u64 = 1;
    while index / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", index / divisor % 1000)?;
        divisor /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width < FULL_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

fn parse_tail(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => {
            let width = u16::try_from(parse_decimal(width)?).ok().filter(|width| *width < FULL_WIDTH)?;
            (groups, width)
        }
        None => (text, FULL_WIDTH),
    };
    let mut index: u64 = 0;
    let mut groups = groups.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // One index has one path, so the first of several groups is not 000.
        if first && digits == "000" && groups.peek().is_some() {
            return None;
        }
        first = false;
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some((index, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_path() {
        let check = |level, index, width, path: &str| {
            let tile = TileId::new(level, index, width).unwrap();
            assert_eq!(tile.to_string(), path);
            assert_eq!(path.parse(), Ok(tile));
        };
        check(0, 0, 256, "tile/0/000");
        check(1, 999, 1, "tile/1/999.p/1");
        check(2, 1_234_067, 255, "tile/2/x001/x234/067.p/255");
        check(63, u64::MAX, 256, "tile/63/x018/x446/x744/x073/x709/x551/615");
        for bad in [
            "",
            "tile/0/",
            "tile/0/0",
            "/tile/0/000",
            "tile/00/000",
            "tile/64/000",
            "tile/0/x000/001",
            "tile/0/001/067",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/+00",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/entries/000",
        ] {
            assert!(bad.parse::<TileId>().is_err(), "{bad}");
        }
        assert_eq!("tile/entries/x001/234.p/5".parse(), Ok(BundleId { index: 1234, width: 5 }));
        assert!("tile/entries/x001/234.p/256".parse::<BundleId>().is_err());
    }

    #[test]
    fn the_largest_tree_has_eight_levels() {
        assert_eq!(entries_at(7, u64::MAX), 255);
        assert_eq!(entries_at(8, u64::MAX), 0);
        assert_eq!(entries_at(255, u64::MAX), 0);
        assert_eq!(TileId::of_tree(0, u64::MAX, u64::MAX), None);
        assert_eq!(tiles(0).count(), 0);
    }

    #[test]
    fn bundles_and_tiles_read_back() {
        let hashes: Vec<Hash> = (0..=255).map(|byte| Hash::new([byte; 32])).collect();
        for width in [1, 7, 256] {
            assert_eq!(decode_tile(&encode_tile(&hashes[..width])).unwrap(), hashes[..width]);
            assert_eq!(decode_bundle(&encode_bundle(&hashes[..width])).unwrap(), hashes[..width]);
        }
        assert_eq!(decode_tile(&[]), None);
        assert_eq!(decode_tile(&[0; 33]), None);
        assert_eq!(decode_tile(&[0; 257 * 32]), None);
        assert_eq!(decode_bundle(&[0; 34]), None);
    }
}
