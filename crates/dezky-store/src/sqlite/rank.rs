//! The key of the search copy: an integer that orders rows like (`at`, `seq`), and can be bounded by times.
//!
//! 48 bits of milliseconds, then a slot of 16 bits, given to the events of a millisecond in the order of their `seq`; shifted
//! so that unsigned order is SQLite's signed order. Times end in the year 9999; the numbers beyond are for the rows of crowded
//! milliseconds, which are ordered by a table of their own.

use dezky_audit_core::time::Timestamp;

/// The most events of one millisecond that have ranks in order.
pub(super) const SLOTS: u32 = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 16;
/// Terms carry the number of their time bucket of 2^28 ms (3.1 days): no list of postings is longer than that.
const BUCKET_BITS: u32 = 28;

/// The first rank of a millisecond.
pub(super) const fn first(at: Timestamp) -> i64 {
    signed(at.unix_ms() << SLOT_BITS)
}

/// The last rank of a millisecond.
pub(super) const fn last(at: Timestamp) -> i64 {
    first(at) + (SLOTS as i64 - 1)
}

/// The least rank of crowded rows, greater than all that are in order.
pub(super) const fn crowded() -> i64 {
    last(Timestamp::MAX) + 1
}

/// The slot within its millisecond.
pub(super) fn slot(rank: i64) -> u32 {
    u32::try_from(unsigned(rank) & u64::from(SLOTS - 1)).unwrap_or(0)
}

/// The time of a rank; the last one for crowded rows.
pub(super) fn time(rank: i64) -> Timestamp {
    Timestamp::from_unix_ms(unsigned(rank) >> SLOT_BITS).unwrap_or(Timestamp::MAX)
}

/// The time bucket of a millisecond.
pub(super) const fn bucket(at: Timestamp) -> u64 {
    at.unix_ms() >> BUCKET_BITS
}

/// The first millisecond of a bucket.
pub(super) fn bucket_start(bucket: u64) -> Timestamp {
    Timestamp::from_unix_ms(bucket << BUCKET_BITS).unwrap_or(Timestamp::MAX)
}

/// The last millisecond of a bucket.
pub(super) fn bucket_end(bucket: u64) -> Timestamp {
    Timestamp::from_unix_ms(((bucket + 1) << BUCKET_BITS) - 1).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::cast_possible_wrap, reason = "the shift of the number line is what is wanted")]
const fn signed(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

#[expect(clippy::cast_sign_loss, reason = "the shift back")]
const fn unsigned(rank: i64) -> u64 {
    (rank as u64) ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_in_the_order_of_time() {
        let times = [0, 1, (1 << 28) - 1, 1 << 28, 1_777_594_597_212, Timestamp::MAX.unix_ms()];
        let times = times.map(|ms| Timestamp::from_unix_ms(ms).unwrap());
        for pair in times.windows(2) {
            assert!(last(pair[0]) < first(pair[1]));
        }
        for at in times {
            assert_eq!((time(first(at)), time(last(at))), (at, at));
            assert_eq!((slot(first(at)), slot(last(at))), (0, SLOTS - 1));
            assert!(bucket_start(bucket(at)) <= at && at <= bucket_end(bucket(at)));
            assert!(last(at) < crowded());
        }
        assert_eq!(first(Timestamp::MIN), i64::MIN);
    }
}
