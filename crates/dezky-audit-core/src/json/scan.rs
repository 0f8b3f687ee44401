//! Checking that bytes are canonical JSON as they stand, without building anything.
//!
//! The scanner accepts exactly what the writer would write (RFC 8785), within the format's bounds for numbers.

use std::borrow::Cow;

use super::{MAX_NUMBER, compare_names};

/// Why and where a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) reason: &'static str,
}

/// The inside of a string: the bytes between its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> Text<'a> {
    /// The bytes that the string stands for.
    pub(crate) fn decoded(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw.iter();
        while let Some(&byte) = rest.next() {
            out.push(match (byte, rest.as_slice()) {
                (b'\\', [b'u', _, _, high, low, ..]) => {
                    rest = rest.as_slice()[5..].iter();
                    (hex_digit(*high) << 4) | hex_digit(*low)
                }
                (b'\\', [short, ..]) => {
                    rest.next();
                    match short {
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0C,
                        b'r' => b'\r',
                        literal => *literal,
                    }
                }
                _ => byte,
            });
        }
        Cow::Owned(out)
    }
}

/// A position in a text that is known to be UTF-8.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

type Scanned<T> = Result<T, Fault>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn slice(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(crate) fn fail<T>(&self, reason: &'static str) -> Scanned<T> {
        Err(Fault { at: self.at, reason })
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Steps over a token whose length is only known when it runs.
    pub(crate) fn take_any(&mut self, token: &[u8]) -> bool {
        let here = self.text[self.at..].starts_with(token);
        self.at += if here { token.len() } else { 0 };
        here
    }

    /// Steps over `token` when it stands here.
    #[inline]
    pub(crate) fn take<const N: usize>(&mut self, token: &[u8; N]) -> bool {
        // The length is part of the type, so that a comparison is a few instructions instead of a call.
        let here = self.text[self.at..].first_chunk() == Some(token);
        self.at += if here { N } else { 0 };
        here
    }

    #[inline]
    pub(crate) fn expect<const N: usize>(&mut self, token: &[u8; N], reason: &'static str) -> Scanned<()> {
        if self.take(token) { Ok(()) } else { self.fail(reason) }
    }

    /// Any value; `depth` is how many levels may still be opened.
    pub(crate) fn value(&mut self, depth: usize) -> Scanned<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth, |_, _, _| Ok(())),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take(b"null") || self.take(b"true") || self.take(b"false") => Ok(()),
            _ => self.fail("a value was expected"),
        }
    }

    /// An object; `member` sees each name and the bytes of its value.
    pub(crate) fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(Text<'a>, &'a [u8], usize) -> Scanned<()>,
    ) -> Scanned<()> {
        if depth == 0 {
            return self.fail("nested too deep");
        }
        self.expect(b"{", "an object was expected")?;
        if self.take(b"}") {
            return Ok(());
        }
        let mut previous: Option<Text<'a>> = None;
        loop {
            let start = self.at;
            let name = self.string()?;
            if previous.is_some_and(|previous| !rises(previous, name)) {
                return Err(Fault { at: start, reason: "a member that is repeated or out of order" });
            }
            previous = Some(name);
            self.expect(b":", "a ':' was expected")?;
            let start = self.at;
            self.value(depth - 1)?;
            member(name, &self.text[start..self.at], start)?;
            if self.take(b"}") {
                return Ok(());
            }
            self.expect(b",", "a ',' or '}' was expected")?;
        }
    }

    fn array(&mut self, depth: usize) -> Scanned<()> {
        if depth == 0 {
            return self.fail("nested too deep");
        }
        self.expect(b"[", "an array was expected")?;
        if self.take(b"]") {
            return Ok(());
        }
        loop {
            self.value(depth - 1)?;
            if self.take(b"]") {
                return Ok(());
            }
            self.expect(b",", "a ',' or ']' was expected")?;
        }
    }

    /// A string with the fewest escapes possible.
    #[inline]
    pub(crate) fn string(&mut self) -> Scanned<Text<'a>> {
        self.expect(b"\"", "a string was expected")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => return self.fail("a control character in a string must be escaped"),
                None => return self.fail("a string that does not end"),
            }
        }
    }

    fn escape(&mut self) -> Scanned<()> {
        const REASON: &str = "an escape that is not the shortest";
        self.at += match *self.rest() {
            [b'\\', b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => 2,
            [b'\\', b'u', b'0', b'0', high @ b'0'..=b'1', low @ (b'0'..=b'9' | b'a'..=b'f'), ..] => {
                if matches!((hex_digit(high) << 4) | hex_digit(low), 0x08..=0x0A | 0x0C | 0x0D) {
                    return self.fail(REASON);
                }
                6
            }
            _ => return self.fail(REASON),
        };
        Ok(())
    }

    /// A number in its shortest form, within ±(2^53 − 1).
    pub(crate) fn number(&mut self) -> Scanned<()> {
        let start = self.at;
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e')).count();
        let (token, sign) = (&rest[..length], usize::from(rest.starts_with(b"-")));
        let digits = &token[sign..];
        self.at += length;
        // Integers of up to 15 digits are in bounds and canonical whenever they have no leading zero.
        if (1..=15).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit) {
            return Ok(());
        }
        if token == b"0" {
            return Ok(());
        }
        let number = std::str::from_utf8(token).ok().and_then(|token| token.parse::<f64>().ok());
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return Err(Fault { at: start, reason: "a number was expected" });
        };
        if number.abs() > MAX_NUMBER {
            return Err(Fault { at: start, reason: "a number beyond ±(2^53 − 1)" });
        }
        if ryu_js::Buffer::new().format_finite(number).as_bytes() != token {
            return Err(Fault { at: start, reason: "a number that is not in its shortest form" });
        }
        Ok(())
    }

    /// An integer of 0 … 2^53 − 1.
    pub(crate) fn integer(&mut self) -> Scanned<u64> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        let end = !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'+' | b'-'));
        if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) || value > crate::ids::MAX_SAFE_INTEGER || !end {
            return Err(Fault { at: start, reason: "not an integer of 0 to 2^53 − 1" });
        }
        Ok(value)
    }
}

/// How many bytes from the beginning need no look: neither a quote, nor a backslash, nor a control character.
#[inline]
fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = text.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quotes = zero_bytes(word ^ (ONES * 0x22));
        let backslashes = zero_bytes(word ^ (ONES * 0x5C));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stops = quotes | backslashes | controls;
        if stops != 0 {
            // Only the lowest mark is exact, and that is the one that counts.
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}

fn rises(previous: Text<'_>, name: Text<'_>) -> bool {
    if !previous.escaped && !name.escaped && previous.raw.is_ascii() && name.raw.is_ascii() {
        return previous.raw < name.raw;
    }
    let (previous, name) = (previous.decoded(), name.decoded());
    match (std::str::from_utf8(&previous), std::str::from_utf8(&name)) {
        (Ok(previous), Ok(name)) => compare_names(previous, name).is_lt(),
        _ => false,
    }
}

/// Whether these are lower-case hex digits and nothing else.
pub(crate) fn is_lower_hex(text: &[u8]) -> bool {
    // Without a branch a byte, many are looked at in one instruction.
    text.iter().fold(true, |all, byte| all & ((byte.wrapping_sub(b'0') < 10) | (byte.wrapping_sub(b'a') < 6)))
}

const fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.value(8).is_ok() && scanner.rest().is_empty()
    }

    #[test]
    fn accepts_what_the_writer_writes() {
        for good in [
            "null",
            "[]",
            "{}",
            "[1,-1,0,0.5,1e-7,5e-324,9007199254740991,-9007199254740991,123456789012.5]",
            "\"a\\u0000\\b\\u001f\"",
            "{\"\\r\":1,\"1\":2,\"ö\":3,\"€\":4,\"😀\":5,\"\u{fb33}\":6}",
        ] {
            assert!(canonical(good), "{good}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            " 1",
            "1 ",
            "01",
            "-0",
            "1.0",
            "1e2",
            "0.10",
            "1E-7",
            "9007199254740992",
            "1e400",
            "-",
            "1-2",
            "\"\\u0041\"",
            "\"\\u000a\"",
            "\"\\u001F\"",
            "\"\\/\"",
            "\"a\nb\"",
            "\"abc",
            "{\"b\":1,\"a\":2}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,}",
            "[1,]",
            "{\"\u{fb33}\":1,\"😀\":2}",
            "[[[[[[[[[]]]]]]]]]",
            "tru",
            "\"\\",
        ] {
            assert!(!canonical(bad), "{bad}");
        }
    }
}
