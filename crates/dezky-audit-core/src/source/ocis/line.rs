//! A line of the audit file (contracts, sections 3.2 and 3.3).

use super::super::compose::{Composer, at, text_at, unreadable};
use super::super::fingerprint::SourceKey;
use super::super::read::read_lenient;
use super::super::redact::{self, Rule, TableLine, redact};
use super::super::{Kind, Mapped};
use super::{SOURCE, hint_space, hint_users, is_known};
use crate::json::{Members, Value};

/// Keys to what was shared (contracts, section 3.3).
const SECRETS: &[TableLine] = &[(&["ShareToken"], Rule::Always), (&["Token"], Rule::Always), (&["InviteLink"], Rule::Always)];
/// With what every line begins.
const HEAD: &[u8] = b"{\"RemoteAddr\":";
/// What every line says, for the service does not know better.
const CONSTANT: [(&str, &str); 7] = [
    ("RemoteAddr", "\"\""),
    ("URL", "\"\""),
    ("Method", "\"\""),
    ("UserAgent", "\"\""),
    ("App", "\"admin_audit\""),
    ("CLI", "false"),
    ("Level", "1"),
];

/// Maps a line without its LF. `generation` and `position` (of its first byte) tell where it stood, and are its `externalId`.
///
/// Usually one event. A line that was written behind a torn one is told from it: those are two, the torn one unreadable.
pub fn map_line(line: &[u8], generation: u64, position: u64, key: &SourceKey) -> Vec<Mapped> {
    let id = |offset: usize| format!("{generation}:{}", position + offset as u64);
    let lost =
        |part: &[u8], offset: usize, reason: &str| Mapped::Event(Box::new(unreadable(&SOURCE, &id(offset), part, reason, key)));
    let failed = match read_lenient(line) {
        Ok((Value::Object(members), converted)) => return vec![map_object(members, converted, &id(0))],
        Ok((other, _)) => {
            return vec![lost(line, 0, &format!("a line is an object, not {}; is AUDIT_FORMAT json?", other.kind()))];
        }
        Err(error) => error,
    };
    let torn = memchr::memmem::rfind(line, HEAD).filter(|at| *at > 0);
    if let Some(at) = torn
        && let Ok((Value::Object(members), converted)) = read_lenient(&line[at..])
    {
        return vec![lost(&line[..at], 0, "a line that was never finished"), map_object(members, converted, &id(at))];
    }
    let hint = if line.starts_with(b"{") { "" } else { "; is AUDIT_FORMAT json?" };
    vec![lost(line, 0, &format!("{failed}{hint}"))]
}

fn map_object(mut members: Members, converted: Vec<String>, id: &str) -> Mapped {
    let raw_action = take(&mut members, "Action").and_then(|action| action.as_str().map(str::to_owned)).unwrap_or_default();
    if matches!(raw_action.as_str(), "file_read" | "public_link_accessed") {
        return Mapped::Skipped { raw_action };
    }
    let (mut redacted, secrets) = redact(&mut members, SECRETS);
    // The message repeats them.
    if let Some((_, Value::String(message))) = members.iter_mut().find(|(name, _)| name == "Message")
        && let Some(clean) = redact::without(message, &secrets)
    {
        *message = clean;
        redacted.push("/Message".to_owned());
    }
    let event = Value::Object(members);
    let verb = if raw_action.is_empty() { unnamed(&event) } else { raw_action.as_str() };
    let mut composer = Composer::new(&SOURCE, verb, &raw_action, if is_known(verb) { Kind::Known } else { Kind::Unknown });
    composer.notes.redacted = redacted;
    composer.notes.converted = converted;
    composer.external_id(id);
    // For what became of a received share it is when the share was made.
    let has_true_time = !matches!(verb, "share_accepted" | "share_declined" | "share_state_changed");
    composer.at(text_at(&event, &["Time"]).filter(|_| has_true_time));
    let actor = text_at(&event, &["Message"]).and_then(executant);
    composer.actor_type(if actor.is_some() { "user" } else { "system" });
    composer.actor(actor, None, None);
    hint_users(&mut composer, [actor, text_at(&event, &["Owner"]), text_at(&event, &["User"]), text_at(&event, &["UserID"])]);
    resource(&mut composer, verb, &event);
    let Value::Object(mut members) = event else { return Mapped::Skipped { raw_action } };
    members.retain(|(name, value)| {
        !CONSTANT.iter().any(|(constant, usual)| constant == name && value.to_canonical() == usual.as_bytes())
    });
    Mapped::Event(Box::new(composer.finish(members)))
}

fn take(members: &mut Members, name: &str) -> Option<Value> {
    let at = members.iter().position(|(member, _)| member == name)?;
    Some(members.remove(at).1)
}

/// What a line without an action is, told by the members that it has (OCIS up to 7 does not name updates of shares).
fn unnamed(event: &Value) -> &'static str {
    let has = |name: &str| at(event, &[name]).is_some();
    match () {
        () if has("ShareOwner") && has("Permissions") => "share_updated",
        () if has("ShareID") && has("ShareWith") => "share_state_changed",
        () => "unnamed",
    }
}

/// `^user '([^']*)' `: ids hold no quotes, names further on may.
fn executant(message: &str) -> Option<&str> {
    let (user, rest) = message.strip_prefix("user '")?.split_once('\'')?;
    (rest.starts_with(' ') && !user.is_empty()).then_some(user)
}

fn resource(composer: &mut Composer, verb: &str, event: &Value) {
    let text = |name: &str| text_at(event, &[name]);
    let family = verb.split('_').next().unwrap_or(verb);
    match family {
        "share" => composer.resource("share", text("ShareID"), text("Path")),
        "space" => composer.resource("space", text("SpaceID"), text("NewName").or_else(|| text("Name"))),
        "user" => composer.resource("user", text("UserID"), None),
        "group" => composer.resource("group", text("GroupID"), None),
        "container" => composer.resource("folder", text("FileID"), text("Path")),
        "file" => composer.resource("file", text("FileID"), text("Path")),
        _ => {}
    }
    hint_space(composer, text("SpaceID"));
    hint_space(composer, text("FileID").filter(|id| id.contains('$')));
    if family == "space" {
        composer.hints.spaces.extend(text("Name").or_else(|| text("NewName")).map(str::to_owned));
    }
}
