//! The JSON values of a body, each as the bytes that it came in, so that one that cannot be read does not touch the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::read::unescaped;

/// The values in `body`: an object, the items of an array, or what each of several lines holds of these (newline-delimited
/// JSON). `pointer` leads to the object or array within the body, or within each line. A line that is none of that is
/// returned as it stands; blank lines are passed over.
///
/// `None` when nothing in it is such a value. A body of *n* bytes takes time in the order of *n* and of the pointer's length.
pub fn pieces<'a>(body: &'a [u8], pointer: Option<&str>) -> Option<Vec<&'a [u8]>> {
    if let Some(pieces) = whole(body, pointer) {
        return Some(pieces);
    }
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut any = false;
    let pieces = lines.flat_map(|line| {
        let pieces = whole(line, pointer);
        any |= pieces.is_some();
        pieces.unwrap_or_else(|| vec![line])
    });
    let pieces = pieces.collect();
    any.then_some(pieces)
}

fn whole<'a>(text: &'a [u8], pointer: Option<&str>) -> Option<Vec<&'a [u8]>> {
    let mut value: &'a RawValue = serde_json::from_slice(text).ok()?;
    for token in pointer.unwrap_or_default().split('/').skip(1) {
        value = member(value, token)?;
    }
    match value.get().as_bytes().first()? {
        b'{' => Some(vec![value.get().as_bytes()]),
        b'[' => items(value).map(|items| items.into_iter().map(|item| item.get().as_bytes()).collect()),
        _ => None,
    }
}

fn items(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// One step of a pointer. Of a member that stands twice the last counts, as everywhere in what sources send.
fn member<'a>(value: &'a RawValue, token: &str) -> Option<&'a RawValue> {
    match value.get().as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(value.get()).ok()?;
            members.get(&*unescaped(token)).copied()
        }
        b'[' => items(value)?.get(token.parse::<usize>().ok()?).copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, pointer: Option<&str>) -> Option<Vec<String>> {
        let pieces = pieces(body.as_bytes(), pointer)?;
        Some(pieces.into_iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect())
    }

    #[test]
    fn objects_arrays_and_lines() {
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(" {\"a\": 1}\n", None), texts(&["{\"a\": 1}"]));
        assert_eq!(of("[{}, 1 ,\n[]]", None), texts(&["{}", "1", "[]"]));
        assert_eq!(of("[]", None), texts(&[]));
        assert_eq!(of("{\"a\":1}\r\n\n{\"a\":\n[{},{}]\n", None), texts(&["{\"a\":1}", "{\"a\":", "{}", "{}"]));
        assert_eq!(of("{\"x\":{\"a/b\":[[{}]]}}", Some("/x/a~1b/0")), texts(&["{}"]));
        assert_eq!(of("{\"x\":{\"n\":1}}\n{\"y\":0}\n", Some("/x")), texts(&["{\"n\":1}", "{\"y\":0}"]));
        assert_eq!(of("{\"x\":1,\"x\":{}}", Some("/x")), texts(&["{}"]));
    }

    #[test]
    fn what_holds_no_event() {
        for body in ["", "17", "\"a\"", "{\"a\":", "x\ny", "[1", "null"] {
            assert_eq!(of(body, None), None, "{body}");
        }
        assert_eq!(of("{\"y\":[]}", Some("/x")), None);
        assert_eq!(of("[[1]]", Some("/0/x")), None);
        assert_eq!(pieces(b"{\"a\":\"\xff\"}", None), None);
    }

    #[test]
    fn one_that_is_nested_too_deep_does_not_touch_the_others() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&format!("[{{}},{deep},{{}}]"), None).unwrap().len(), 3);
    }
}
