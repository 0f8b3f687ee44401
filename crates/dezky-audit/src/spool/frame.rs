//! One entry in a segment: length, checksum, time, and the draft as canonical JSON.
//!
//! The checksum covers where the entry stands (folder, segment, offset), so that nothing that an earlier use of the file
//! left behind can pass for an entry.

use dezky_audit_core::event::MAX_LINE;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

/// Bytes before the content: length 4, checksum 8, time 8.
const HEAD: usize = 20;

/// A draft that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolEntry {
    /// When it was handed over.
    pub(crate) at: Timestamp,
    /// [`dezky_audit_core::event::Draft::content`].
    pub(crate) content: Vec<u8>,
}

/// Where a segment stands among all segments that ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentKey {
    pub(super) folder: u64,
    pub(super) number: u64,
}

impl SpoolEntry {
    /// The bytes that it takes on the disk.
    pub(super) fn frame_len(&self) -> u64 {
        (HEAD + self.content.len()) as u64
    }

    /// Appends the frame that stands at `offset` of the segment.
    pub(super) fn write(&self, key: SegmentKey, offset: u64, out: &mut Vec<u8>) {
        let length = u32::try_from(self.content.len()).unwrap_or(u32::MAX).to_be_bytes();
        let time = self.at.unix_ms().to_be_bytes();
        out.extend_from_slice(&length);
        out.extend_from_slice(&checksum(key, offset, length, time, &self.content));
        out.extend_from_slice(&time);
        out.extend_from_slice(&self.content);
    }

    /// Reads the frame at the beginning of `bytes`, which stands at `offset`; `None` where no whole entry stands.
    pub(super) fn read(key: SegmentKey, offset: u64, bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let content_len = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|len| (1..=MAX_LINE).contains(len))?;
        let content = rest.get(..content_len)?;
        if checksum(key, offset, *length, *time, content) != *check {
            return None;
        }
        Some(Self { at: Timestamp::from_unix_ms(u64::from_be_bytes(*time))?, content: content.to_vec() })
    }
}

fn checksum(key: SegmentKey, offset: u64, length: [u8; 4], time: [u8; 8], content: &[u8]) -> [u8; 8] {
    let (folder, number, offset) = (key.folder.to_be_bytes(), key.number.to_be_bytes(), offset.to_be_bytes());
    let hash = Hash::of_parts(&[b"dezky-spool/v1\n", &folder, &number, &offset, &length, &time, content]);
    let mut check = [0; 8];
    check.copy_from_slice(&hash.as_bytes()[..8]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SegmentKey = SegmentKey { folder: 7, number: 3 };

    #[test]
    fn an_entry_reads_back_only_where_it_stands_and_whole() {
        let entry = SpoolEntry { at: Timestamp::MAX, content: b"{\"action\":\"a\"}".to_vec() };
        let mut frame = Vec::new();
        entry.write(KEY, 40, &mut frame);
        assert_eq!(frame.len() as u64, entry.frame_len());
        assert_eq!(SpoolEntry::read(KEY, 40, &frame), Some(entry));
        assert_eq!(SpoolEntry::read(KEY, 41, &frame), None);
        assert_eq!(SpoolEntry::read(SegmentKey { number: 4, ..KEY }, 40, &frame), None);
        for end in 0..frame.len() {
            assert_eq!(SpoolEntry::read(KEY, 40, &frame[..end]), None);
        }
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 1;
            assert_eq!(SpoolEntry::read(KEY, 40, &changed), None, "{at}");
        }
        assert_eq!(SpoolEntry::read(KEY, 0, &[0; 64]), None);
    }
}
