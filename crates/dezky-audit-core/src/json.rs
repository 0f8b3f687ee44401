//! JSON as the format has it: strict reading, RFC 8785 writing, and checking that bytes are canonical already.

mod place;
mod read;
mod scan;
mod value;
mod write;

pub use place::{Place, item_offsets, line_of, place_at, place_of};
pub use read::{Limits, ReadError, read};
pub(crate) use scan::{Fault, Scanner, Text, is_lower_hex};
pub use value::{Members, Value};
pub use write::{most_bytes, write_members, write_number, write_string, write_value};

/// Numbers may be no larger than ±(2^53 − 1), however they are written (log format, section 1).
pub const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;

/// Orders member names as RFC 8785, 3.2.3 does: as arrays of UTF-16 code units.
pub fn compare_names(a: &str, b: &str) -> std::cmp::Ordering {
    // UTF-8 and UTF-16 order differ only where a code point above U+FFFF meets one of U+E000..U+FFFF.
    let in_doubt = |text: &str| text.bytes().any(|byte| byte >= 0xEE);
    if in_doubt(a) && in_doubt(b) { a.encode_utf16().cmp(b.encode_utf16()) } else { a.as_bytes().cmp(b.as_bytes()) }
}
