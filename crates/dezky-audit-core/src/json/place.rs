//! Where in a JSON text something is: the JSON pointer (RFC 6901) and the line that a person looks for.
//!
//! Only error paths come here, so it walks the text again rather than have every reader carry positions along.

use crate::ids::parse_decimal;

/// A place in a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Byte offset from the beginning.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// RFC 6901; empty for the whole text.
    pub pointer: String,
}

enum Level {
    Array { index: usize },
    Object { name: Option<String>, value: bool },
}

impl Level {
    fn is_at(&self, segment: &str) -> bool {
        match self {
            Self::Array { index } => parse_decimal(segment) == u64::try_from(*index).ok(),
            Self::Object { name, .. } => name.as_deref() == Some(segment),
        }
    }
}

/// The place at byte `offset`; the text may be broken from there on.
pub fn place_at(text: &[u8], offset: usize) -> Place {
    let mut token = None;
    walk(text, |start, _| {
        let before = start <= offset;
        token = if before { Some(start) } else { token };
        before
    });
    // Written once: at every token on the way it would take time that grows with length times depth.
    let mut pointer = String::new();
    walk(text, |start, levels| {
        let here = token == Some(start);
        if here {
            pointer = write_pointer(levels);
        }
        !here
    });
    Place { offset, line: line_of(text, offset), pointer }
}

/// The place of the value that `pointer` names, or of the whole text when there is none.
pub fn place_of(text: &[u8], pointer: &str) -> Place {
    let segments: Vec<_> = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
    let mut offset = 0;
    walk(text, |start, levels| {
        let found = levels.len() == segments.len() && levels.iter().zip(&segments).all(|(level, segment)| level.is_at(segment));
        if found {
            offset = start;
        }
        !found
    });
    Place { offset, line: line_of(text, offset), pointer: pointer.to_owned() }
}

/// Where each item of the array that fills `text` begins.
pub fn item_offsets(text: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    walk(text, |start, levels| {
        if matches!(levels, [Level::Array { index }] if *index == offsets.len()) {
            offsets.push(start);
        }
        true
    });
    offsets
}

/// The line, from 1, of byte `offset`.
pub fn line_of(text: &[u8], offset: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text[..offset.min(text.len())]).count()
}

/// Calls `visit` at every token with the levels it stands in, until it says `false`.
fn walk(text: &[u8], mut visit: impl FnMut(usize, &[Level]) -> bool) {
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        at += 1;
        match text[start] {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b',' => {
                match levels.last_mut() {
                    Some(Level::Array { index }) => *index += 1,
                    Some(Level::Object { value, .. }) => *value = false,
                    None => {}
                }
                continue;
            }
            b':' => {
                if let Some(Level::Object { value, .. }) = levels.last_mut() {
                    *value = true;
                }
                continue;
            }
            b'"' => {
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(text.len());
                if let Some(Level::Object { name, value: false }) = levels.last_mut() {
                    *name = serde_json::from_slice(&text[start..at]).ok();
                }
            }
            b'[' | b'{' => {
                if !visit(start, &levels) {
                    return;
                }
                levels.push(if text[start] == b'[' {
                    Level::Array { index: 0 }
                } else {
                    Level::Object { name: None, value: false }
                });
                continue;
            }
            b']' | b'}' => {
                levels.pop();
            }
            _ => {
                while at < text.len() && !matches!(text[at], b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r') {
                    at += 1;
                }
            }
        }
        if !visit(start, &levels) {
            return;
        }
    }
}

fn write_pointer(levels: &[Level]) -> String {
    let mut pointer = String::new();
    for level in levels {
        match level {
            Level::Array { index } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Level::Object { name: Some(name), .. } => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Level::Object { name: None, .. } => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_and_its_offset_lead_to_each_other() {
        let text = b"{\"a\": [1,\n {\"b/c\": \"x\\\"y\", \"d\": null}], \"e\": 2}";
        for pointer in ["", "/a", "/a/0", "/a/1", "/a/1/b~1c", "/a/1/d", "/e"] {
            let place = place_of(text, pointer);
            assert_eq!(place_at(text, place.offset).pointer, pointer);
        }
        assert_eq!(place_of(text, "/a/1/d").line, 2);
        assert_eq!(place_of(text, "/nowhere").offset, 0);
        let array = b"[ {\"a\":[1,2]},\n [[],3] , \"x,y\",4 ]";
        let offsets = item_offsets(array);
        let expected: Vec<_> = (0..4).map(|index| place_of(array, &format!("/{index}")).offset).collect();
        assert_eq!((offsets, item_offsets(b"[]"), item_offsets(b"{}")), (expected, vec![], vec![]));
    }

    #[test]
    fn broken_text_has_places_too() {
        assert_eq!(place_at(b"{\"a\":[1,2", 8).pointer, "/a/1");
        assert_eq!(place_at(b"", 0).pointer, "");
        assert_eq!(place_at(b"{\"a\\", 9).line, 1);
        assert_eq!(place_at(b"]]}}", 3).pointer, "");
    }
}
