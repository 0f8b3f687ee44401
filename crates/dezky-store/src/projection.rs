//! The searchable copy of a line: derived here and nowhere else, in every backend.
//!
//! Tolerant: a part that is withheld or sealed gives no values, and neither does a line that is no event; it still has a
//! row, by its position alone.

mod fields;

use dezky_audit_core::time::Timestamp;

use crate::copy::Difference;

/// The columns of the copy beside `seq` and `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    Action,
    Outcome,
    Source,
    ActorType,
    ActorId,
    ActorEmail,
    ResourceType,
    ResourceId,
    ResourceName,
    TenantSlug,
    PartnerSlug,
    ClientIp,
}

impl Column {
    pub const ALL: [Self; 12] = [
        Self::Action,
        Self::Outcome,
        Self::Source,
        Self::ActorType,
        Self::ActorId,
        Self::ActorEmail,
        Self::ResourceType,
        Self::ResourceId,
        Self::ResourceName,
        Self::TenantSlug,
        Self::PartnerSlug,
        Self::ClientIp,
    ];

    /// The columns that free text is looked for in, each by itself.
    pub const TEXT: [Self; 4] = [Self::Action, Self::ResourceName, Self::ActorEmail, Self::TenantSlug];

    /// The column's name in a database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Outcome => "outcome",
            Self::Source => "source",
            Self::ActorType => "actor_type",
            Self::ActorId => "actor_id",
            Self::ActorEmail => "actor_email",
            Self::ResourceType => "resource_type",
            Self::ResourceId => "resource_id",
            Self::ResourceName => "resource_name",
            Self::TenantSlug => "tenant_slug",
            Self::PartnerSlug => "partner_slug",
            Self::ClientIp => "client_ip",
        }
    }
}

/// One event's searchable copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRow {
    pub seq: u64,
    /// 1970-01-01 when the line does not tell.
    pub at: Timestamp,
    values: [Option<Box<str>>; Column::ALL.len()],
}

impl SearchRow {
    /// What the line of the event at `seq` says.
    pub fn derive(seq: u64, line: &[u8]) -> Self {
        let (at, values) = fields::read(line).unwrap_or_default();
        Self { seq, at: at.unwrap_or(Timestamp::MIN), values }
    }

    /// A row as a database returned it.
    pub(crate) const fn from_parts(seq: u64, at: Timestamp, values: [Option<Box<str>>; Column::ALL.len()]) -> Self {
        Self { seq, at, values }
    }

    pub fn get(&self, column: Column) -> Option<&str> {
        self.values[column as usize].as_deref()
    }

    /// Where `actual` is not what this row says.
    pub fn differences(&self, actual: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        if self.at != actual.at {
            differences.push(Difference { column: "at", expected: self.at.to_string(), actual: actual.at.to_string() });
        }
        for column in Column::ALL {
            let (expected, found) = (self.get(column), actual.get(column));
            if expected != found {
                let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
                differences.push(Difference { column: column.as_str(), expected: text(expected), actual: text(found) });
            }
        }
        differences
    }
}

/// Text folded for searching: every character to its Unicode lower case by itself, so that folding a part of a text gives
/// a part of the folded text.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    fold_into(text, |character| folded.push(character));
    folded
}

/// Puts out the characters of the folded text.
pub(crate) fn fold_into(text: &str, mut put: impl FnMut(char)) {
    for character in text.chars() {
        if character.is_ascii() {
            put(character.to_ascii_lowercase());
        } else {
            character.to_lowercase().for_each(&mut put);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_what_the_line_says() {
        let line = br#"{"action":"tenant.suspended","actor":{"email":"a@b.c","id":"u1","salt":"00"},"actorType":"user","at":"2026-05-01T00:16:37.212Z","client":{"ip":"10.0.0.1","salt":"00"},"metadata":"ab","outcome":"success","partnerSlug":"p","resource":{"id":"r","name":"\u00c4cme","salt":"00"},"resourceType":"tenant","source":"s","tenantSlug":"acme"}"#;
        let row = SearchRow::derive(7, line);
        assert_eq!((row.seq, row.at.to_string().as_str()), (7, "2026-05-01T00:16:37.212Z"));
        let values: Vec<_> = Column::ALL.iter().filter_map(|column| row.get(*column)).collect();
        let expected =
            ["tenant.suspended", "success", "s", "user", "u1", "a@b.c", "tenant", "r", "Äcme", "acme", "p", "10.0.0.1"];
        assert_eq!(values, expected);
    }

    #[test]
    fn what_cannot_be_read_gives_no_values() {
        for line in [
            &b"not json"[..],
            b"",
            b"[]",
            br#"{"actor":"ab","client":{"digest":"x","sealed":{"ip":"1.1.1.1"}},"resource":7,"action":["x"],"at":"late"}"#,
        ] {
            let row = SearchRow::derive(1, line);
            assert_eq!(row.at, Timestamp::MIN);
            assert!(Column::ALL.iter().all(|column| row.get(*column).is_none()), "{row:?}");
        }
        let row = SearchRow::derive(1, br#"{"action":7,"source":"s","at":"2026-05-01T00:16:37.212Z"}"#);
        assert_eq!((row.get(Column::Action), row.get(Column::Source)), (None, Some("s")));
    }

    #[test]
    fn differences_name_the_column() {
        let row = SearchRow::derive(1, br#"{"action":"a.b"}"#);
        let other = SearchRow::derive(1, br#"{"action":"a.c","outcome":"success"}"#);
        let names: Vec<_> = row.differences(&other).into_iter().map(|d| (d.column, d.expected, d.actual)).collect();
        assert_eq!(names, [("action", "a.b".into(), "a.c".into()), ("outcome", String::new(), "success".into())]);
    }

    #[test]
    fn folding_a_part_gives_a_part_of_the_folded() {
        let text = "ΟΔΟΣ Straße İX";
        let folded = fold(text);
        for (at, _) in text.char_indices() {
            assert!(folded.ends_with(&fold(&text[at..])), "{at}");
            assert!(folded.starts_with(&fold(&text[..at])), "{at}");
        }
    }
}
