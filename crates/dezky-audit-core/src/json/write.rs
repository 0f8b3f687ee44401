//! Writing the canonical form: RFC 8785 (JSON Canonicalization Scheme).

use super::value::Value;
use super::{Members, compare_names};

/// Appends `value`, members sorted (RFC 8785, 3.2.3).
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, *number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => write_array(out, items),
        Value::Object(members) => write_members(out, members),
    }
}

/// Appends a finite double as ECMAScript's `Number::toString` does (RFC 8785, 3.2.2.3). Anything else becomes `null`,
/// which cannot be reached by what was [read](super::read).
pub fn write_number(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends `text` in quotes, with the fewest escapes that JSON allows (RFC 8785, 3.2.2.2).
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn write_array(out: &mut Vec<u8>, items: &[Value]) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_value(out, item);
    }
    out.push(b']');
}

/// Appends an object of `members`.
pub fn write_members(out: &mut Vec<u8>, members: &Members) {
    let write = |out: &mut Vec<u8>, at: usize, (name, value): &(String, Value)| {
        if at > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_value(out, value);
    };
    out.push(b'{');
    if members.is_sorted_by(|a, b| compare_names(&a.0, &b.0).is_lt()) {
        members.iter().enumerate().for_each(|(at, member)| write(out, at, member));
    } else {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_by(|a, b| compare_names(&a.0, &b.0));
        sorted.into_iter().enumerate().for_each(|(at, member)| write(out, at, member));
    }
    out.push(b'}');
}

/// The most bytes that [`write_members`] appends: what it does, but that each number and each control character counts as the
/// longest.
pub fn most_bytes(members: &Members) -> usize {
    let of_member = |(name, value): &(String, Value)| most_bytes_of_text(name) + 1 + most_bytes_of(value);
    2 + members.len().saturating_sub(1) + members.iter().map(of_member).sum::<usize>()
}

fn most_bytes_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        // A sign, 17 digits, a point, and an exponent of five; or a small fraction with six zeros before its digits.
        Value::Number(_) => 25,
        Value::String(text) => most_bytes_of_text(text),
        Value::Array(items) => 2 + items.len().saturating_sub(1) + items.iter().map(most_bytes_of).sum::<usize>(),
        Value::Object(members) => most_bytes(members),
    }
}

fn most_bytes_of_text(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_longer_than_was_said() {
        let text = |text: &str| Value::from(text);
        let numbers = [-1.234_567_890_123_456_7e-300, -0.000_001_234_567_890_123_456_7, f64::MIN, f64::MAX, 5e-324];
        let values = [
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Null, Value::Bool(false), text("a\"b\\c\u{1}\u{1f}\n"), text("\u{1F600}é")]),
            Value::Array(numbers.map(Value::Number).into()),
            Value::Object(Vec::new()),
            Value::Object(vec![("\u{2}\"".to_owned(), text("")), ("b".to_owned(), Value::Bool(true))]),
        ];
        for value in values {
            let members = vec![("a".to_owned(), value.clone()), ("b".to_owned(), value)];
            let mut written = Vec::new();
            write_members(&mut written, &members);
            assert!(written.len() <= most_bytes(&members), "{}", String::from_utf8_lossy(&written));
        }
        // And not by much, where there is neither.
        let members = vec![("name".to_owned(), Value::Array(vec![text("x\"y"), text("ä"), Value::Bool(false)]))];
        let mut written = Vec::new();
        write_members(&mut written, &members);
        assert_eq!(written.len(), most_bytes(&members));
    }
}
