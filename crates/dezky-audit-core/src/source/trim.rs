//! Data cut to what an event can hold, with the pointers of what was cut.

use super::path::Path;
use crate::json::{Members, Value, most_bytes, write_members};

/// How much data one event may have, in bytes of canonical JSON: well below a line's limit, whatever else it holds.
const MAX_BYTES: usize = 512 << 10;

#[derive(Clone, Copy)]
struct Limits {
    text: usize,
    items: usize,
    members: usize,
    name: usize,
    depth: usize,
}

/// One after the other, until the data is small enough. The last one always suffices: 64 texts of 512 bytes, each byte
/// written as at most six.
const LIMITS: [Limits; 3] = [
    Limits { text: 32 << 10, items: 1_000, members: 1_000, name: 512, depth: 48 },
    Limits { text: 1 << 10, items: 50, members: 100, name: 256, depth: 12 },
    Limits { text: 512, items: 0, members: 64, name: 128, depth: 1 },
];

/// Cuts `data` until it fits; the pointers of what was cut.
pub(super) fn trim(data: &mut Members) -> Vec<String> {
    let mut cut = Vec::new();
    let mut written = Vec::new();
    for limits in LIMITS {
        Trimmer { limits, cut: &mut cut }.members(data, &Path::Root, 1);
        if most_bytes(data) <= MAX_BYTES {
            break;
        }
        written.clear();
        write_members(&mut written, data);
        if written.len() <= MAX_BYTES {
            break;
        }
    }
    cut
}

/// The first `max` bytes of a text, less what would split a character.
pub(super) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

struct Trimmer<'c> {
    limits: Limits,
    cut: &'c mut Vec<String>,
}

impl Trimmer<'_> {
    fn members(&mut self, members: &mut Members, path: &Path<'_>, depth: usize) {
        let before = members.len();
        members.retain(|(name, _)| name.len() <= self.limits.name);
        members.truncate(self.limits.members);
        if members.len() < before {
            self.note(path);
        }
        for (name, value) in members {
            self.value(value, &Path::Member(path, name), depth);
        }
    }

    fn value(&mut self, value: &mut Value, path: &Path<'_>, depth: usize) {
        match value {
            Value::String(text) if text.len() > self.limits.text => {
                text.truncate(cut(text, self.limits.text).len());
                self.note(path);
            }
            Value::Array(_) | Value::Object(_) if depth >= self.limits.depth => {
                *value = Value::from("[cut]");
                self.note(path);
            }
            Value::Array(items) => {
                if items.len() > self.limits.items {
                    items.truncate(self.limits.items);
                    self.note(path);
                }
                for (at, item) in items.iter_mut().enumerate() {
                    self.value(item, &Path::Item(path, at), depth + 1);
                }
            }
            Value::Object(members) => self.members(members, path, depth + 1),
            _ => {}
        }
    }

    fn note(&mut self, path: &Path<'_>) {
        let pointer = path.to_string();
        if self.cut.last() != Some(&pointer) {
            self.cut.push(pointer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_fits_afterwards() {
        let deep = (0..100).fold(Value::Null, |inside, _| Value::Object(vec![("a".to_owned(), inside)]));
        let wide = Value::Array((0..2_000).map(|_| Value::from("\u{1}".repeat(400))).collect());
        let mut data =
            vec![("deep".to_owned(), deep), ("wide".to_owned(), wide), ("long".to_owned(), Value::from("ä".repeat(1 << 20)))];
        data.extend((0..5_000).map(|n| (format!("m{n}"), Value::from("\u{1}".repeat(5_000)))));
        data.push(("n".repeat(1 << 20), Value::Null));
        let cut = trim(&mut data);
        let mut written = Vec::new();
        write_members(&mut written, &data);
        assert!(written.len() <= MAX_BYTES, "{}", written.len());
        assert!(cut.contains(&"/long".to_owned()) && cut.contains(&String::new()), "{cut:?}");
    }
}
