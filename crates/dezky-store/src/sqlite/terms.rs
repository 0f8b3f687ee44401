//! The terms that a row of the search copy is found by.
//!
//! A term is 40 bits of a hash of what it stands for. Collisions are harmless, since every filter is checked again on the row.

use crate::projection::{Column, SearchRow, fold_into};

/// What a row can be found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term<'a> {
    /// A column's value, of any tenant, or of one.
    Is { tenant: Option<&'a str>, column: Column, value: &'a str },
    /// The action begins with this, which ends in a dot.
    Under { tenant: Option<&'a str>, prefix: &'a str },
    /// One of the text columns, folded, contains these characters in a row.
    Trigram([char; 3]),
}

impl Term<'_> {
    /// The 40 bits that stand for this term.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Is { tenant, column, value } => joined(kind(column), hash(value), owner(tenant)),
            Self::Under { tenant, prefix } => joined(UNDER, hash(prefix), owner(tenant)),
            Self::Trigram([a, b, c]) => {
                stirred((u64::from(u32::from(a)) << 42 | u64::from(u32::from(b)) << 21 | u64::from(u32::from(c))) ^ TRIGRAM)
            }
        }
    }
}

/// Puts out the terms of a row, some of them more than once.
pub(super) fn of_row(row: &SearchRow, mut put: impl FnMut(u64)) {
    let tenant = row.get(Column::TenantSlug).map(hash);
    // Alone, and again together with the tenant.
    let mut put_both = |kind, value| {
        put(joined(kind, value, 0));
        if let Some(tenant) = tenant {
            put(joined(kind, value, tenant));
        }
    };
    for column in Column::ALL.into_iter().filter(|column| *column != Column::ResourceName) {
        if let Some(value) = row.get(column) {
            put_both(kind(column), hash(value));
        }
    }
    let action = row.get(Column::Action).unwrap_or_default();
    for (dot, _) in action.match_indices('.') {
        put_both(UNDER, hash(&action[..=dot]));
    }
    for value in Column::TEXT.into_iter().filter_map(|column| row.get(column)) {
        let mut window = Window::default();
        fold_into(value, |character| {
            if let Some(trigram) = window.push(character) {
                put(Term::Trigram(trigram).number());
            }
        });
    }
}

/// Every three characters in a row of a folded text.
pub(super) fn trigrams_of(folded: &str) -> impl Iterator<Item = [char; 3]> {
    let mut window = Window::default();
    folded.chars().filter_map(move |character| window.push(character))
}

/// The last characters of a text.
#[derive(Default)]
struct Window {
    last: [char; 2],
    seen: usize,
}

impl Window {
    /// The three characters that end in this one, once there are as many.
    fn push(&mut self, character: char) -> Option<[char; 3]> {
        let [a, b] = self.last;
        self.last = [b, character];
        self.seen += 1;
        if self.seen > 2 { Some([a, b, character]) } else { None }
    }
}

// The functions below are written into files: they must not change, nor come from a library that might.

const UNDER: u64 = 0xFE << 56;
const TRIGRAM: u64 = 0xFD << 56;

const fn kind(column: Column) -> u64 {
    (column as u64) << 56
}

fn owner(tenant: Option<&str>) -> u64 {
    tenant.map_or(0, hash)
}

/// A value of a kind, with its owner (0 for none).
const fn joined(kind: u64, value: u64, owner: u64) -> u64 {
    stirred(value ^ kind ^ owner.rotate_left(29).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// 40 bits that depend on all 64 (the finalizer of MurmurHash3).
const fn stirred(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    (bits ^ (bits >> 33)) >> 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_stable_and_distinct() {
        let is = |tenant, column, value| Term::Is { tenant, column, value };
        let terms = [
            is(None, Column::Action, "a.b"),
            is(None, Column::Source, "a.b"),
            is(Some("t"), Column::Action, "a.b"),
            is(Some("ta"), Column::Action, ".b"),
            Term::Under { tenant: None, prefix: "a." },
            Term::Trigram(['a', '.', 'b']),
        ];
        let mut all = terms.map(Term::number).to_vec();
        // Stored in files: a change here is a change of schema.
        assert_eq!((all[0], all[5]), (655_288_211_733, 73_654_872_034));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), terms.len());
    }

    #[test]
    fn a_row_has_its_fields_prefixes_and_trigrams() {
        let row = SearchRow::derive(1, br#"{"action":"a.b.cd","tenantSlug":"acme","resource":{"name":"xy"}}"#);
        let mut terms = Vec::new();
        of_row(&row, |term| terms.push(term));
        let has = |term: Term<'_>| terms.contains(&term.number());
        assert!(has(Term::Trigram(['a', '.', 'b'])));
        assert!(has(Term::Is { tenant: Some("acme"), column: Column::Action, value: "a.b.cd" }));
        assert!(has(Term::Is { tenant: None, column: Column::TenantSlug, value: "acme" }));
        assert!(has(Term::Under { tenant: None, prefix: "a.b." }));
        assert!(has(Term::Under { tenant: Some("acme"), prefix: "a." }));
        assert!(has(Term::Trigram(['c', 'm', 'e'])));
        // No trigram reaches from one field into another.
        assert!(!has(Term::Trigram(['c', 'd', 'x'])));
        assert_eq!(trigrams_of("ab").count(), 0);
        assert_eq!(trigrams_of("äbcd").collect::<Vec<_>>(), [['ä', 'b', 'c'], ['b', 'c', 'd']]);
    }
}
