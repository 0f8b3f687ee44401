//! Reading what a source sent: more forgiving than the format's own reader, and it says what it changed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::path::Path;
use crate::json::{MAX_NUMBER, Members, Value};

/// The text is no JSON that can be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct NotJson {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// Reads one JSON value that fills `text`, and the pointers of what came in another form.
///
/// Numbers beyond ±(2^53 − 1) become strings: integers of 64 bits with all their digits. Of a member that stands twice the last
/// counts. Values nest at most 127 deep.
///
/// # Errors
/// When `text` is not JSON, or nests deeper.
pub fn read_lenient(text: &[u8]) -> Result<(Value, Vec<String>), NotJson> {
    let converted = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Seed { path: &Path::Root, converted: &converted }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok((value, converted.into_inner())),
        Err(error) => Err(NotJson {
            line: error.line(),
            column: error.column(),
            // The message may quote a piece of the text, which may be secret.
            reason: match error.classify() {
                serde_json::error::Category::Eof => "the text ends in the middle of a value",
                _ => "not JSON, or nested more than 127 levels deep",
            }
            .to_owned(),
        }),
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    /// Of the value that is being read.
    path: &'a Path<'a>,
    converted: &'a RefCell<Vec<String>>,
}

impl Seed<'_> {
    fn convert(self, text: String) -> Value {
        self.converted.borrow_mut().push(self.path.to_string());
        Value::String(text)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "checked to be below 2^53")]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        let small = number <= crate::ids::MAX_SAFE_INTEGER;
        Ok(if small { Value::Number(number as f64) } else { self.convert(number.to_string()) })
    }

    #[expect(clippy::cast_precision_loss, reason = "checked to be below 2^53")]
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        let small = number.unsigned_abs() <= crate::ids::MAX_SAFE_INTEGER;
        Ok(if small { Value::Number(number as f64) } else { self.convert(number.to_string()) })
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(if number.abs() <= MAX_NUMBER { Value::Number(number) } else { self.convert(number.to_string()) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            match items.next_element_seed(Seed { path: &path, ..self })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Members::new();
        let mut places: Option<std::collections::HashMap<String, usize>> = None;
        while let Some(name) = entries.next_key::<String>()? {
            let path = Path::Member(self.path, &name);
            let value = entries.next_value_seed(Seed { path: &path, ..self })?;
            // Few members are compared one by one, many are looked up.
            if members.len() == 16 {
                places = Some(members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect());
            }
            let place = match &mut places {
                None => members.iter().position(|(member, _)| *member == name),
                Some(places) => {
                    let known = places.get(&name).copied();
                    if known.is_none() {
                        places.insert(name.clone(), members.len());
                    }
                    known
                }
            };
            match place.and_then(|at| members.get_mut(at)) {
                Some((_, earlier)) => {
                    *earlier = value;
                    self.converted.borrow_mut().push(path.to_string());
                }
                None => members.push((name, value)),
            }
        }
        Ok(Value::Object(members))
    }
}

/// The name that a reference token stands for.
pub(super) fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_keep_their_digits_as_strings() {
        let (value, converted) =
            read_lenient(br#"{"spanId":304404571900346369,"a/b":[1,-9007199254740992],"x":1e300,"n":9007199254740991}"#).unwrap();
        assert_eq!(value.member("spanId").unwrap().as_str(), Some("304404571900346369"));
        assert_eq!(value.member("n").unwrap().as_integer(), Some(9_007_199_254_740_991));
        assert_eq!(converted, ["/spanId", "/a~1b/1", "/x"]);
    }

    #[test]
    fn of_a_repeated_member_the_last_counts_and_is_named() {
        let many: String = (0..20).map(|n| format!("\"m{n}\":{n},")).collect();
        let (value, converted) = read_lenient(format!("{{\"a\":1,\"a\":2,{many}\"m19\":7}}").as_bytes()).unwrap();
        assert_eq!(value.member("a").unwrap().as_integer(), Some(2));
        assert_eq!(value.member("m19").unwrap().as_integer(), Some(7));
        assert_eq!(converted, ["/a", "/m19"]);
    }

    #[test]
    fn what_is_no_json_is_refused_without_quoting_it() {
        for bad in [&b"{\"password\":hunter2}"[..], b"", b"{\"a\":1", b"{} {}", b"\"\\ud800\"", &[b'['; 500], b"\"\xff\""] {
            let error = read_lenient(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
