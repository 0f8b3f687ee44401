//! Authentik: what `GET /api/v3/events/events/` returns.
//!
//! An event's `pk` is its `externalId`. The `user` of an event is who acted, but in events about signing in, where it is the
//! account that somebody tried: there it is the resource, and nobody is the actor until they are let in. Under impersonation
//! the actor is the administrator; the other person stands in `data.user.on_behalf_of`.

mod actions;
mod page;

use std::sync::LazyLock;

pub use page::{Page, PageError};

use self::actions::{Row, Subject};
use super::compose::{Composer, at, id_at, is_mail, source, text_at, unreadable};
use super::fingerprint::SourceKey;
use super::read::read_lenient;
use super::redact::{REDACTED, Rule, TableLine, redact};
use super::{Kind, Mapped, MappedEvent};
use crate::ids::Source;
use crate::json::{Members, Value};

/// The `source` of its events.
pub static SOURCE: LazyLock<Source> = LazyLock::new(|| source("authentik"));

/// What Authentik leaves in its events although it is secret (contracts, section 1.8).
const SECRETS: &[TableLine] = &[
    // Whole mails, with live recovery and invitation links.
    (&["context", "body"], Rule::Always),
    // A link to the exported data.
    (&["context", "hyperlink"], Rule::Always),
    // What OAuth and SAML send through the browser.
    (&["context", "http_request", "args", "code"], Rule::Always),
    (&["context", "http_request", "args", "state"], Rule::Always),
    (&["context", "http_request", "args", "nonce"], Rule::Always),
    (&["context", "http_request", "args", "code_challenge"], Rule::Always),
    (&["context", "http_request", "args", "RelayState"], Rule::Always),
    (&["context", "http_request", "args", "SigAlg"], Rule::IfText),
    (&["context", "http_request", "args", "Signature"], Rule::Always),
    (&["context", "auth_method_args", "duo_response"], Rule::Always),
    // Local variables of stack frames, when debugging is on.
    (&["context", "exception", "*", "frames", "*", "locals"], Rule::Always),
    (&["context", "exception", "*", "frames", "*", "vars"], Rule::Always),
];

/// Maps one event: an element of a page's `results`.
pub fn map_event(raw: &[u8], key: &SourceKey) -> Mapped {
    let lost = |reason: &str| {
        let id = format!("unreadable-{}", key.name("authentik", &[raw]));
        Mapped::Event(Box::new(unreadable(&SOURCE, &id, raw, reason, key)))
    };
    match read_lenient(raw) {
        Ok((Value::Object(members), converted)) => {
            map_object(members, converted).unwrap_or_else(|| lost("an event without pk or action"))
        }
        Ok((other, _)) => lost(&format!("an event is an object, not {}", other.kind())),
        Err(error) => lost(&error.to_string()),
    }
}

/// `None` for an event without `pk` or `action`.
fn map_object(mut members: Members, converted: Vec<String>) -> Option<Mapped> {
    let mut take = |name: &str| {
        let at = members.iter().position(|(member, _)| member == name)?;
        Some(members.remove(at).1)
    };
    let pk = take("pk")?;
    let raw_action = take("action")?;
    let raw_action = raw_action.as_str().filter(|action| !action.is_empty())?;
    let (mut redacted, _) = redact(&mut members, SECRETS);
    let mut event = Value::Object(members);
    if raw_action == "login_failed" {
        redact_typed(&mut event, &mut redacted);
    }
    let row = actions::find(raw_action);
    let verb = membership(&event, raw_action)
        .unwrap_or_else(|| row.as_ref().map_or(raw_action, |row| if row.verb.is_empty() { raw_action } else { row.verb }));
    let kind = if row.is_some() { Kind::Known } else { Kind::Unknown };
    let mut composer = Composer::new(&SOURCE, verb, raw_action, kind);
    composer.notes.redacted = redacted;
    composer.notes.converted = converted;
    if !composer.external_id(pk.as_str()?) {
        return None;
    }
    composer.at(text_at(&event, &["created"]));
    composer.outcome(row.as_ref().map_or("success", |row| row.outcome));
    people(&mut composer, &event, row.as_ref());
    resource(&mut composer, &event, row.as_ref());
    // The address that stands for "could not be told" is no address.
    let ip = text_at(&event, &["client_ip"]).filter(|ip| *ip != "255.255.255.255");
    composer.client(ip, text_at(&event, &["context", "http_request", "user_agent"]));
    let Value::Object(members) = event else { return None };
    Some(Mapped::Event(Box::new(composer.finish(members))))
}

/// A membership change says in its path whether somebody joined or left; who did is not said (contracts, section 1.6).
fn membership(event: &Value, raw_action: &str) -> Option<&'static str> {
    let is_group = text_at(event, &["context", "model", "model_name"]) == Some("group");
    let path = text_at(event, &["context", "http_request", "path"]).filter(|_| raw_action == "model_updated" && is_group)?;
    match path.trim_end_matches('/').rsplit('/').next() {
        Some("add_user") => Some("group_member_added"),
        Some("remove_user") => Some("group_member_removed"),
        _ => None,
    }
}

/// A name that was typed at sign-in and fits no account may be a password: it is kept only as a mail address.
fn redact_typed(event: &mut Value, redacted: &mut Vec<String>) {
    let exists = matches!(at(event, &["user", "pk"]), Some(Value::Number(_) | Value::String(_)))
        && at(event, &["user", "is_anonymous"]) != Some(&Value::Bool(true));
    let known = |name: &str| exists.then(|| text_at(event, &["user", name]).map(str::to_owned)).flatten();
    let known = [known("username"), known("email")];
    for path in [["user", "username"], ["user", "email"], ["context", "username"]] {
        let Some(Value::Object(inside)) = member_mut(event, path[0]) else { continue };
        let Some((_, Value::String(typed))) = inside.iter_mut().find(|(name, _)| name == path[1]) else { continue };
        let harmless =
            typed.is_empty() || typed == "AnonymousUser" || is_mail(typed) || known.iter().flatten().any(|name| name == typed);
        if !harmless && typed != REDACTED {
            REDACTED.clone_into(typed);
            redacted.push(format!("/{}/{}", path[0], path[1]));
        }
    }
}

fn member_mut<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let Value::Object(members) = value else { return None };
    members.iter_mut().find(|(member, _)| member == name).map(|(_, value)| value)
}

/// Who acted, and whose event it may be.
fn people(composer: &mut Composer, event: &Value, row: Option<&Row>) {
    let anonymous = |path: &[&str]| {
        let user = at(event, path);
        user.is_none_or(|user| user.member("is_anonymous") == Some(&Value::Bool(true)))
    };
    let has_user = text_at(event, &["user", "username"]).is_some() || id_at(event, &["user", "pk"]).is_some();
    let subject = row.map_or(Subject::Actor, |row| row.subject);
    let pending = at(event, &["user", "authenticated_as"]).is_some();
    let actor: Option<&[&str]> = match subject {
        _ if !has_user => None,
        Subject::Nobody => None,
        _ if pending => Some(&["user", "authenticated_as"]),
        Subject::Account
            if text_at(event, &["context", "http_request", "path"]).is_some_and(|path| path.ends_with("/set_password/")) =>
        {
            None
        }
        Subject::Actor | Subject::Account => Some(&["user"]),
    };
    match actor {
        Some(path) if !anonymous(path) => {
            let inside = |name| [path, &[name]].concat();
            let id = id_at(event, &inside("pk"));
            composer.actor_type("user");
            composer.actor(id.as_deref(), text_at(event, &inside("email")), text_at(event, &inside("username")));
        }
        Some(_) => composer.actor_type("anonymous"),
        None if !has_user => composer.actor_type("system"),
        None => composer.actor_type(if subject == Subject::Nobody { "anonymous" } else { "user" }),
    }
    let users: [&[&str]; 3] = [&["user"], &["user", "on_behalf_of"], &["user", "authenticated_as"]];
    for path in users.into_iter().filter(|path| at(event, path).is_some() && !anonymous(path)) {
        let inside = |name| [path, &[name]].concat();
        composer.hints.users.extend(id_at(event, &inside("pk")));
        composer.hints.mails.extend(text_at(event, &inside("email")).filter(|mail| *mail != REDACTED).map(str::to_owned));
    }
}

/// What it was done to: the account in events about accounts, else the first of these that the event names.
fn resource(composer: &mut Composer, event: &Value, row: Option<&Row>) {
    let subject = row.map_or(Subject::Actor, |row| row.subject);
    let target: &[&str] =
        if text_at(event, &["user", "on_behalf_of", "username"]).is_some() && row.is_some_and(|row| row.impersonates) {
            &["user", "on_behalf_of"]
        } else {
            &["user"]
        };
    if subject != Subject::Actor || row.is_some_and(|row| row.impersonates) {
        if target.len() == 1 && row.is_some_and(|row| row.impersonates) {
            return;
        }
        let id = id_at(event, &[target, &["pk"]].concat());
        composer.resource("user", id.as_deref(), text_at(event, &[target, &["username"]].concat()));
        return;
    }
    const MODELS: [&[&str]; 9] = [
        &["context", "model"],
        &["context", "secret"],
        &["context", "token"],
        &["context", "authorized_application"],
        &["context", "source"],
        &["context", "target"],
        &["context", "export"],
        &["context", "request", "obj"],
        &["context", "binding"],
    ];
    let Some(path) = MODELS.into_iter().find(|path| text_at(event, &[path, &["model_name"][..]].concat()).is_some()) else {
        return;
    };
    let inside = |name| [path, &[name]].concat();
    let kind = text_at(event, &inside("model_name")).unwrap_or_default();
    let id = id_at(event, &inside("pk"));
    let name = text_at(event, &inside("name"));
    composer.resource(kind, id.as_deref(), name);
    match kind {
        "group" => composer.hints.groups.extend(name.map(str::to_owned)),
        "user" => composer.hints.users.extend(id),
        _ => {}
    }
}

/// Somebody who was a member of a group at one look and not at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership<'a> {
    pub group: &'a str,
    pub group_name: &'a str,
    pub user: &'a str,
    pub username: Option<&'a str>,
    pub email: Option<&'a str>,
    /// Since when they are, or else are not any more.
    pub joined: bool,
    /// Whether the whole group is gone.
    pub group_deleted: bool,
}

/// An event of ours about a membership that changed between two looks at the groups: nobody says when, or by whom.
pub fn membership_changed(id: &str, change: &Membership<'_>) -> MappedEvent {
    let verb = if change.joined { "group_member_joined" } else { "group_member_left" };
    let mut composer = Composer::new(&SOURCE, verb, verb, Kind::Known);
    composer.at(None);
    composer.external_id(id);
    composer.resource("group", Some(change.group), Some(change.group_name));
    composer.hints.groups.push(change.group_name.to_owned());
    composer.hints.users.push(change.user.to_owned());
    composer.hints.mails.extend(change.email.map(str::to_owned));
    let text = |name: &str, text: Option<&str>| text.map(|text| (name.to_owned(), Value::from(text)));
    let group = [text("pk", Some(change.group)), text("name", Some(change.group_name))];
    let user = [text("pk", Some(change.user)), text("username", change.username), text("email", change.email)];
    let mut data = vec![
        ("group".to_owned(), Value::Object(group.into_iter().flatten().collect())),
        ("user".to_owned(), Value::Object(user.into_iter().flatten().collect())),
    ];
    if change.group_deleted {
        data.push(("groupDeleted".to_owned(), Value::Bool(true)));
    }
    composer.finish(data)
}

/// An event of ours about an event that is gone at the source or says something else now.
pub fn gone_or_changed(verb: &str, id: &str, data: Members) -> MappedEvent {
    let mut composer = Composer::new(&SOURCE, verb, verb, Kind::Known);
    composer.outcome("failure");
    composer.external_id(id);
    composer.finish(data)
}
