//! From when to when.

use dezky_audit_core::time::Timestamp;

use crate::problem::{Code, Problem};

const HOUR_MS: u64 = 3_600_000;

/// The part of time that a view shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Range {
    /// The last hours, from a whole hour on, so that hourly counts say the same as the list.
    Last(&'static str, u64),
    All,
    /// RFC 3339 times, either end open.
    Between(Option<Timestamp>, Option<Timestamp>),
}

/// Names and hours.
pub(crate) const PRESETS: [(&str, &str, u64); 5] =
    [("1h", "1 hour", 1), ("24h", "24 hours", 24), ("7d", "7 days", 168), ("30d", "30 days", 720), ("1y", "1 year", 8_760)];

impl Default for Range {
    fn default() -> Self {
        Self::Last("7d", 168)
    }
}

impl Range {
    pub(super) fn named(name: &str) -> Result<Self, Problem> {
        if name == "all" {
            return Ok(Self::All);
        }
        let known = PRESETS.iter().find(|(known, ..)| *known == name);
        let unknown = || Problem::new(Code::InvalidParameter, "parameter 'range': not one of 1h, 24h, 7d, 30d, 1y, all");
        known.map(|(name, _, hours)| Self::Last(name, *hours)).ok_or_else(unknown)
    }

    /// From the first to before the second.
    pub(crate) fn bounds(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Last(_, hours) => {
                let since = (now.unix_ms() / HOUR_MS).saturating_sub(*hours) * HOUR_MS;
                (Timestamp::from_unix_ms(since), None)
            }
            Self::All => (None, None),
            Self::Between(since, until) => (*since, *until),
        }
    }
}

/// A time in a URL or from a form's field, which has neither seconds nor a zone: that is UTC then.
pub(super) fn moment(name: &'static str, text: &str) -> Result<Option<Timestamp>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let full = match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    let invalid = |error| Problem::new(Code::InvalidParameter, format!("parameter '{name}': {error}"));
    Timestamp::parse_rfc3339(&full).map(Some).map_err(invalid)
}
