//! The terms that a row of the search copy is found by.
//!
//! A term is 40 bits of a hash of what it stands for. Collisions are harmless, since every filter is checked again on the row.

use crate::projection::{Column, SearchRow, fold};

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

/// Puts out the terms of a row, some of them more than once.
pub(super) fn of_row(row: &SearchRow, mut put: impl FnMut(u64)) {
    let tenant = row.get(Column::TenantSlug);
    // Alone, and again together with the tenant.
    let owners = if tenant.is_some() { &[None, tenant][..] } else { &[None][..] };
    for column in Column::ALL.into_iter().filter(|column| *column != Column::ResourceName) {
        let Some(value) = row.get(column) else { continue };
        for tenant in owners.iter().filter(|tenant| tenant.is_none() || column != Column::TenantSlug) {
            put(Term::Is { tenant: *tenant, column, value }.number());
        }
    }
    let action = row.get(Column::Action).unwrap_or_default();
    for (dot, _) in action.match_indices('.') {
        for tenant in owners {
            put(Term::Under { tenant: *tenant, prefix: &action[..=dot] }.number());
        }
    }
    for value in Column::TEXT.into_iter().filter_map(|column| row.get(column)) {
        trigrams_of(&fold(value)).for_each(|trigram| put(Term::Trigram(trigram).number()));
    }
}

/// Every three characters in a row of a folded text.
pub(super) fn trigrams_of(folded: &str) -> impl Iterator<Item = [char; 3]> {
    let mut characters = folded.chars();
    let mut window = ['\0', characters.next().unwrap_or('\0'), characters.next().unwrap_or('\0')];
    characters.map(move |next| {
        window = [window[1], window[2], next];
        window
    })
}

impl Term<'_> {
    /// The 40 bits that stand for this term.
    pub(super) fn number(self) -> u64 {
        let mut hash = Fnv::new();
        match self {
            Self::Is { tenant, column, value } => {
                hash.add(&[column as u8]);
                hash.add(tenant.unwrap_or_default().as_bytes());
                hash.add(&[0xFF]);
                hash.add(value.as_bytes());
            }
            Self::Under { tenant, prefix } => {
                hash.add(&[0xFE]);
                hash.add(tenant.unwrap_or_default().as_bytes());
                hash.add(&[0xFF]);
                hash.add(prefix.as_bytes());
            }
            Self::Trigram(characters) => {
                hash.add(&[0xFD]);
                for character in characters {
                    hash.add(&u32::from(character).to_le_bytes()[..3]);
                }
            }
        }
        hash.finish() >> 24
    }
}

/// FNV-1a, stirred at the end (the finalizer of MurmurHash3) since only its upper bits are used. Written into files, so it
/// must not change with a library.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    const fn finish(self) -> u64 {
        let mut bits = self.0;
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        bits ^ (bits >> 33)
    }
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
        assert_eq!((all[0], all[5]), (541_300_983_498, 65_987_568_206));
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
