//! A place in a file that may be another one tomorrow.

use std::fmt;
use std::str::FromStr;

use dezky_audit_core::ids::parse_decimal;
use dezky_audit_core::source::SourceKey;

/// How much of a file's beginning tells it from others, in bytes.
pub(super) const HEAD: u64 = 1_024;

/// Up to where a file was read, and which file that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) inode: u64,
    /// Everything before this byte is in the log.
    pub(super) position: u64,
    /// Rises with every file that is not the one before.
    pub(super) generation: u64,
    pub(super) head: Head,
    /// In the middle of a line that was too long, up to its end.
    pub(super) skipping: bool,
}

/// A fingerprint of the first bytes that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u64,
    name: String,
}

impl Head {
    pub(super) fn of(bytes: &[u8], key: &SourceKey) -> Self {
        Self { length: bytes.len() as u64, name: key.name("file-head", &[bytes]) }
    }
}

impl Place {
    pub(super) fn start(inode: u64, generation: u64) -> Self {
        Self { inode, position: 0, generation, head: Head::default(), skipping: false }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inode, position, generation, head, skipping } = self;
        write!(f, "{inode}:{position}:{generation}:{}:{}:{}", head.length, head.name, u8::from(*skipping))
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut fields = text.split(':');
        let mut field = || fields.next().ok_or(());
        let number = |text: &str| parse_decimal(text).ok_or(());
        let (inode, position, generation) = (number(field()?)?, number(field()?)?, number(field()?)?);
        let head = Head { length: number(field()?)?, name: field()?.to_owned() };
        let skipping = number(field()?)? == 1;
        if fields.next().is_some() { Err(()) } else { Ok(Self { inode, position, generation, head, skipping }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let head = Head::of(b"abc", &SourceKey::new([1; 32]));
        for place in [Place::start(7, 1), Place { inode: 1, position: u64::MAX, generation: 3, head, skipping: true }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for bad in ["", "1:2", "1:2:3:4:x", "1:2:3:4:x:0:9", "a:2:3:4:x:0", "1:-2:3:4:x:0"] {
            assert_eq!(bad.parse::<Place>(), Err(()), "{bad}");
        }
    }
}
