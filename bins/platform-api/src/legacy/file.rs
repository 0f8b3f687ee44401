//! What `mongoexport` writes: one document a line, in any order; given out oldest first.
//!
//! The file is read twice: once for when each of its documents happened, then line by line in that order. Sixteen bytes a
//! document are kept in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::Context as _;
use dezky_audit_core::hash::Hash;
use serde_json::Value as Json;

use super::Found;
use super::document::{self, Refused};

/// No line is longer: a document has at most 16 MiB, and its notation takes a few times that.
const MAX_LINE: u64 = 128 << 20;
/// Longer files than this are refused: their order would not fit in memory.
const MAX_DOCUMENTS: usize = 200_000_000;

pub(super) struct LegacyFile {
    file: BufReader<File>,
    /// Time and place of each document, in order of both.
    order: Vec<(u64, u64)>,
    next: usize,
    digest: Hash,
}

impl LegacyFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let mut this = Self { file: BufReader::with_capacity(1 << 20, file), order: Vec::new(), next: 0, digest: Hash::of(b"") };
        this.index().with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(this)
    }

    fn index(&mut self) -> io::Result<()> {
        let (mut at, mut line) = (0_u64, Vec::new());
        while read_line(&mut self.file, &mut line)? {
            self.digest = Hash::of_parts(&[self.digest.as_bytes(), &line]);
            if !line.trim_ascii().is_empty() {
                let parsed: Option<Json> = serde_json::from_slice(&line).ok();
                let time = parsed.as_ref().and_then(document::time).map_or(0, |time| time.unix_ms() + 1);
                self.order.push((time, at));
                if self.order.len() > MAX_DOCUMENTS {
                    return Err(io::Error::other("more documents than fit in memory; export and migrate a part at a time"));
                }
            }
            at += line.len() as u64;
        }
        self.order.sort_unstable();
        Ok(())
    }

    /// Depends on every line, wherever the file lies.
    pub(super) fn digest(&self) -> String {
        self.digest.to_string()
    }

    pub(super) const fn total(&self) -> u64 {
        self.order.len() as u64
    }

    pub(super) fn go_on(&mut self, position: u64) {
        self.next = usize::try_from(position).unwrap_or(usize::MAX).min(self.order.len());
    }

    pub(super) const fn position(&self) -> u64 {
        self.next as u64
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        let Some((_, at)) = self.order.get(self.next).copied() else { return Ok(None) };
        let here = self.file.stream_position()?;
        match (i64::try_from(at), i64::try_from(here)) {
            (Ok(to), Ok(from)) => self.file.seek_relative(to - from)?,
            _ => drop(self.file.seek(SeekFrom::Start(at))?),
        }
        let mut line = Vec::new();
        read_line(&mut self.file, &mut line)?;
        self.next += 1;
        let bytes = line.len();
        let found = match serde_json::from_slice::<Json>(&line) {
            Ok(document) => Found { name: document::name(&document), document: Ok(document), bytes },
            Err(error) => {
                let refused = Refused { reason: "not-json", detail: error.to_string() };
                Found { document: Err(refused), name: format!("the line at byte {at}"), bytes }
            }
        };
        Ok(Some(found))
    }
}

/// Reads a line with its line feed; `false` at the end.
fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    file.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line has more than {MAX_LINE} bytes; is it one document a line?"),
        ));
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str) -> LegacyFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        LegacyFile::open(file.path()).unwrap()
    }

    fn ids(file: &mut LegacyFile) -> Vec<String> {
        std::iter::from_fn(|| file.next().unwrap()).map(|found| found.name).collect()
    }

    #[test]
    fn the_oldest_comes_first_and_what_has_no_time_before_it() {
        let text = "{\"_id\":\"c\",\"at\":\"2024-03-01T00:00:00Z\"}\n\n{\"_id\":\"a\",\"at\":{\"$date\":1}}\nnonsense\n\
                    {\"_id\":\"b\",\"at\":\"2024-01-01T00:00:00Z\"}\n{\"_id\":\"d\",\"at\":\"2024-03-01T00:00:00Z\"}";
        let mut file = opened(text);
        assert_eq!(file.total(), 5);
        assert_eq!(ids(&mut file), ["the line at byte 70", "a", "b", "c", "d"]);
        file.go_on(3);
        assert_eq!((file.position(), ids(&mut file)), (3, vec!["c".to_owned(), "d".to_owned()]));
        file.go_on(99);
        assert!(file.next().unwrap().is_none());
    }

    #[test]
    fn a_file_is_known_by_what_is_in_it() {
        assert_eq!(opened("{}\n{}\n").digest(), opened("{}\n{}\n").digest());
        assert_ne!(opened("{}\n{}\n").digest(), opened("{}\n").digest());
    }
}
