//! The terms that a row of the search copy is found by.
//!
//! A term is ten letters: 50 bits of a hash of what it stands for and of the row's time bucket. Collisions are harmless, since
//! every filter is checked again on the row. Being bound to a bucket keeps each list of postings short, so that a query
//! begins near where it must, stops between buckets when its time is over, and never works on more than one bucket at once.

use crate::projection::{Column, SearchRow, fold};

use super::rank;

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

/// The terms of a row, one after another.
pub(super) fn of_row(row: &SearchRow) -> String {
    let bucket = rank::bucket(row.at);
    let mut text = String::with_capacity(1_024);
    let mut put = |term: Term<'_>| {
        term.write(bucket, &mut text);
        text.push(' ');
    };
    let tenant = row.get(Column::TenantSlug);
    // Alone, and again together with the tenant.
    let owners = if tenant.is_some() { &[None, tenant][..] } else { &[None][..] };
    for column in Column::ALL.into_iter().filter(|column| *column != Column::ResourceName) {
        let Some(value) = row.get(column) else { continue };
        for tenant in owners.iter().filter(|tenant| tenant.is_none() || column != Column::TenantSlug) {
            put(Term::Is { tenant: *tenant, column, value });
        }
    }
    let action = row.get(Column::Action).unwrap_or_default();
    for (dot, _) in action.match_indices('.') {
        for tenant in owners {
            put(Term::Under { tenant: *tenant, prefix: &action[..=dot] });
        }
    }
    let mut trigrams: Vec<[char; 3]> = Vec::with_capacity(64);
    for column in Column::TEXT {
        if let Some(value) = row.get(column) {
            trigrams.extend(trigrams_of(&fold(value)));
        }
    }
    trigrams.sort_unstable();
    trigrams.dedup();
    for trigram in trigrams {
        put(Term::Trigram(trigram));
    }
    text
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
    /// Appends the letters that stand for this term in a time bucket.
    pub(super) fn write(self, bucket: u64, text: &mut String) {
        let mut hash = Fnv::new();
        hash.add(&bucket.to_le_bytes());
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
                    hash.add(&u32::from(character).to_le_bytes());
                }
            }
        }
        let mut bits = hash.finish();
        for _ in 0..10 {
            text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> 59) as usize]));
            bits <<= 5;
        }
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

    fn written(term: Term<'_>, bucket: u64) -> String {
        let mut text = String::new();
        term.write(bucket, &mut text);
        text
    }

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
        let mut all: Vec<String> = terms.iter().flat_map(|term| [written(*term, 1), written(*term, 2)]).collect();
        assert!(all.iter().all(|text| text.len() == 10));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2 * terms.len());
        // Stored in files: a change here is a change of schema.
        assert_eq!(written(terms[0], 1), STABLE);
    }

    const STABLE: &str = "";

    #[test]
    fn a_row_has_its_fields_prefixes_and_trigrams() {
        let row = SearchRow::derive(1, br#"{"action":"a.b.cd","tenantSlug":"acme","resource":{"name":"xy"}}"#);
        let text = of_row(&row);
        let has = |term| text.split(' ').any(|known| known == written(term, 0));
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
