//! Reading JSON from outside, strictly: RFC 8259 with what RFC 7493 (I-JSON) asks for on top.
//!
//! Refused with the place and the reason: a repeated member name, a lone surrogate, a number that is no finite double
//! within ±(2^53 − 1), nesting beyond the limit, anything after the value.

use std::collections::BTreeSet;

use super::place::place_at;
use super::{MAX_NUMBER, Members, Place, Value};

/// What a reader accepts at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels of arrays and objects.
    pub depth: usize,
}

/// A text that is not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, {}: {reason}", .place.line, if .place.pointer.is_empty() { "at the top" } else { &.place.pointer })]
pub struct ReadError {
    pub place: Place,
    pub reason: String,
}

/// Reads one value that fills `text` (but for white space).
///
/// # Errors
/// When `text` is not JSON, or JSON that the format does not allow.
pub fn read(text: &[u8], limits: Limits) -> Result<Value, ReadError> {
    let refuse = |fault: Fault| ReadError { place: place_at(text, fault.at), reason: fault.reason };
    let text = std::str::from_utf8(text)
        .map_err(|error| refuse(Fault { at: error.valid_up_to(), reason: "bytes that are not UTF-8".to_owned() }))?;
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, limits };
    let value = reader.value(0).and_then(|value| {
        reader.skip_space();
        if reader.at == reader.bytes.len() { Ok(value) } else { reader.fail("something after the end of the value") }
    });
    value.map_err(refuse)
}

struct Fault {
    at: usize,
    reason: String,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        self.enter(depth)?;
        let mut members: Members = Vec::new();
        let mut unsorted: Option<BTreeSet<String>> = None;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.fail("a member name in quotes was expected");
            }
            let name = self.string()?;
            // Names that rise, the usual case, need no search.
            if unsorted.is_none() && members.last().is_some_and(|(last, _)| *last >= name) {
                unsorted = Some(members.iter().map(|(member, _)| member.clone()).collect());
            }
            if unsorted.as_mut().is_some_and(|seen| !seen.insert(name.clone())) {
                return Err(Fault { at: start, reason: format!("the member {name:?} stands twice") });
            }
            self.skip_space();
            if !self.take(b':') {
                return self.fail("a ':' was expected");
            }
            let value = self.value(depth)?;
            members.push((name, value));
            self.skip_space();
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(Value::Object(members)),
                _ => return self.fail_before("a ',' or '}' was expected"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        self.enter(depth)?;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Value::Array(items)),
                _ => return self.fail_before("a ',' or ']' was expected"),
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > self.limits.depth {
            return self.fail(&format!("nested more than {} levels deep", self.limits.depth));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut text = String::new();
        let mut copied = self.at;
        loop {
            match self.peek() {
                None => return self.fail("a string that does not end"),
                Some(b'"') => {
                    text.push_str(&self.text[copied..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push_str(&self.text[copied..self.at]);
                    text.push(self.escape()?);
                    copied = self.at;
                }
                Some(0..=0x1F) => return self.fail("a control character in a string must be escaped"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 1;
        let escaped = match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let lone = || Fault { at: start, reason: "a lone surrogate is not a character".to_owned() };
                let first = self.hex4(start)?;
                if !(0xD800..0xE000).contains(&first) {
                    return char::from_u32(first).ok_or_else(lone);
                }
                if first >= 0xDC00 || !self.take(b'\\') || !self.take(b'u') {
                    return Err(lone());
                }
                let second = self.hex4(start)?;
                if !(0xDC00..0xE000).contains(&second) {
                    return Err(lone());
                }
                return char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(lone);
            }
            _ => return Err(Fault { at: start, reason: "an escape that JSON does not have".to_owned() }),
        };
        Ok(escaped)
    }

    fn hex4(&mut self, start: usize) -> Result<u32, Fault> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code =
            digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| Fault { at: start, reason: "\\u must be followed by four hex digits".to_owned() })
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        let fault = |reason: &str| Err(Fault { at: start, reason: reason.to_owned() });
        self.take(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        let mut shape = whole > 0 && !(leading_zero && whole > 1);
        if self.take(b'.') {
            shape &= self.digits() > 0;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            shape &= self.digits() > 0;
        }
        if !shape {
            return fault("a number that JSON does not have");
        }
        match self.text[start..self.at].parse::<f64>() {
            Ok(number) if number.abs() <= MAX_NUMBER => Ok(Value::Number(number)),
            _ => fault("a number beyond ±(2^53 − 1) would not survive; send it as a string"),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self) -> Result<Value, Fault> {
        for (word, value) in [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail(if self.at == self.bytes.len() { "the text ends where a value was expected" } else { "a value was expected" })
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn fail<T>(&self, reason: &str) -> Result<T, Fault> {
        Err(Fault { at: self.at.min(self.bytes.len()), reason: reason.to_owned() })
    }

    fn fail_before<T>(&self, reason: &str) -> Result<T, Fault> {
        Err(Fault { at: (self.at - 1).min(self.bytes.len()), reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text.as_bytes(), Limits { depth: 4 }).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_where_and_why() {
        insta::assert_snapshot!(
            [
                "", "nul", "{\"a\":1,\n\"b\":{\"c\":1,\"c\":2}}", "{\"a\":1,\"\\u0061\":2}", "[\"\\ud800\"]", "[\"\\udc00\\ud800\"]",
                "[1,9007199254740992]", "[1e999]", "[01]", "[+1]", "[.5]", "[1.]", "[1e]", "[-]", "[NaN]", "[1,]", "{\"a\"}", "{\"a\":1,}",
                "[[[[[1]]]]]", "1 2", "\"\n\"", "\"\\x\"", "\"\\u12g4\"", "\"abc", "{\"a\":[1,{\"b/~\":tru}]}",
            ]
            .map(refused)
            .join("\n"),
            @r#"
        line 1, at the top: the text ends where a value was expected
        line 1, at the top: a value was expected
        line 2, /b/c: the member "c" stands twice
        line 1, /a: the member "a" stands twice
        line 1, /0: a lone surrogate is not a character
        line 1, /0: a lone surrogate is not a character
        line 1, /1: a number beyond ±(2^53 − 1) would not survive; send it as a string
        line 1, /0: a number beyond ±(2^53 − 1) would not survive; send it as a string
        line 1, /0: a number that JSON does not have
        line 1, /0: a value was expected
        line 1, /0: a value was expected
        line 1, /0: a number that JSON does not have
        line 1, /0: a number that JSON does not have
        line 1, /0: a number that JSON does not have
        line 1, /0: a value was expected
        line 1, at the top: a value was expected
        line 1, at the top: a ':' was expected
        line 1, at the top: a member name in quotes was expected
        line 1, /0/0/0/0: nested more than 4 levels deep
        line 1, at the top: something after the end of the value
        line 1, at the top: a control character in a string must be escaped
        line 1, at the top: an escape that JSON does not have
        line 1, at the top: \u must be followed by four hex digits
        line 1, at the top: a string that does not end
        line 1, /a/1/b~1~0: a value was expected
        "#
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(read(b"[\"a\xFF\"]", Limits { depth: 4 }).unwrap_err().reason, "bytes that are not UTF-8");
    }
}
