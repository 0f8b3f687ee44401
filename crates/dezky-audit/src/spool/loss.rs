//! How many events were lost, kept in two places that are written in turn, so that one of them is always whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

use super::segment::reserve;
use crate::own::Loss;

/// The two places are this far apart, so that no torn write touches both.
const APART: u64 = 4_096;
/// Version 8, then twice number 8, count 8, since 8, until 8, then the checksum 8.
const SLOT: usize = 80;

/// A folder's losses.
pub(super) struct LossBook {
    file: File,
    folder: u64,
    version: u64,
    /// A loss that is being recorded: it grows no more.
    told: Option<Numbered>,
    /// What has been lost since.
    open: Numbered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    number: u64,
    /// `None`: nothing was lost.
    loss: Option<Loss>,
}

impl LossBook {
    pub(super) fn create(path: &Path, folder: u64) -> io::Result<Self> {
        let file = reserve(path, APART * 2)?;
        Ok(Self { file, folder, version: 0, told: None, open: Numbered { number: 0, loss: None } })
    }

    pub(super) fn recover(path: &Path, folder: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut book = Self { file, folder, version: 0, told: None, open: Numbered { number: 0, loss: None } };
        for place in [0, APART] {
            let mut slot = [0; SLOT];
            if book.file.read_exact_at(&mut slot, place).is_ok()
                && let Some((version, told, open)) = read_slot(&slot, folder).filter(|(version, ..)| *version > book.version)
            {
                (book.version, book.told, book.open) = (version, told, open);
            }
        }
        Ok(book)
    }

    pub(super) fn add(&mut self, more: Loss) {
        self.open.loss = Some(match self.open.loss {
            None => more,
            Some(loss) => Loss {
                count: loss.count.saturating_add(more.count),
                since: loss.since.min(more.since),
                until: loss.until.max(more.until),
            },
        });
        self.write();
    }

    /// The loss to be recorded. It stays the same, under the same id, until it is.
    pub(super) fn pending(&mut self) -> Option<(String, Loss)> {
        if self.told.is_none() && self.open.loss.is_some() {
            self.told = Some(self.open);
            self.open = Numbered { number: self.open.number + 1, loss: None };
            self.write();
        }
        let told = self.told?;
        Some((self.id(told), told.loss?))
    }

    pub(super) fn recorded(&mut self, id: &str) {
        if self.told.is_some_and(|told| self.id(told) == id) {
            self.told = None;
            self.write();
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.told.is_none() && self.open.loss.is_none()
    }

    fn id(&self, loss: Numbered) -> String {
        format!("lost-{:016x}-{}", self.folder, loss.number)
    }

    fn write(&mut self) {
        self.version += 1;
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend_from_slice(&self.version.to_be_bytes());
        for numbered in [self.told.unwrap_or(Numbered { number: u64::MAX, loss: None }), self.open] {
            let loss = numbered.loss.unwrap_or(Loss { count: 0, since: Timestamp::MIN, until: Timestamp::MIN });
            for value in [numbered.number, loss.count, loss.since.unix_ms(), loss.until.unix_ms()] {
                slot.extend_from_slice(&value.to_be_bytes());
            }
        }
        slot.extend_from_slice(&checksum(&slot, self.folder));
        let place = if self.version.is_multiple_of(2) { 0 } else { APART };
        if let Err(error) = self.file.write_all_at(&slot, place).and_then(|()| self.file.sync_data()) {
            tracing::error!(%error, "lost events are counted in memory only: the spool's disk fails");
        }
    }
}

fn read_slot(slot: &[u8; SLOT], folder: u64) -> Option<(u64, Option<Numbered>, Numbered)> {
    let (body, check) = slot.split_at(SLOT - 8);
    if check != checksum(body, folder) {
        return None;
    }
    let (words, _) = body.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
    let numbered = |at: usize| {
        let time = |at: usize| words.get(at).copied().and_then(Timestamp::from_unix_ms);
        let count = *words.get(at + 1)?;
        let loss = Loss { count, since: time(at + 2)?, until: time(at + 3)? };
        Some(Numbered { number: *words.get(at)?, loss: (count > 0).then_some(loss) })
    };
    Some((*words.first()?, numbered(1).filter(|told| told.loss.is_some()), numbered(5)?))
}

fn checksum(body: &[u8], folder: u64) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&Hash::of_parts(&[b"dezky-spool-loss/v1\n", &folder.to_be_bytes(), body]).as_bytes()[..8]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(count: u64, since: u64, until: u64) -> Loss {
        let time = |ms| Timestamp::from_unix_ms(ms).unwrap();
        Loss { count, since: time(since), until: time(until) }
    }

    #[test]
    fn a_loss_is_told_under_one_id_until_it_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss");
        let mut book = LossBook::create(&path, 5).unwrap();
        assert_eq!(book.pending(), None);
        book.add(loss(2, 10, 20));
        book.add(loss(1, 5, 15));
        let (id, told) = book.pending().unwrap();
        assert_eq!(told, loss(3, 5, 20));
        book.add(loss(7, 30, 40));

        // As if the process had died.
        let mut book = LossBook::recover(&path, 5).unwrap();
        assert_eq!(book.pending(), Some((id.clone(), told)));
        book.recorded("another");
        book.recorded(&id);
        let (next, told) = book.pending().unwrap();
        assert_ne!(next, id);
        assert_eq!(told, loss(7, 30, 40));
        book.recorded(&next);
        assert!(LossBook::recover(&path, 5).unwrap().is_empty());
    }

    #[test]
    fn a_torn_place_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss");
        let mut book = LossBook::create(&path, 5).unwrap();
        book.add(loss(2, 10, 20));
        book.add(loss(2, 10, 20));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xFF; 40], 20).unwrap();
        assert_eq!(LossBook::recover(&path, 5).unwrap().pending().unwrap().1, loss(2, 10, 20));
    }
}
