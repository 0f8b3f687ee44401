//! What a change changed, field by field: `metadata.data.changes`, as the platform writes it.

use serde_json::Value;

pub(super) struct Change {
    pub(super) field: String,
    pub(super) from: Vec<Piece>,
    pub(super) to: Vec<Piece>,
}

/// A value, or an element of one that is a list.
pub(super) struct Piece {
    pub(super) text: String,
    /// Only on this side.
    pub(super) differs: bool,
}

pub(super) fn changes(line: &Value) -> Vec<Change> {
    let Some(changes) = line.pointer("/metadata/data/changes").and_then(Value::as_array) else { return Vec::new() };
    let change = |change: &Value| {
        let field = change.get("field")?.as_str()?.to_owned();
        let (from, to) = (elements(change.get("from")), elements(change.get("to")));
        let against = |these: &[String], those: &[String]| {
            these.iter().map(|text| Piece { text: text.clone(), differs: !those.contains(text) }).collect()
        };
        Some(Change { field, from: against(&from, &to), to: against(&to, &from) })
    };
    changes.iter().filter_map(change).collect()
}

fn elements(value: Option<&Value>) -> Vec<String> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().map(shown).collect(),
        Some(value) => vec![shown(value)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_element() {
        let line = serde_json::json!({"metadata": {"data": {"changes": [
            {"field": "domains", "from": ["a.eu"], "to": ["a.eu", "b.eu"]}, {"field": "n", "to": 3}, {"bad": 1},
        ]}}});
        let changes = changes(&line);
        assert_eq!(changes.len(), 2);
        let to: Vec<_> = changes[0].to.iter().map(|piece| (piece.text.as_str(), piece.differs)).collect();
        assert_eq!(to, [("a.eu", false), ("b.eu", true)]);
        assert!(!changes[0].from[0].differs && changes[1].from.is_empty());
    }
}
