//! The names of an archive's objects, relative to its prefix.

use std::fmt;
use std::str::FromStr;

use crate::ids::{InvalidId, Seq, parse_decimal};

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    Events,
    Manifest,
}

/// `events/<start>-<end>[-r<revision>].jsonl.gz` or `manifests/<start>-<end>[-r<revision>].manifest.json`, positions in
/// 20 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub kind: ObjectKind,
    pub start: Seq,
    pub end: Seq,
    /// 0 is not written.
    pub revision: u64,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, suffix) = affixes(self.kind);
        write!(f, "{folder}{:020}-{:020}", self.start.get(), self.end.get())?;
        if self.revision > 0 {
            write!(f, "-r{}", self.revision)?;
        }
        f.write_str(suffix)
    }
}

impl FromStr for ObjectName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse(text).ok_or(InvalidId { expected: "the name of an events object or a manifest" })
    }
}

const fn affixes(kind: ObjectKind) -> (&'static str, &'static str) {
    match kind {
        ObjectKind::Events => ("events/", ".jsonl.gz"),
        ObjectKind::Manifest => ("manifests/", ".manifest.json"),
    }
}

fn parse(text: &str) -> Option<ObjectName> {
    let (kind, rest) = [ObjectKind::Events, ObjectKind::Manifest].into_iter().find_map(|kind| {
        let (folder, suffix) = affixes(kind);
        Some((kind, text.strip_prefix(folder)?.strip_suffix(suffix)?))
    })?;
    let (range, revision) = match rest.split_once("-r") {
        Some((range, revision)) => (range, parse_decimal(revision).filter(|revision| *revision > 0)?),
        None => (rest, 0),
    };
    let (start, end) = range.split_once('-')?;
    let position = |digits: &str| {
        let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        Seq::new(all_digits.then(|| digits.parse().ok())??)
    };
    let name = ObjectName { kind, start: position(start)?, end: position(end)?, revision };
    (name.start <= name.end).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for text in [
            "events/00000000000000000001-00000000000000000016.jsonl.gz",
            "events/00000000000000000001-00000000000000000016-r12.jsonl.gz",
            "manifests/00000000000000000017-00000000000000000017-r1.manifest.json",
        ] {
            assert_eq!(text.parse::<ObjectName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for text in [
            "events/1-16.jsonl.gz",
            "events/00000000000000000001-00000000000000000016.manifest.json",
            "events/00000000000000000002-00000000000000000001.jsonl.gz",
            "events/00000000000000000000-00000000000000000001.jsonl.gz",
            "events/00000000000000000001-00000000000000000016-r0.jsonl.gz",
            "events/00000000000000000001-00000000000000000016-r01.jsonl.gz",
            "events/+0000000000000000001-00000000000000000016.jsonl.gz",
            "events/99999999999999999999-99999999999999999999.jsonl.gz",
            "note.txt",
        ] {
            assert!(text.parse::<ObjectName>().is_err(), "{text}");
        }
    }
}
