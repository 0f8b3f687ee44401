//! Cutting a batch: its lines go from hot storage, checked and packed, into a temporary file without a name.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use dezky_audit_core::archive::{BatchWriter, MAX_UNPACKED};
use dezky_audit_core::event::{PartName, withhold};
use dezky_store::{ReadLimit, Store, Stored};

use super::facts::{Before, Facts, Packed};
use super::{ArchiveError, Limits};

/// What is read from the store at once. The next lines are read while those before are packed.
const CHUNK: ReadLimit = ReadLimit { events: 2_000, bytes: 4 << 20 };

/// A batch, ready to be put.
pub(crate) struct Cut {
    pub(crate) facts: Facts,
    pub(crate) packed: Packed,
    pub(crate) file: File,
}

/// How a batch is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) limits: Limits,
    /// Parts are replaced by their digests.
    pub(crate) withheld: bool,
    /// The folder of the temporary file.
    pub(crate) scratch: &'a Path,
}

/// Cuts a batch behind `before`: up to event `last`, or to where the limits are reached, with at least one event.
pub(crate) async fn cut(store: &dyn Store, before: Before, last: u64, manner: Manner<'_>) -> Result<Cut, ArchiveError> {
    let mut cutter = Cutter::new(before, manner).map_err(ArchiveError::Scratch)?;
    let mut next = cutter.facts.end() + 1;
    let mut read = store.read(next..=last, CHUNK).await?;
    while let Some(end) = read.last().map(|stored| stored.seq) {
        next = end.saturating_add(1);
        let packing = tokio::task::spawn_blocking(move || {
            let taken = cutter.take(&read);
            (cutter, taken)
        });
        let following = async { if next > last { Ok(Vec::new()) } else { store.read(next..=last, CHUNK).await } };
        let (following, packed) = tokio::join!(following, packing);
        let (back, taken) = packed.map_err(|_| ArchiveError::Ending)?;
        taken?;
        cutter = back;
        read = following?;
        if cutter.full {
            break;
        }
    }
    if !cutter.full && cutter.facts.end() < last {
        return Err(ArchiveError::Broken { seq: cutter.facts.end() + 1 });
    }
    tokio::task::spawn_blocking(move || cutter.finish()).await.map_err(|_| ArchiveError::Ending)?.map_err(ArchiveError::Scratch)
}

struct Cutter {
    facts: Facts,
    writer: BatchWriter<BufWriter<File>>,
    bytes: u64,
    limits: Limits,
    withheld: bool,
    full: bool,
}

impl Cutter {
    fn new(before: Before, manner: Manner<'_>) -> io::Result<Self> {
        let Manner { limits, withheld, scratch } = manner;
        let writer = BatchWriter::new(BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(scratch)?))?;
        let limits = Limits { bytes: limits.bytes.min(MAX_UNPACKED), ..limits };
        Ok(Self { facts: Facts::new(before), writer, bytes: 0, limits, withheld, full: false })
    }

    fn take(&mut self, lines: &[Stored]) -> Result<(), ArchiveError> {
        for stored in lines {
            let line = if self.withheld { Cow::Owned(without_parts(&stored.line)) } else { Cow::Borrowed(&stored.line) };
            let length = line.len() as u64 + 1;
            let count = self.facts.count();
            if count > 0 && (count >= self.limits.events || self.bytes + length > self.limits.bytes) {
                self.full = true;
                return Ok(());
            }
            if stored.seq != self.facts.end() + 1 {
                return Err(ArchiveError::Broken { seq: self.facts.end() + 1 });
            }
            self.facts.add(&stored.line).map_err(|broken| ArchiveError::Broken { seq: broken.seq })?;
            self.writer.line(&line).map_err(ArchiveError::Scratch)?;
            self.bytes += length;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<Cut> {
        let (file, written) = self.writer.finish()?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let packed = Packed {
            bytes: written.bytes,
            sha256: written.sha256,
            gzip_bytes: written.gzip_bytes,
            gzip_sha256: written.gzip_sha256,
        };
        Ok(Cut { facts: self.facts, packed, file })
    }
}

/// The line with every part as its digest. What is no event stays as it is: it is found to be broken.
fn without_parts(line: &[u8]) -> Vec<u8> {
    PartName::ALL.into_iter().fold(line.to_vec(), |line, part| withhold(&line, part).unwrap_or(line))
}
