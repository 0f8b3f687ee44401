//! An event in one sentence.

use serde_json::Value;

use crate::console::row::Row;

/// What people and systems do most, in words that go on from who did it; with `true` the resource's name follows.
const KNOWN: [(&str, &str, bool); 19] = [
    ("audit.login", "signed in to the console", false),
    ("audit.logout", "signed out of the console", false),
    ("audit.login_refused", "tried to sign in to the console", false),
    ("audit.checkpoint_forced", "had the log signed", false),
    ("audit.archived", "archived a batch of events", false),
    ("audit.viewed", "read the log", false),
    ("audit.exported", "exported events", false),
    ("authentik.login", "signed in at Authentik", false),
    ("authentik.login_failed", "tried to sign in at Authentik", false),
    ("authentik.logout", "signed out of Authentik", false),
    ("authentik.application_authorized", "was let into the application", true),
    ("stalwart.auth.success", "signed in to mail", false),
    ("stalwart.auth.failed", "tried to sign in to mail", false),
    ("ocis.file_uploaded", "uploaded the file", true),
    ("ocis.file_downloaded", "downloaded the file", true),
    ("ocis.file_deleted", "deleted the file", true),
    ("ocis.file_moved", "moved the file", true),
    ("ocis.share_created", "shared", true),
    ("ocis.space_created", "created the space", true),
];

/// `Ole Winther suspended the tenant kvist-co`; what is neither a verb of the platform nor known is told as `Jonas Lind: stalwart,
/// delivery completed`.
pub(super) fn sentence(row: &Row, line: &Value) -> String {
    if row.broken {
        return "This event cannot be read: its line is not what was recorded.".to_owned();
    }
    let who = match &*row.actor_type {
        _ if row.actor.is_empty() => "Somebody".to_owned(),
        "system" if row.actor == "system" => "The log".to_owned(),
        _ => plain(&row.actor),
    };
    let (family, verb) = row.action.split_once('.').unwrap_or(("", &row.action));
    let words = verb.replace(['.', '_'], " ");
    let named = |pointer: &str| line.pointer(pointer).and_then(Value::as_str);
    let what = named("/resource/name").or_else(|| named("/resource/id")).map(plain);
    let of_platform = ["tenant", "partner", "flag", "user"].contains(&family);
    let known = KNOWN.iter().find(|(action, ..)| *action == row.action);
    let told = match (known, what) {
        (Some((_, told, false)), _) => format!("{who} {told}"),
        (Some((_, told, true)), Some(what)) => format!("{who} {told} {what}"),
        (_, Some(what)) if of_platform => format!("{who} {words} the {family} {what}"),
        (_, None) if of_platform => format!("{who} {words} a {family}"),
        (_, Some(what)) if what != who => format!("{who}: {family}, {words}, {what}"),
        _ => format!("{who}: {family}, {words}"),
    };
    match &*row.outcome {
        "success" | "" => format!("{told}."),
        "denied" => format!("{told} — and was denied."),
        "failure" => format!("{told} — which failed."),
        other => format!("{told} — {other}."),
    }
}

/// Characters that turn the direction of what follows are shown as what they are: a name must not rewrite the sentence around it.
fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if turns(c) {
            plain.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use dezky_store::Stored;

    use super::*;

    #[test]
    fn an_event_is_told() {
        let tell = |line: Value| sentence(&Row::of(&Stored { seq: 1, line: line.to_string().into_bytes() }), &line);
        let line = serde_json::json!({"action": "tenant.suspended", "actorType": "operator", "actor": {"name": "Ole"}, "outcome": "success",
            "resource": {"id": "kvist"}});
        assert_eq!(tell(line), "Ole suspended the tenant kvist.");
        let line = serde_json::json!({"action": "authentik.login_failed", "actorType": "user", "outcome": "failure"});
        assert_eq!(tell(line), "user tried to sign in at Authentik — which failed.");
        let line = serde_json::json!({"action": "ocis.file_deleted", "actor": {"name": "Ida"}, "resource": {"name": "a.pdf"}, "outcome": "denied"});
        assert_eq!(tell(line), "Ida deleted the file a.pdf — and was denied.");
        let line = serde_json::json!({"action": "ocis.file_deleted", "actorType": "user", "outcome": "success"});
        assert_eq!(tell(line), "user: ocis, file deleted.");
        let line = serde_json::json!({"action": "ocis.file_deleted", "actor": {"name": "Ida"}, "resource": {"name": "a\u{202E}fdp.exe"}, "outcome": "denied"});
        assert_eq!(tell(line), "Ida deleted the file a⟨U+202E⟩fdp.exe — and was denied.");
        let line = serde_json::json!({"action": "stalwart.delivery.completed", "actorType": "user", "resource": {"id": "m1"}});
        assert_eq!(tell(line), "user: stalwart, delivery completed, m1.");
    }
}
