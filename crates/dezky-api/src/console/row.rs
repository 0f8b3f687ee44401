//! An event as a line of a list.

use dezky_store::Stored;
use serde_json::Value;

use super::time::When;

/// The most characters of a name in a row: a page of a hundred stays light. The event's own page has them all.
const MAX_NAME: usize = 200;

/// What a row shows. What is withheld or missing is empty.
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) when: When,
    pub(crate) recorded: String,
    pub(crate) action: String,
    pub(crate) actor: String,
    pub(crate) actor_type: String,
    pub(crate) resource: String,
    pub(crate) tenant: String,
    pub(crate) source: String,
    pub(crate) outcome: String,
    /// Whether the line is no event any more.
    pub(crate) broken: bool,
}

impl Row {
    pub(crate) fn of(stored: &Stored) -> Self {
        let line: Value = serde_json::from_slice(&stored.line).unwrap_or(Value::Null);
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let first =
            |pointers: &[&str]| pointers.iter().map(|pointer| text(pointer)).find(|text| !text.is_empty()).unwrap_or_default();
        let actor_type = text("/actorType");
        let actor = first(&["/actor/name", "/actor/email", "/actor/id"]);
        let (kind, name) = (text("/resourceType"), first(&["/resource/name", "/resource/id"]));
        Self {
            seq: stored.seq,
            when: When { iso: text("/at") },
            recorded: text("/recordedAt"),
            action: text("/action"),
            actor: if actor.is_empty() { actor_type.clone() } else { cut(actor) },
            actor_type,
            resource: cut([kind, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")),
            tenant: text("/tenantSlug"),
            source: text("/source"),
            outcome: text("/outcome"),
            broken: !line.is_object(),
        }
    }

    /// A sign beside the word, for those who do not see colours.
    pub(crate) fn sign(&self) -> &'static str {
        match &*self.outcome {
            "success" => "✓",
            "failure" => "✕",
            "denied" => "⊘",
            _ => "·",
        }
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_NAME) {
        text.truncate(end);
        text.push('…');
    }
    text
}
