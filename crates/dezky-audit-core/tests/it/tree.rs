use std::collections::BTreeMap;
use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::tile::edge::{Tile, TileEdge};
use dezky_audit_core::merkle::tile::read::{
    TileError, TiledTree, tiles_for_consistency, tiles_for_frontier, tiles_for_inclusion,
};
use dezky_audit_core::merkle::tile::{TileId, tiles};
use dezky_audit_core::merkle::{
    Frontier, FrontierError, LeafRange, Leaves, MAX_SIZE, ProofError, ProveError, empty_root, leaf_hash, node_hash,
    prove_consistency, prove_inclusion, root_from_path, verify_consistency, verify_inclusion,
};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::Sha256;

use crate::vectors;

#[test]
fn every_root_and_proof_of_the_log() {
    let tree = vectors::json("tree.json");
    let leaves: Vec<Hash> = vectors::event_hashes("events.jsonl").iter().map(leaf_hash).collect();
    let roots = vectors::hashes(&tree, "roots");
    assert_eq!(vectors::base64(&tree["emptyRoot"]), empty_root());
    assert_eq!((leaves.len(), roots.len()), (40, 40));

    let mut frontier = Frontier::new();
    for (leaf, root) in leaves.iter().zip(&roots) {
        frontier.push(leaf);
        assert_eq!(frontier.root(), *root, "size {}", frontier.size());
        assert_eq!(Frontier::from_peaks(frontier.size(), frontier.peaks().to_vec()), Ok(frontier.clone()));
    }
    let inclusion = vectors::array(&tree, "inclusion");
    assert!(inclusion.len() >= 7);
    for case in inclusion {
        let (index, size, proof) =
            (vectors::number(case, "index"), vectors::number(case, "size"), vectors::hashes(case, "proof"));
        assert_eq!(prove_inclusion(index, size, &mut Leaves(&leaves)).unwrap(), proof);
        assert_eq!(verify_inclusion(&leaves[at(index)], index, size, &proof, &roots[at(size) - 1]), Ok(()));
    }
    let consistency = vectors::array(&tree, "consistency");
    assert!(consistency.len() >= 7);
    for case in consistency {
        let (first, second) = (vectors::number(case, "first"), vectors::number(case, "second"));
        let proof = vectors::hashes(case, "proof");
        assert_eq!(prove_consistency(first, second, &mut Leaves(&leaves)).unwrap(), proof);
        let (first_root, second_root) = (&roots[at(first) - 1], &roots[at(second) - 1]);
        assert_eq!(verify_consistency(first, second, &proof, first_root, second_root), Ok(()));
    }
}

#[test]
fn impossible_numbers_are_refused_at_once() {
    let hash = Hash::of(b"x");
    let path = vec![hash; 64];
    assert_eq!(verify_inclusion(&hash, 0, 0, &[], &hash), Err(ProofError::IndexBeyondSize { index: 0, size: 0 }));
    assert_eq!(verify_inclusion(&hash, 5, 5, &[], &hash), Err(ProofError::IndexBeyondSize { index: 5, size: 5 }));
    assert_eq!(
        verify_inclusion(&hash, u64::MAX, u64::MAX, &path, &hash),
        Err(ProofError::IndexBeyondSize { index: u64::MAX, size: u64::MAX })
    );
    assert_eq!(verify_consistency(0, 5, &path, &hash, &hash), Err(ProofError::FirstSizeZero));
    assert_eq!(verify_consistency(0, 0, &[], &empty_root(), &empty_root()), Err(ProofError::FirstSizeZero));
    assert_eq!(verify_consistency(6, 5, &path, &hash, &hash), Err(ProofError::FirstBeyondSecond { first: 6, second: 5 }));
    assert_eq!(verify_consistency(5, 5, &path, &hash, &hash), Err(ProofError::WrongLength { actual: 64 }));
    assert_eq!(verify_consistency(4, 5, &[], &hash, &hash), Err(ProofError::WrongLength { actual: 0 }));

    // The largest trees there could be take as many steps as they have levels.
    assert!(root_from_path(&hash, 0, u64::MAX, &path).is_ok());
    assert!(root_from_path(&hash, u64::MAX - 1, u64::MAX, &path[..63]).is_ok());
    assert_eq!(root_from_path(&hash, 0, u64::MAX, &path[1..]), Err(ProofError::WrongLength { actual: 63 }));
    assert_eq!(root_from_path(&hash, 0, u64::MAX, &vec![hash; 65]), Err(ProofError::WrongLength { actual: 65 }));
    for (first, second) in [(1, u64::MAX), (1 << 63, u64::MAX), (u64::MAX - 1, u64::MAX), (u64::MAX, u64::MAX)] {
        for proof in [&path[..], &path[..63], &path[..1], &[]] {
            assert!(verify_consistency(first, second, proof, &hash, &Hash::of(b"y")).is_err());
        }
    }
    assert!(matches!(prove_inclusion(3, 3, &mut Leaves(&[hash; 3])), Err(ProveError::Range(_))));
    assert!(matches!(prove_inclusion(0, 4, &mut Leaves(&[hash; 3])), Err(ProveError::Source(_))));
    assert!(matches!(prove_inclusion(0, u64::MAX, &mut Leaves(&[hash; 3])), Err(ProveError::Source(_))));
    assert!(matches!(prove_consistency(0, 3, &mut Leaves(&[hash; 3])), Err(ProveError::Range(_))));
}

#[test]
fn a_frontier_refuses_what_does_not_fit() {
    let hash = Hash::of(b"x");
    assert_eq!(Frontier::from_peaks(5, vec![hash]), Err(FrontierError::PeakCount { size: 5, expected: 2, actual: 1 }));
    assert_eq!(Frontier::from_peaks(MAX_SIZE + 1, vec![hash]), Err(FrontierError::TooLarge));
    assert_eq!(LeafRange::new(u64::MAX), Err(FrontierError::TooLarge));

    let mut frontier = Frontier::from_peaks(6, vec![hash; 2]).unwrap();
    assert_eq!(frontier.append_subtree(2, &hash), Err(FrontierError::Misaligned { at: 6, level: 2 }));
    assert_eq!(frontier.append_subtree(1, &hash), Ok(()));
    assert_eq!((frontier.size(), frontier.peaks().len()), (8, 1));
    assert_eq!(frontier.join(&LeafRange::new(7).unwrap()), Err(FrontierError::NotAdjacent { end: 8, begin: 7 }));

    let mut empty = Frontier::new();
    for level in [53, 63, 64, u32::MAX] {
        assert!(empty.append_subtree(level, &hash).is_err(), "{level}");
    }
    let mut full = Frontier::from_peaks(MAX_SIZE, vec![hash; 53]).unwrap();
    assert_eq!(full.append_subtree(0, &hash), Err(FrontierError::TooLarge));
}

#[test]
fn a_proof_in_a_tree_of_ten_million_reads_a_handful_of_tiles() {
    let size = 10_000_000;
    let mut read = 0;
    // Every leaf is the same, so the hash of a node depends on its level only.
    let mut by_level = vec![leaf_hash(&Hash::of(b"same"))];
    for level in 1..64 {
        let below: Hash = by_level[level - 1];
        by_level.push(node_hash(&below, &below));
    }
    let tile = |id: TileId| Ok::<_, Infallible>(vec![by_level[usize::from(id.level()) * 8]; usize::from(id.width())]);
    let root = TiledTree::new(size, tile).frontier().unwrap().root();
    let mut tree = TiledTree::new(size, |id| {
        read += 1;
        tile(id)
    });
    let path = tree.inclusion(1_234_567).unwrap();
    assert_eq!(verify_inclusion(&by_level[0], 1_234_567, size, &path, &root), Ok(()));
    assert!(read <= 6, "{read} tiles");
}

#[test]
fn a_tile_that_is_too_narrow_is_named() {
    let id = TileId::new(0, 0, 3).unwrap();
    let mut tree = TiledTree::new(3, |_| Ok::<_, Infallible>(vec![Hash::of(b"x")]));
    assert_eq!(tree.frontier(), Err(TileError::TooNarrow { tile: id, actual: 1 }));
    assert_eq!(TileEdge::load(3, |_| Ok::<_, Infallible>(Vec::new())), Err(TileError::TooNarrow { tile: id, actual: 0 }));
}

proptest! {
    #[test]
    fn roots_and_proofs_are_those_of_ct_merkle(entries in vec(any::<[u8; 32]>(), 1..300), pick in any::<[prop::sample::Index; 2]>()) {
        let size = entries.len();
        let mut theirs = MemoryBackedTree::<Sha256, [u8; 32]>::new();
        let mut frontier = Frontier::new();
        let (index, first) = (pick[0].index(size), pick[1].index(size) + 1);
        let mut first_root = empty_root();
        for (at, entry) in entries.iter().enumerate() {
            theirs.push(*entry);
            frontier.push_event(&Hash::new(*entry));
            if at + 1 == first {
                first_root = frontier.root();
            }
        }
        prop_assert_eq!(frontier.root().as_bytes().to_vec(), theirs.root().as_bytes().to_vec());

        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(&Hash::new(*entry))).collect();
        let (index64, first64, size64) = (index as u64, first as u64, size as u64);
        let path = prove_inclusion(index64, size64, &mut Leaves(&leaves)).unwrap();
        prop_assert_eq!(flat(&path), theirs.prove_inclusion(index).as_bytes().to_vec());
        prop_assert_eq!(verify_inclusion(&leaves[index], index64, size64, &path, &frontier.root()), Ok(()));
        let their_path = InclusionProof::<Sha256>::from_bytes(flat(&path));
        prop_assert!(theirs.root().verify_inclusion(&entries[index], index64, &their_path).is_ok());

        let proof = prove_consistency(first64, size64, &mut Leaves(&leaves)).unwrap();
        prop_assert_eq!(verify_consistency(first64, size64, &proof, &first_root, &frontier.root()), Ok(()));
        let their_root = RootHash::<Sha256>::new((*first_root.as_bytes()).into(), first64);
        let their_proof = theirs.prove_consistency(size - first);
        prop_assert!(theirs.root().verify_consistency(&their_root, &their_proof).is_ok());
        prop_assert_eq!(flat(&proof), their_proof.as_bytes());
        prop_assert!(ConsistencyProof::<Sha256>::try_from_bytes(flat(&proof)).is_ok());
    }

    #[test]
    fn a_proof_holds_for_nothing_else(size in 2_u64..200, pick in any::<[prop::sample::Index; 3]>(), flip in 0..256_usize) {
        let leaves = numbered(size);
        let root = root_of(&leaves);
        let index = pick[0].index(leaves.len()) as u64;
        let path = prove_inclusion(index, size, &mut Leaves(&leaves)).unwrap();
        let leaf = &leaves[at(index)];
        for other in (0..size).filter(|other| *other != index) {
            prop_assert!(verify_inclusion(leaf, other, size, &path, &root).is_err());
        }
        prop_assert!(verify_inclusion(leaf, index, size, &path[1..], &root).is_err());
        prop_assert!(verify_inclusion(leaf, index, size, &[&path[..], &[root]].concat(), &root).is_err());
        let mut changed = path.clone();
        let step = pick[1].index(path.len());
        changed[step] = flipped(&changed[step], flip);
        prop_assert!(verify_inclusion(leaf, index, size, &changed, &root).is_err());

        let first = pick[2].index(leaves.len() - 1) as u64 + 1;
        let first_root = root_of(&leaves[..at(first)]);
        let proof = prove_consistency(first, size, &mut Leaves(&leaves)).unwrap();
        prop_assert_eq!(verify_consistency(first, size, &proof, &first_root, &root), Ok(()));
        prop_assert!(verify_consistency(first, size, &proof, &flipped(&first_root, flip), &root).is_err());
        prop_assert!(verify_consistency(first, size, &proof, &first_root, &flipped(&root, flip)).is_err());
        prop_assert!(verify_consistency(first, size, &proof[1..], &first_root, &root).is_err());
        let mut changed = proof.clone();
        let step = pick[1].index(proof.len());
        changed[step] = flipped(&changed[step], flip);
        prop_assert!(verify_consistency(first, size, &changed, &first_root, &root).is_err());
    }

    #[test]
    fn checking_takes_any_numbers(numbers in any::<[u64; 4]>(), shift in 0..64_u32, length in 0..70_usize) {
        let path = vec![Hash::of(b"x"); length];
        for (a, b) in [(numbers[0], numbers[1]), (numbers[0] >> shift, numbers[1]), (numbers[2], u64::MAX), (numbers[3] >> shift, 1 << shift)] {
            prop_assert!(verify_inclusion(&path_leaf(), a, b, &path, &Hash::of(b"y")).is_err());
            prop_assert!(verify_consistency(a, b, &path, &Hash::of(b"y"), &Hash::of(b"z")).is_err());
        }
    }

    #[test]
    fn ranges_join_to_the_same_tree(begin in 0_u64..600, lengths in vec(0_u64..200, 1..5)) {
        let total: u64 = begin + lengths.iter().sum::<u64>();
        let leaves = numbered(total);
        let mut whole = Frontier::new();
        whole.extend(&leaves);
        let mut joined = Frontier::new();
        joined.extend(&leaves[..at(begin)]);
        let mut all = LeafRange::new(begin).unwrap();
        for length in lengths {
            let mut range = LeafRange::new(joined.size()).unwrap();
            range.extend(&leaves[at(range.begin())..at(range.begin() + length)]);
            joined.join(&range).unwrap();
            all.join(&range).unwrap();
        }
        prop_assert_eq!(&joined, &whole);
        let mut at_once = LeafRange::new(begin).unwrap();
        at_once.extend(&leaves[at(begin)..]);
        prop_assert_eq!(all, at_once);
    }

    #[test]
    fn tiles_give_what_the_leaves_give(old in 0_u64..70_000, batches in vec(0_u64..700, 1..4), pick in any::<[prop::sample::Index; 3]>()) {
        // All sizes are tried, small ones more often.
        let old = if old % 3 == 0 { old } else { old % 1000 };
        let total = old + batches.iter().sum::<u64>();
        let leaves = numbered(total);
        let mut stored: BTreeMap<(u8, u64), Vec<Hash>> = BTreeMap::new();
        let mut edge = TileEdge::new();
        store(&mut stored, edge.append(&leaves[..at(old)]).unwrap());
        for batch in batches {
            let loaded = TileEdge::load(edge.size(), |id| Ok::<_, Infallible>(stored[&(id.level(), id.index())].clone())).unwrap();
            prop_assert_eq!(&loaded, &edge);
            let changed = edge.append(&leaves[at(edge.size())..at(edge.size() + batch)]).unwrap();
            store(&mut stored, changed);
        }
        let ids: Vec<TileId> = tiles(total).collect();
        prop_assert_eq!(ids.len(), stored.len());
        for id in ids {
            prop_assert_eq!(stored[&(id.level(), id.index())].len(), usize::from(id.width()), "{}", id);
        }
        if total == 0 {
            return Ok(());
        }
        // A tree of an older size reads the same tiles, wider now than it asks.
        let size = pick[0].index(leaves.len()) as u64 + 1;
        let mut asked = Vec::new();
        let mut tree = TiledTree::new(size, |id| {
            asked.push(id);
            Ok::<_, Infallible>(stored[&(id.level(), id.index())].clone())
        });
        let index = pick[1].index(at(size)) as u64;
        let first = pick[2].index(at(size)) as u64 + 1;
        let frontier = tree.frontier().unwrap();
        let path = tree.inclusion(index).unwrap();
        let proof = tree.consistency(first).unwrap();
        let mut expected = Frontier::new();
        expected.extend(&leaves[..at(size)]);
        prop_assert_eq!(&frontier, &expected);
        prop_assert_eq!(path, prove_inclusion(index, size, &mut Leaves(&leaves)).unwrap());
        prop_assert_eq!(proof, prove_consistency(first, size, &mut Leaves(&leaves)).unwrap());
        let mut announced = tiles_for_frontier(size);
        announced.extend(tiles_for_inclusion(index, size).unwrap());
        announced.extend(tiles_for_consistency(first, size).unwrap());
        announced.sort_unstable();
        announced.dedup();
        asked.sort_unstable();
        prop_assert_eq!(asked, announced);
    }

    #[test]
    fn a_tile_path_that_parses_is_the_one_that_is_shown(text in "tile/[0-9]{1,2}/(x[0-9]{3}/){0,3}[0-9]{2,3}(\\.p/[0-9]{1,3})?") {
        if let Ok(id) = text.parse::<TileId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}

fn store(stored: &mut BTreeMap<(u8, u64), Vec<Hash>>, changed: Vec<Tile>) {
    for tile in changed {
        let place = (tile.id.level(), tile.id.index());
        assert_eq!(tile.hashes.len(), usize::from(tile.id.width()));
        let before = stored.insert(place, tile.hashes).map_or(0, |hashes| hashes.len());
        assert!(before < stored[&place].len(), "{} did not grow", tile.id);
    }
}

fn numbered(size: u64) -> Vec<Hash> {
    (0..size).map(|number| leaf_hash(&Hash::of(&number.to_be_bytes()))).collect()
}

fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    frontier.extend(leaves);
    frontier.root()
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

fn path_leaf() -> Hash {
    Hash::of(b"leaf")
}

fn flat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
