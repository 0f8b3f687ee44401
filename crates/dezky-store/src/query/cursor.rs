//! A place in the order of events, as an opaque text.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use dezky_audit_core::time::Timestamp;

/// In which order events are listed: by (`at`, `seq`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A place between events: a page that begins here holds only what lies behind (`at`, `seq`) in its order.
///
/// It names no event, so it holds good whatever is appended or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub at: Timestamp,
    /// 0 to 2^53 − 1.
    pub seq: u64,
    pub order: Order,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; take 'nextCursor' of a page as it is")]
pub struct InvalidCursor;

impl Cursor {
    /// In descending order, the place before all events of `time` and later.
    pub const fn before(time: Timestamp) -> Self {
        Self { at: time, seq: 0, order: Order::Descending }
    }

    /// Whether an event at (`at`, `seq`) lies behind this place.
    pub fn admits(&self, at: Timestamp, seq: u64) -> bool {
        match self.order {
            Order::Ascending => (at, seq) > (self.at, self.seq),
            Order::Descending => (at, seq) < (self.at, self.seq),
        }
    }
}

const LENGTH: usize = 14;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; LENGTH];
        bytes[0] = u8::from(self.order == Order::Descending);
        bytes[1..7].copy_from_slice(&self.at.unix_ms().to_be_bytes()[2..]);
        bytes[7..].copy_from_slice(&self.seq.to_be_bytes()[1..]);
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() > 32 {
            return Err(InvalidCursor);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidCursor)?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| InvalidCursor)?;
        let order = match bytes[0] {
            0 => Order::Ascending,
            1 => Order::Descending,
            _ => return Err(InvalidCursor),
        };
        let number = |part: &[u8]| part.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let at = Timestamp::from_unix_ms(number(&bytes[1..7])).ok_or(InvalidCursor)?;
        let seq = number(&bytes[7..]);
        if seq > MAX_SAFE_INTEGER { Err(InvalidCursor) } else { Ok(Self { at, seq, order }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        for order in [Order::Ascending, Order::Descending] {
            for at in [Timestamp::MIN, Timestamp::MAX] {
                for seq in [0, 1, MAX_SAFE_INTEGER] {
                    let cursor = Cursor { at, seq, order };
                    assert_eq!(cursor.to_string().parse(), Ok(cursor));
                }
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let good = Cursor::before(Timestamp::MAX).to_string();
        for bad in ["", "x", &good[1..], &format!("{good}A"), &"_".repeat(19), &"a".repeat(1000), "2026-05-01"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
