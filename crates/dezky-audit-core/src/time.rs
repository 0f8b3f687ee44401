//! Times of the format: `YYYY-MM-DDTHH:MM:SS.sssZ`, Gregorian, UTC, years 1970–9999, to the millisecond.

use std::fmt;
use std::str::FromStr;

use crate::ids::InvalidId;

const DAY_MS: u64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z.
const MAX_MS: u64 = 253_402_300_799_999;
const EXPECTED: InvalidId = InvalidId { expected: "a time such as 2026-05-01T00:16:37.212Z (UTC, years 1970–9999)" };

/// Milliseconds since 1970-01-01T00:00:00Z, between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest time that the format can write.
    pub const MIN: Self = Self(0);
    /// The latest time that the format can write.
    pub const MAX: Self = Self(MAX_MS);

    /// `None` beyond the year 9999.
    pub const fn from_unix_ms(ms: u64) -> Option<Self> {
        if ms > MAX_MS { None } else { Some(Self(ms)) }
    }

    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Reads exactly the form that the format writes. What callers may send is read by [`Timestamp::parse_rfc3339`].
    pub fn parse_canonical(text: &[u8]) -> Option<Self> {
        let text: &[u8; 24] = text.try_into().ok()?;
        let shape = |at: usize, byte: u8| text[at] == byte;
        if !(shape(4, b'-')
            && shape(7, b'-')
            && shape(10, b'T')
            && shape(13, b':')
            && shape(16, b':')
            && shape(19, b'.')
            && shape(23, b'Z'))
        {
            return None;
        }
        let fields = [&text[0..4], &text[5..7], &text[8..10], &text[11..13], &text[14..16], &text[17..19], &text[20..23]];
        let mut values = [0; 7];
        for (value, field) in values.iter_mut().zip(fields) {
            *value = digits(field)?;
        }
        let [year, month, day, hour, minute, second, ms] = values;
        if second > 59 {
            return None;
        }
        let days = days_since_epoch(year, month, day)?;
        Self::assemble(i64::try_from(days).ok()?, hour, minute, second, ms, 0)
    }

    /// Reads an RFC 3339 time as callers send it: any offset, any number of fraction digits (cut to
    /// milliseconds), `T` or a space, a leap second (which becomes `:59.999`).
    ///
    /// # Errors
    /// When `text` is no such time, or lies outside 1970–9999 in UTC.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidId> {
        parse_lenient(text.as_bytes()).ok_or(EXPECTED)
    }

    /// The 24 bytes of the written form.
    pub fn write(self, out: &mut [u8; 24]) {
        let (year, month, day) = civil_from_days(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        *out = *b"0000-00-00T00:00:00.000Z";
        put(&mut out[0..4], year);
        put(&mut out[5..7], month);
        put(&mut out[8..10], day);
        put(&mut out[11..13], ms / 3_600_000);
        put(&mut out[14..16], ms / 60_000 % 60);
        put(&mut out[17..19], ms / 1_000 % 60);
        put(&mut out[20..23], ms % 1_000);
    }

    fn assemble(days: i64, hour: u64, minute: u64, second: u64, ms: u64, offset_minutes: i64) -> Option<Self> {
        if hour > 23 || minute > 59 {
            return None;
        }
        let (second, ms) = if second == 60 { (59, 999) } else { (second, ms) };
        let of_day = i64::try_from(((hour * 60 + minute) * 60 + second) * 1_000 + ms).ok()?;
        let total = days.checked_mul(86_400_000)?.checked_add(of_day)?.checked_sub(offset_minutes * 60_000)?;
        Self::from_unix_ms(u64::try_from(total).ok()?)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 24];
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse_canonical(text.as_bytes()).ok_or(EXPECTED)
    }
}

fn parse_lenient(text: &[u8]) -> Option<Timestamp> {
    if text.len() < 20 || text.len() > 64 {
        return None;
    }
    let (head, mut rest) = text.split_at(19);
    if head[4] != b'-' || head[7] != b'-' || !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let [year, month, day] = [digits(&head[0..4])?, digits(&head[5..7])?, digits(&head[8..10])?];
    let [hour, minute, second] = [digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?];
    if second > 60 {
        return None;
    }
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return None;
        }
        for place in 0..3 {
            ms = ms * 10 + fraction[..len].get(place).map_or(0, |b| u64::from(b - b'0'));
        }
        rest = &fraction[len..];
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = i64::try_from(hours * 60 + minutes).ok()?;
            if *sign == b'-' { -total } else { total }
        }
        _ => return None,
    };
    let days = days_since_epoch_or_before(year, month, day)?;
    Timestamp::assemble(days, hour, minute, second, ms, offset)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

fn put(out: &mut [u8], mut value: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    u64::try_from(days_since_epoch_or_before(year, month, day)?).ok()
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_epoch_or_before(year: u64, month: u64, day: u64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(i64::try_from(era * 146_097 + day_of_era).ok()? - 719_468)
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_until_9999_reads_back() {
        let mut previous = None;
        for day in 0..=MAX_MS / DAY_MS {
            let time = Timestamp::from_unix_ms(day * DAY_MS + 86_399_999).unwrap();
            let text = time.to_string();
            assert_eq!(text.parse(), Ok(time));
            assert!(previous.replace(text.clone()) < Some(text));
        }
    }

    #[test]
    fn only_the_written_form_is_canonical() {
        for bad in [
            "2026-05-01T00:16:37Z",
            "2026-05-01T00:16:37.21Z",
            "2026-05-01t00:16:37.212Z",
            "2026-05-01T00:16:37.212+00:00",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-05-01T24:00:00.000Z",
            "2026-05-01T00:00:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "2026-05-01T00:16:3x.212Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        assert!("2024-02-29T00:00:00.000Z".parse::<Timestamp>().is_ok());
    }

    #[test]
    fn what_callers_send_becomes_utc_milliseconds() {
        for (sent, written) in [
            ("2026-05-01T00:16:37Z", "2026-05-01T00:16:37.000Z"),
            ("2026-05-01 02:16:37.2129999+02:00", "2026-05-01T00:16:37.212Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
            ("2026-05-01T00:16:37.5-00:30", "2026-05-01T00:46:37.500Z"),
            ("1970-01-01T00:30:00+00:30", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(sent).unwrap().to_string(), written);
        }
        for bad in [
            "",
            "2026-05-01",
            "2026-05-01T00:16:37",
            "2026-05-01T00:16:37.Z",
            "1970-01-01T00:00:00+00:01",
            "2026-05-01T00:16:61Z",
        ] {
            assert!(Timestamp::parse_rfc3339(bad).is_err(), "{bad}");
        }
    }
}
