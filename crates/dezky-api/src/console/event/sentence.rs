//! An event in one sentence.

use serde_json::Value;

use crate::console::row::Row;

/// `Ole Winther suspended the tenant kvist-co`; what is no verb of the platform is told as `Jonas Lind: authentik, login failed`.
pub(super) fn sentence(row: &Row, line: &Value) -> String {
    if row.broken {
        return "This event cannot be read: its line is not what was recorded.".to_owned();
    }
    let who = match &*row.actor_type {
        _ if row.actor.is_empty() => "Somebody".to_owned(),
        "system" if row.actor == "system" => "The log".to_owned(),
        _ => row.actor.clone(),
    };
    let (family, verb) = row.action.split_once('.').unwrap_or(("", &row.action));
    let words = verb.replace(['.', '_'], " ");
    let named = |pointer: &str| line.pointer(pointer).and_then(Value::as_str);
    let what = named("/resource/name").or_else(|| named("/resource/id"));
    let of_platform = ["tenant", "partner", "flag", "user"].contains(&family);
    let told = match (of_platform, what) {
        (true, Some(what)) => format!("{who} {words} the {family} {what}"),
        (true, None) => format!("{who} {words} a {family}"),
        (false, Some(what)) if what != who => format!("{who}: {family}, {words}, {what}"),
        (false, _) => format!("{who}: {family}, {words}"),
    };
    match &*row.outcome {
        "success" | "" => format!("{told}."),
        "denied" => format!("{told} — and was denied."),
        "failure" => format!("{told} — which failed."),
        other => format!("{told} — {other}."),
    }
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
        assert_eq!(tell(line), "user: authentik, login failed — which failed.");
    }
}
