//! Stalwart: the bodies that its webhook posts, of both generations of event names (0.15 and 0.16).
//!
//! Its ids serve for nothing: two events of one second share one, or a retry brings new ones. So an event's `externalId` is a
//! keyed fingerprint of what it says, and which of its equals in the same body it is. Two equal events that come in different
//! bodies cannot be told from a retry, and count as one.

mod allow;
mod names;

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use allow::{AllowList, InvalidPattern};

use super::Mapped;
use super::compose::{Composer, at, id_at, is_mail, source, text_at, unreadable};
use super::fingerprint::SourceKey;
use super::read::read_lenient;
use super::redact::{REDACTED, Rule, TableLine, redact};
use crate::ids::Source;
use crate::json::{Members, Value};

/// The `source` of its events.
pub static SOURCE: LazyLock<Source> = LazyLock::new(|| source("stalwart"));

/// In errors of authentication these hold raw tokens and Authorization headers (contracts, section 2.6).
const AUTH_ERROR_SECRETS: &[TableLine] = &[
    (&["data", "details"], Rule::IfText),
    (&["data", "id"], Rule::IfText),
    (&["data", "value"], Rule::IfText),
    (&["data", "contents"], Rule::Always),
];
/// What was said on the wire may hold anything.
const SECRETS: &[TableLine] = &[(&["data", "contents"], Rule::Always)];

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Maps the events of one body, in their order. One that cannot be read does not touch the others; a body that is no batch
/// is one unreadable event.
pub fn map_batch<'a>(body: &'a [u8], key: &'a SourceKey, allow: &'a AllowList) -> impl Iterator<Item = Mapped> + 'a {
    let (items, broken) = match serde_json::from_slice::<Envelope<'a>>(body) {
        Ok(envelope) => (envelope.events, None),
        Err(_) => (Vec::new(), Some(lost(body, "no webhook body: {\"events\":[…]} was expected", 0, key))),
    };
    let mut seen = HashMap::new();
    let mapped = items.into_iter().map(move |item| map_event(item.get().as_bytes(), key, allow, &mut seen));
    broken.into_iter().chain(mapped)
}

fn lost(raw: &[u8], reason: &str, occurrence: u32, key: &SourceKey) -> Mapped {
    let id = format!("unreadable-{}-{occurrence}", key.name("stalwart", &[raw]));
    Mapped::Event(Box::new(unreadable(&SOURCE, &id, raw, reason, key)))
}

/// How often each fingerprint came in this body.
type Seen = HashMap<String, u32>;

fn occurrence(seen: &mut Seen, name: &str) -> u32 {
    let count = seen.entry(name.to_owned()).or_insert(0);
    *count += 1;
    *count - 1
}

fn map_event(raw: &[u8], key: &SourceKey, allow: &AllowList, seen: &mut Seen) -> Mapped {
    let mut unreadable = |reason: &str| {
        let name = key.name("stalwart", &[raw]);
        lost(raw, reason, occurrence(seen, &name), key)
    };
    let (members, converted) = match read_lenient(raw) {
        Ok((Value::Object(members), converted)) => (members, converted),
        Ok((other, _)) => return unreadable(&format!("an event is an object, not {}", other.kind())),
        Err(error) => return unreadable(&error.to_string()),
    };
    let mut event = Value::Object(members);
    let Some(raw_type) = text_at(&event, &["type"]).map(str::to_owned) else { return unreadable("an event without a type") };
    if !matches!(event.member("data"), None | Some(Value::Object(_))) {
        return unreadable("the data of an event is an object");
    }
    let kind = match allow.rate(&raw_type) {
        _ if is_noise(&raw_type, &event) => return Mapped::Skipped { raw_action: raw_type },
        None => return Mapped::Skipped { raw_action: raw_type },
        Some(kind) => kind,
    };
    let created = text_at(&event, &["createdAt"]).unwrap_or_default().to_owned();
    let canonical = event.member("data").map(Value::to_canonical).unwrap_or_default();
    let fingerprint = key.name("stalwart-event", &[created.as_bytes(), raw_type.as_bytes(), &canonical]);

    let Value::Object(members) = &mut event else { return unreadable("an event is an object") };
    let is_auth_error = matches!(raw_type.as_str(), "auth.error" | "auth.warning");
    let (mut redacted, _) = redact(members, if is_auth_error { AUTH_ERROR_SECRETS } else { SECRETS });
    members.retain(|(name, _)| !matches!(name.as_str(), "type"));
    let verb = names::verb(&raw_type);
    redact_typed(verb, &mut event, &mut redacted);

    let mut composer = Composer::new(&SOURCE, verb, &raw_type, kind);
    composer.notes.redacted = redacted;
    composer.notes.converted = converted;
    let nth = occurrence(seen, &fingerprint);
    composer.external_id(&format!("{fingerprint}-{nth}"));
    composer.at(Some(&created));
    composer.outcome(names::outcome(verb));
    people(&mut composer, verb, &event);
    resource(&mut composer, verb, &event);
    composer.client(text_at(&event, &["data", "remoteIp"]), None);
    let data = match event {
        Value::Object(members) => members,
        _ => Members::new(),
    };
    Mapped::Event(Box::new(composer.finish(data)))
}

/// What comes all the time and says nothing: requests that did not even try to sign in, reads, pages.
fn is_noise(raw_type: &str, event: &Value) -> bool {
    match raw_type {
        "auth.failed" => {
            at(event, &["data", "accountName"]).is_none()
                && text_at(event, &["data", "details"]).is_some_and(|details| details.starts_with("Missing Authorization"))
        }
        "jmap.method-call" => text_at(event, &["data", "id"]).is_some_and(|method| {
            let verb = method.rsplit('/').next().unwrap_or(method);
            matches!(verb, "get" | "query" | "changes" | "queryChanges" | "parse" | "echo" | "lookup" | "validate")
        }),
        "http.request-url" => {
            !text_at(event, &["data", "url"]).is_some_and(|url| url.starts_with("/api") || url.starts_with("/jmap"))
        }
        _ => false,
    }
}

/// A name that was typed at a refused sign-in and fits no account may be a password: it is kept only as a mail address.
fn redact_typed(verb: &str, event: &mut Value, redacted: &mut Vec<String>) {
    if !names::is_refused_sign_in(verb) || id_at(event, &["data", "accountId"]).is_some() {
        return;
    }
    let Value::Object(members) = event else { return };
    let Some((_, Value::Object(data))) = members.iter_mut().find(|(name, _)| name == "data") else { return };
    let Some((_, Value::String(typed))) = data.iter_mut().find(|(name, _)| name == "accountName") else { return };
    if !is_mail(typed) && typed != REDACTED && !typed.is_empty() {
        REDACTED.clone_into(typed);
        redacted.push("/data/accountName".to_owned());
    }
}

fn people(composer: &mut Composer, verb: &str, event: &Value) {
    let id = id_at(event, &["data", "accountId"]);
    let name = text_at(event, &["data", "accountName"]).filter(|name| *name != REDACTED);
    let (mail, plain) = match name {
        Some(name) if is_mail(name) => (Some(name), None),
        other => (None, other),
    };
    let from = text_at(event, &["data", "from"]).filter(|from| is_mail(from));
    // The master user who signs in to somebody's account stands in `details` (0.16).
    let master = text_at(event, &["data", "details"]).filter(|details| verb == "auth.success" && is_mail(details));
    if let Some(master) = master {
        composer.actor_type("user");
        composer.actor(None, Some(master), None);
    } else if names::is_refused_sign_in(verb) {
        composer.actor_type("anonymous");
    } else if id.is_some() || name.is_some() {
        composer.actor_type("user");
        composer.actor(id.as_deref(), mail, plain);
    } else if verb.starts_with("queue.") && from.is_some() {
        composer.actor_type("user");
        composer.actor(None, from, None);
    } else if text_at(event, &["data", "remoteIp"]).is_some() {
        composer.actor_type("anonymous");
    }
    composer.hints.users.extend(id);
    composer.hints.mails.extend([mail, from].into_iter().flatten().map(str::to_owned));
}

/// What it was done to, by the category of the event.
fn resource(composer: &mut Composer, verb: &str, event: &Value) {
    let id = |name: &str| id_at(event, &["data", name]);
    let text = |name: &str| text_at(event, &["data", name]);
    let account = text("accountName").filter(|name| *name != REDACTED);
    let category = verb.split('.').next().unwrap_or(verb);
    match category {
        "auth" | "security" if account.is_some() || id("accountId").is_some() => {
            composer.resource("account", id("accountId").as_deref(), account);
        }
        "imap" | "pop3" if text("mailboxName").is_some() || id("mailboxId").is_some() => {
            composer.resource("mailbox", id("mailboxId").as_deref(), text("mailboxName"));
        }
        "manage-sieve" => composer.resource("sieve-script", id("documentId").as_deref(), text("id")),
        "message-ingest" => composer.resource("message", text("messageId"), None),
        "queue" => composer.resource("message", id("queueId").as_deref(), None),
        "jmap" => composer.resource("method", None, text("id")),
        "http" => composer.resource("url", None, text("url")),
        "web-dav" => composer.resource("path", None, text("path")),
        "dkim" | "dns" => composer.resource("domain", None, text("domain")),
        "server" => composer.resource("server", None, text("hostname")),
        _ => {}
    }
}
