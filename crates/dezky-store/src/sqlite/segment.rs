//! The index of some thousand events: their places in the order of lists, and which places have which term.
//!
//! Pure: rows in, bytes out, and back. A place is a number from 0 in the order of (`at`, `seq`) within the segment. Places
//! are kept in chunks of 256 as deltas; the places of a term as deltas too, or as a bitmap where that is shorter; the lists
//! of terms, in the order of their numbers, in blocks that fill a page of the database.

use dezky_audit_core::time::Timestamp;

use super::terms;
use crate::projection::SearchRow;

/// The most events in a segment: a bitmap of them fits on a page.
pub(super) const MAX_EVENTS: usize = 30_720;
/// The places in a chunk.
pub(super) const CHUNK: usize = 256;
/// A block is not made longer than this, unless a single list is.
const BLOCK_BYTES: usize = 3_900;
/// A term's number has 40 bits.
const TERM_BYTES: usize = 5;

/// Where an event stands in lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at_ms: u64,
    pub(super) seq: u64,
}

impl Place {
    pub(super) fn of(row: &SearchRow) -> Self {
        Self { at_ms: row.at.unix_ms(), seq: row.seq }
    }

    /// The time; the last that can be written, where the number is beyond it.
    pub(super) fn at(self) -> Timestamp {
        Timestamp::from_unix_ms(self.at_ms).unwrap_or(Timestamp::MAX)
    }
}

/// A segment, encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) events: usize,
    /// The least and the greatest place.
    pub(super) span: (Place, Place),
    /// The least and the greatest `seq`.
    pub(super) seqs: (u64, u64),
    pub(super) chunks: Vec<Vec<u8>>,
    /// With the number of each block's first term.
    pub(super) blocks: Vec<(u64, Vec<u8>)>,
}

impl Segment {
    /// Indexes rows, at most [`MAX_EVENTS`]; `None` when there are none.
    pub(super) fn build(rows: &[SearchRow]) -> Option<Self> {
        let rows = &rows[..rows.len().min(MAX_EVENTS)];
        let mut order: Vec<&SearchRow> = rows.iter().collect();
        order.sort_by_key(|row| (row.at, row.seq));
        let places: Vec<Place> = order.iter().map(|row| Place::of(row)).collect();
        let span = (*places.first()?, *places.last()?);
        let seqs = rows.iter().fold((u64::MAX, 0), |(least, greatest), row| (row.seq.min(least), row.seq.max(greatest)));

        let mut pairs: Vec<u64> = Vec::with_capacity(rows.len() * 96);
        for (row, place) in order.iter().zip(0_u64..) {
            terms::of_row(row, |term| pairs.push(term << 16 | place));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let chunks = places.chunks(CHUNK).map(encode_places).collect();
        Some(Self { events: rows.len(), span, seqs, chunks, blocks: encode_lists(&pairs, rows.len()) })
    }
}

fn encode_places(places: &[Place]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(places.len() * 6);
    let mut before = Place { at_ms: 0, seq: 0 };
    for place in places {
        put_number(&mut bytes, place.at_ms - before.at_ms);
        put_number(&mut bytes, zigzag(place.seq, before.seq));
        before = *place;
    }
    bytes
}

/// The places of a chunk; as many as can be read.
pub(super) fn decode_places(bytes: &[u8]) -> Vec<Place> {
    let mut places = Vec::with_capacity(CHUNK);
    let mut rest = bytes;
    let mut before = Place { at_ms: 0, seq: 0 };
    while let Some((at_ms, seq)) = take_number(&mut rest).zip(take_number(&mut rest)) {
        before = Place { at_ms: before.at_ms.wrapping_add(at_ms), seq: unzigzag(seq, before.seq) };
        places.push(before);
    }
    places
}

fn encode_lists(pairs: &[u64], events: usize) -> Vec<(u64, Vec<u8>)> {
    let mut blocks: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut entry = Vec::new();
    for list in pairs.chunk_by(|a, b| a >> 16 == b >> 16) {
        let term = list[0] >> 16;
        entry.clear();
        entry.extend_from_slice(&term.to_be_bytes()[8 - TERM_BYTES..]);
        encode_list(list, events, &mut entry);
        match blocks.last_mut() {
            Some((_, block)) if block.len() + entry.len() <= BLOCK_BYTES => block.extend_from_slice(&entry),
            _ => blocks.push((term, entry.clone())),
        }
    }
    blocks
}

/// Writes a length, with its lowest bit telling a bitmap from deltas, and the list.
fn encode_list(list: &[u64], events: usize, entry: &mut Vec<u8>) {
    let place = |pair: &u64| pair & 0xFFFF;
    let mut deltas = Vec::with_capacity(list.len() + 4);
    let mut next = 0;
    for pair in list {
        put_number(&mut deltas, place(pair) - next);
        next = place(pair) + 1;
    }
    let bitmap_bytes = events.div_ceil(8);
    if deltas.len() <= bitmap_bytes {
        put_number(entry, (deltas.len() as u64) << 1);
        entry.extend_from_slice(&deltas);
    } else {
        put_number(entry, (bitmap_bytes as u64) << 1 | 1);
        let mut bitmap = vec![0_u8; bitmap_bytes];
        for place in list.iter().map(place) {
            bitmap[(place / 8) as usize] |= 1 << (place % 8);
        }
        entry.extend_from_slice(&bitmap);
    }
}

/// A set of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places(Vec<u64>);

impl Places {
    pub(super) fn none(events: usize) -> Self {
        Self(vec![0; events.min(MAX_EVENTS).div_ceil(64)])
    }

    /// Adds the places that a block lists for a term.
    pub(super) fn add(&mut self, block: &[u8], term: u64) {
        let Some((bitmap, list)) = find(block, term) else { return };
        if bitmap {
            for (word, bytes) in self.0.iter_mut().zip(list.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word |= u64::from_le_bytes(whole);
            }
        } else {
            let mut rest = list;
            let mut next: u64 = 0;
            while let Some(delta) = take_number(&mut rest) {
                let place = next.wrapping_add(delta);
                if let Some(word) = self.0.get_mut((place / 64) as usize) {
                    *word |= 1 << (place % 64);
                }
                next = place.wrapping_add(1);
            }
        }
    }

    /// Keeps what the other has too.
    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The least place from `from` on.
    pub(super) fn at_or_after(&self, from: usize) -> Option<usize> {
        let first = self.0.get(from / 64)? & (u64::MAX << (from % 64));
        let rest = self.0[from / 64 + 1..].iter().copied();
        let (word, bits) = std::iter::once(first).chain(rest).enumerate().find(|(_, bits)| *bits != 0)?;
        Some((from / 64 + word) * 64 + bits.trailing_zeros() as usize)
    }

    /// The greatest place up to `from`.
    pub(super) fn at_or_before(&self, from: usize) -> Option<usize> {
        let first = self.0.get(from / 64)? & (u64::MAX >> (63 - from % 64));
        let rest = self.0[..from / 64].iter().rev().copied();
        let (word, bits) = std::iter::once(first).chain(rest).enumerate().find(|(_, bits)| *bits != 0)?;
        Some((from / 64 - word) * 64 + 63 - bits.leading_zeros() as usize)
    }
}

/// A term's list in a block, and whether it is a bitmap.
fn find(block: &[u8], term: u64) -> Option<(bool, &[u8])> {
    let wanted = &term.to_be_bytes()[8 - TERM_BYTES..];
    let mut rest = block;
    loop {
        let (here, after) = rest.split_at_checked(TERM_BYTES)?;
        rest = after;
        let header = take_number(&mut rest)?;
        let (list, after) = rest.split_at_checked(usize::try_from(header >> 1).ok()?)?;
        if here >= wanted {
            return if here == wanted { Some((header & 1 == 1, list)) } else { None };
        }
        rest = after;
    }
}

/// LEB128.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The step from one number to another, small ones of either sign as small numbers.
const fn zigzag(to: u64, from: u64) -> u64 {
    let step = to.wrapping_sub(from);
    if to >= from { step << 1 } else { (step.wrapping_neg() << 1) - 1 }
}

const fn unzigzag(step: u64, from: u64) -> u64 {
    if step & 1 == 0 { from.wrapping_add(step >> 1) } else { from.wrapping_sub((step >> 1) + 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(seq: u64, at: u64, action: &str) -> SearchRow {
        let at = Timestamp::from_unix_ms(at).unwrap();
        SearchRow::derive(seq, format!(r#"{{"action":"{action}","at":"{at}"}}"#).as_bytes())
    }

    fn lookup(segment: &Segment, term: u64) -> Places {
        let mut places = Places::none(segment.events);
        let nth = segment.blocks.partition_point(|(first, _)| *first <= term);
        if let Some((_, block)) = nth.checked_sub(1).and_then(|nth| segment.blocks.get(nth)) {
            places.add(block, term);
        }
        places
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_row_is_found_at_its_place(events in prop::collection::vec((0..50_u64, 0..6_usize), 1..400)) {
            let actions = ["a.b", "a.c", "login", "user.role.changed", "x", "file.shared"];
            let rows: Vec<_> = events.iter().zip(1..).map(|((at, n), seq)| row(seq * 7, at * 1_000_003, actions[*n])).collect();
            let segment = Segment::build(&rows).unwrap();
            let mut ordered: Vec<_> = rows.iter().collect();
            ordered.sort_by_key(|row| (row.at, row.seq));
            let places: Vec<Place> = segment.chunks.iter().flat_map(|chunk| decode_places(chunk)).collect();
            let expected: Vec<Place> = ordered.iter().map(|row| Place { at_ms: row.at.unix_ms(), seq: row.seq }).collect();
            prop_assert_eq!(&places, &expected);
            prop_assert_eq!(segment.span, (expected[0], expected[expected.len() - 1]));
            let mut all: Vec<Vec<u64>> = Vec::new();
            for row in &ordered {
                let mut terms = Vec::new();
                terms::of_row(row, |term| terms.push(term));
                all.push(terms);
            }
            let mut distinct = all.concat();
            distinct.sort_unstable();
            distinct.dedup();
            for term in distinct {
                let found = lookup(&segment, term);
                for (place, terms) in all.iter().enumerate() {
                    prop_assert_eq!(found.at_or_after(place) == Some(place), terms.contains(&term));
                    prop_assert_eq!(found.at_or_before(place) == Some(place), terms.contains(&term));
                }
            }
            prop_assert_eq!(lookup(&segment, 1).count(), 0);
        }

        #[test]
        fn damaged_bytes_are_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), term in 0..1_u64 << 40) {
            drop(decode_places(&bytes));
            Places::none(1_000).add(&bytes, term);
        }
    }

    #[test]
    fn places_are_found_in_both_directions() {
        let mut places = Places::none(200);
        for place in [0, 63, 64, 130, 199] {
            places.0[place / 64] |= 1 << (place % 64);
        }
        let up: Vec<usize> = std::iter::successors(places.at_or_after(0), |place| places.at_or_after(place + 1)).collect();
        assert_eq!(up, [0, 63, 64, 130, 199]);
        let down: Vec<usize> = std::iter::successors(places.at_or_before(199), |place| {
            place.checked_sub(1).and_then(|place| places.at_or_before(place))
        })
        .collect();
        assert_eq!(down, [199, 130, 64, 63, 0]);
    }
}
