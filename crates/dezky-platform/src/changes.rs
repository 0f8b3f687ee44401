//! What differs between two versions of a document, for its event.

use dezky_audit_core::json::Value;
use serde_json::Value as Json;

/// Members that say nothing about what was changed, or nothing that the log should hold.
const SILENT: [&str; 5] = ["createdAt", "updatedAt", "history", "lastUsedAt", "secretSha256"];

/// One object `{field, from, to}` for each top-level member that differs, in the order of names; `from` or `to` is left out
/// where there was or is none.
pub(crate) fn between(before: Option<&Json>, after: &Json) -> Vec<Value> {
    let empty = serde_json::Map::new();
    let before = before.and_then(Json::as_object).unwrap_or(&empty);
    let after = after.as_object().unwrap_or(&empty);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).filter(|name| !SILENT.contains(&name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let given = |value: Option<&Json>| value.filter(|value| !value.is_null()).map(converted);
    names
        .into_iter()
        .filter_map(|name| {
            let (from, to) = (given(before.get(name)), given(after.get(name)));
            if from == to {
                return None;
            }
            let mut change = vec![("field".to_owned(), Value::from(name.as_str()))];
            change.extend(from.map(|from| ("from".to_owned(), from)));
            change.extend(to.map(|to| ("to".to_owned(), to)));
            Some(Value::Object(change))
        })
        .collect()
}

fn converted(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(converted).collect()),
        Json::Object(members) => Value::Object(members.iter().map(|(name, value)| (name.clone(), converted(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: Option<Json>, after: Json) -> String {
        String::from_utf8(Value::Array(between(before.as_ref(), &after)).to_canonical()).unwrap()
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = serde_json::json!({"name": "A", "partner": null, "domains": ["a.eu"], "updatedAt": "1", "gone": 1});
        let after = serde_json::json!({"name": "A", "partner": "p", "domains": ["a.eu", "b.eu"], "updatedAt": "2"});
        assert_eq!(
            shown(Some(before), after),
            r#"[{"field":"domains","from":["a.eu"],"to":["a.eu","b.eu"]},{"field":"gone","from":1},{"field":"partner","to":"p"}]"#
        );
        assert_eq!(shown(None, serde_json::json!({"slug": "a", "note": null})), r#"[{"field":"slug","to":"a"}]"#);
    }
}
