//! Extended JSON (MongoDB's notation for what JSON has no type for), to the JSON of the log format.

use dezky_audit_core::json::{MAX_NUMBER, Members, Value};
use dezky_audit_core::time::Timestamp;
use serde_json::Value as Json;

/// What lies deeper becomes the text of its JSON: the format allows 64 levels, and some are around it.
const MAX_DEPTH: usize = 56;
/// No more changed places are named.
const MAX_NAMED: usize = 100;

/// What had to be changed, as JSON pointers into the old document.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) converted: Vec<String>,
    pub(super) truncated: Vec<String>,
}

impl Notes {
    pub(super) fn converted(&mut self, pointer: &str) {
        note(&mut self.converted, pointer);
    }

    pub(super) fn truncated(&mut self, pointer: &str) {
        note(&mut self.truncated, pointer);
    }
}

fn note(list: &mut Vec<String>, pointer: &str) {
    if list.len() < MAX_NAMED && !list.iter().any(|known| known == pointer) {
        list.push(pointer.to_owned());
    }
}

/// A value of the old document as the format can hold it. Dates and ids become text, and so do numbers that no double holds
/// exactly; those are noted.
pub(super) fn plain(value: &Json, pointer: &str, notes: &mut Notes) -> Value {
    at_depth(value, pointer, notes, 0)
}

fn at_depth(value: &Json, pointer: &str, notes: &mut Notes, depth: usize) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(_) => number(&value.to_string(), pointer, notes),
        Json::Array(_) | Json::Object(_) if depth == MAX_DEPTH => {
            notes.converted(pointer);
            Value::String(value.to_string())
        }
        Json::Array(items) => {
            let item = |(index, item)| at_depth(item, &format!("{pointer}/{index}"), notes, depth + 1);
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        Json::Object(members) => match scalar(value) {
            Some(Scalar::Text(text)) => Value::String(text),
            Some(Scalar::Number(text)) => number(&text, pointer, notes),
            Some(Scalar::Absent) => Value::Null,
            None => {
                let member = |(name, value): (&String, &Json)| {
                    (name.clone(), at_depth(value, &format!("{pointer}/{}", escaped(name)), notes, depth + 1))
                };
                Value::Object(members.iter().map(member).collect::<Members>())
            }
        },
    }
}

/// What one of Extended JSON's wrappers holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(String),
    Number(String),
    Absent,
}

/// What a wrapper such as `{"$oid": "…"}` holds; `None` for everything else.
pub(super) fn scalar(value: &Json) -> Option<Scalar> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (name, inner) = members.iter().next()?;
    match (name.as_str(), inner) {
        ("$oid" | "$uuid" | "$symbol" | "$numberDecimal", Json::String(text)) => Some(Scalar::Text(text.clone())),
        ("$numberInt" | "$numberLong" | "$numberDouble", Json::String(text)) => Some(Scalar::Number(text.clone())),
        ("$date", _) => {
            let text = date(value).map(|time| time.to_string());
            Some(Scalar::Text(text.unwrap_or_else(|| inner.as_str().map_or_else(|| inner.to_string(), str::to_owned))))
        }
        ("$undefined", _) => Some(Scalar::Absent),
        _ => None,
    }
}

/// The time in `{"$date": …}`: RFC 3339, or milliseconds since 1970 as a number or as `{"$numberLong": "…"}`.
pub(super) fn date(value: &Json) -> Option<Timestamp> {
    match value.get("$date")? {
        Json::String(text) => Timestamp::parse_rfc3339(text).ok(),
        Json::Number(ms) => Timestamp::from_unix_ms(ms.as_u64()?),
        inner => Timestamp::from_unix_ms(inner.get("$numberLong")?.as_str()?.parse().ok()?),
    }
}

/// A number where a double holds it exactly enough (log format, section 1), else its text.
fn number(text: &str, pointer: &str, notes: &mut Notes) -> Value {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number.abs() <= MAX_NUMBER => Value::Number(number),
        _ => {
            notes.converted(pointer);
            Value::String(text.to_owned())
        }
    }
}

/// A name within a JSON pointer (RFC 6901, section 3).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Json) -> (String, Vec<String>) {
        let mut notes = Notes::default();
        let plain = plain(value, "/m", &mut notes);
        (String::from_utf8(plain.to_canonical()).unwrap(), notes.converted)
    }

    #[test]
    fn wrappers_become_what_they_hold() {
        let date = "2026-05-01T00:16:37.212Z";
        let cases = [
            (json!({"$oid": "66a1f3c2e4b0a1b2c3d4e5f6"}), "\"66a1f3c2e4b0a1b2c3d4e5f6\"".to_owned()),
            (json!({"$date": date}), format!("\"{date}\"")),
            (json!({"$date": "2026-05-01T02:16:37.2129+02:00"}), format!("\"{date}\"")),
            (json!({"$date": {"$numberLong": "1777594597212"}}), format!("\"{date}\"")),
            (json!({"$date": 1_777_594_597_212_u64}), format!("\"{date}\"")),
            (json!({"$date": {"$numberLong": "-1"}}), "\"{\\\"$numberLong\\\":\\\"-1\\\"}\"".to_owned()),
            (json!({"$numberInt": "-7"}), "-7".to_owned()),
            (json!({"$numberLong": "9007199254740991"}), "9007199254740991".to_owned()),
            (json!({"$numberDouble": "0.1"}), "0.1".to_owned()),
            (json!({"$numberDecimal": "0.10"}), "\"0.10\"".to_owned()),
            (json!({"$undefined": true}), "null".to_owned()),
            (
                json!({"$binary": {"base64": "AA==", "subType": "00"}}),
                "{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}".to_owned(),
            ),
            (json!({"$oid": "a", "other": 1}), "{\"$oid\":\"a\",\"other\":1}".to_owned()),
            (json!([1, "x", null, true, {"a": {"$numberInt": "1"}}]), "[1,\"x\",null,true,{\"a\":1}]".to_owned()),
        ];
        for (value, expected) in cases {
            assert_eq!(of(&value), (expected, Vec::new()), "{value}");
        }
    }

    #[test]
    fn numbers_that_no_double_holds_become_text() {
        let value = json!({"a": 9_007_199_254_740_993_u64, "b/c": {"$numberLong": "-9007199254740993"}, "d": 1e300, "e": {"$numberDouble": "NaN"}});
        let (text, converted) = of(&value);
        assert_eq!(text, "{\"a\":\"9007199254740993\",\"b/c\":\"-9007199254740993\",\"d\":\"1e+300\",\"e\":\"NaN\"}");
        assert_eq!(converted, ["/m/a", "/m/b~1c", "/m/d", "/m/e"]);
    }

    #[test]
    fn what_lies_too_deep_becomes_text() {
        let mut deep = json!("bottom");
        for _ in 0..100 {
            deep = json!({"d": deep});
        }
        let (text, converted) = of(&deep);
        assert!(text.contains("bottom") && text.matches("{\"d\":").count() == MAX_DEPTH);
        assert_eq!(converted.len(), 1);
    }
}
