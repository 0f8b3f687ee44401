//! What came of a migration: how many, and what was refused and why. Kept in the bookmark, so that it covers all runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Of the refused documents of one reason so many are named.
const NAMED: usize = 5;
/// A name or a detail is cut to so many characters.
const SHOWN: usize = 160;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    recorded: u64,
    known: u64,
    refused: BTreeMap<String, Refusals>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refusals {
    count: u64,
    first: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Bookmark {
    position: Json,
    tally: Tally,
}

impl Tally {
    pub(super) fn record(&mut self, duplicate: bool) {
        *(if duplicate { &mut self.known } else { &mut self.recorded }) += 1;
    }

    pub(super) fn refuse(&mut self, reason: &str, name: &str, detail: &str) {
        let refusals = self.refused.entry(reason.to_owned()).or_default();
        refusals.count += 1;
        if refusals.first.len() < NAMED {
            let text = format!("{name}: {detail}");
            refusals.first.push(text.chars().take(SHOWN).flat_map(char::escape_debug).collect());
        }
    }

    /// Documents that are done with.
    pub(super) fn read(&self) -> u64 {
        self.recorded + self.known + self.refused()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.values().map(|refusals| refusals.count).sum()
    }

    pub(super) fn to_bookmark(&self, position: &Json) -> String {
        let bookmark = Bookmark { position: position.clone(), tally: self.clone() };
        serde_json::to_string(&bookmark).unwrap_or_default()
    }

    pub(super) fn from_bookmark(text: &str) -> Option<(Json, Self)> {
        let bookmark: Bookmark = serde_json::from_str(text).ok()?;
        Some((bookmark.position, bookmark.tally))
    }

    /// For a person, on several lines.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!("documents      {}\n", self.read());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "recorded       {}", self.recorded);
        let _ = writeln!(text, "known already  {}", self.known);
        let _ = writeln!(text, "refused        {}", self.refused());
        for (reason, refusals) in &self.refused {
            let _ = writeln!(text, "  {reason}: {}", refusals.count);
            for first in &refusals.first {
                let _ = writeln!(text, "    {first}");
            }
            if refusals.count > refusals.first.len() as u64 {
                let _ = writeln!(text, "    and {} more", refusals.count - refusals.first.len() as u64);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_goes_on_where_it_was_and_names_the_first_of_each_reason() {
        let mut tally = Tally::default();
        for n in 0..7 {
            tally.record(n % 3 == 0);
            tally.refuse("at-missing", &format!("id-{n}"), "no\u{202e} time");
        }
        tally.refuse("not-json", "the line at byte 7", &"x".repeat(1_000));
        let (position, mut again) = Tally::from_bookmark(&tally.to_bookmark(&Json::from(15))).unwrap();
        assert_eq!((position, &again), (Json::from(15), &tally));
        again.record(false);
        assert_eq!((again.read(), again.refused()), (16, 8));
        let shown = tally.shown();
        assert!(shown.contains("recorded       4\n") && shown.contains("known already  3\n"), "{shown}");
        assert!(shown.contains("  at-missing: 7\n    id-0: no\\u{202e} time\n") && shown.contains("    and 2 more\n"), "{shown}");
        assert!(Tally::from_bookmark("nonsense").is_none());
    }
}
