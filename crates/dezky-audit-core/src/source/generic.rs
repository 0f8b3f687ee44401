//! Any system that can send JSON: which of its values become which fields is said by JSON pointers (RFC 6901).
//!
//! A pointer that leads nowhere leaves its field out. What has no action is recorded as `<source>.unnamed`, what cannot be read
//! as `<source>.unreadable`: a mapping that does not fit loses nothing.

use std::collections::HashMap;

use super::compose::{Composer, action_of, unreadable};
use super::fingerprint::SourceKey;
use super::pieces::pieces;
use super::read::{read_lenient, unescaped};
use super::redact::{REDACTED, redact};
use super::{Kind, Mapped};
use crate::ids::{InvalidId, Source};
use crate::json::Value;

/// Sources that have their own ways in, or are the log itself.
const TAKEN: [&str; 6] = ["audit", "authentik", "stalwart", "ocis", "ocis-bus", "platform-api"];

/// Where the fields of an event stand in what is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    source: Source,
    fields: Fields,
}

/// Pointers, each to one field. Only `action` is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The array of events, when several are sent at once; else what is sent is one event, or an array of them.
    pub events: Option<String>,
    pub action: String,
    pub external_id: Option<String>,
    pub at: Option<String>,
    /// `success`, `failure`, `denied`, or `true` and `false`.
    pub outcome: Option<String>,
    pub actor_id: Option<String>,
    pub actor_email: Option<String>,
    pub actor_name: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// The name of a group, or the slug of a tenant.
    pub group: Option<String>,
    /// What must not be recorded, beside what looks like a secret or is called like one.
    pub secrets: Vec<String>,
}

/// A mapping that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMapping {
    #[error("the source {name:?} is {error}")]
    Source { name: String, error: InvalidId },
    /// These have their own ways in, or are the log itself.
    #[error("the source {name:?} is taken; choose another name")]
    Taken { name: String },
    #[error(
        "{field} is {pointer:?}, which is no JSON pointer: it begins with /, ~ stands only in ~0 and ~1, and it has at most 1024 bytes"
    )]
    Pointer { field: &'static str, pointer: String },
}

impl Mapping {
    /// # Errors
    /// When the source's name cannot be used, or a pointer is none.
    pub fn new(source: &str, fields: Fields) -> Result<Self, InvalidMapping> {
        let name = || source.to_owned();
        if TAKEN.contains(&source) || source.starts_with("authentik-") {
            return Err(InvalidMapping::Taken { name: name() });
        }
        let parsed = Source::new(source).map_err(|error| InvalidMapping::Source { name: name(), error })?;
        for (field, pointer) in fields.named() {
            if !is_pointer(pointer) {
                return Err(InvalidMapping::Pointer { field, pointer: pointer.to_owned() });
            }
        }
        Ok(Self { source: parsed, fields })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether events have ids of their own; else each is named by its content.
    pub fn has_ids(&self) -> bool {
        self.fields.external_id.is_some()
    }

    /// Maps the events of one body (an object, an array of them, or newline-delimited JSON), in their order. One that cannot be
    /// read does not touch the others; a body that holds none is one unreadable event. This is a dry run too: it records nothing.
    pub fn map<'a>(&'a self, body: &'a [u8], key: &'a SourceKey) -> impl Iterator<Item = Mapped> + 'a {
        let pieces = pieces(body, self.fields.events.as_deref());
        let reason = "no object, no array of them, and no lines of them, where events were expected";
        let broken = pieces.is_none().then(|| self.lost(body, reason, 0, key));
        let mut seen = HashMap::new();
        let mapped = pieces.unwrap_or_default().into_iter().map(move |piece| self.map_one(piece, key, &mut seen));
        broken.into_iter().chain(mapped)
    }

    fn lost(&self, raw: &[u8], reason: &str, occurrence: u32, key: &SourceKey) -> Mapped {
        let id = format!("unreadable-{}-{occurrence}", key.name(self.source.as_str(), &[raw]));
        Mapped::Event(Box::new(unreadable(&self.source, &id, raw, reason, key)))
    }

    fn map_one(&self, piece: &[u8], key: &SourceKey, seen: &mut HashMap<String, u32>) -> Mapped {
        let mut occurrence = |name: &str| {
            let count = seen.entry(name.to_owned()).or_insert(0);
            *count += 1;
            *count - 1
        };
        let (value, converted) = match read_lenient(piece) {
            Ok(read) => read,
            Err(error) => {
                let nth = occurrence(&key.name(self.source.as_str(), &[piece]));
                return self.lost(piece, &error.to_string(), nth, key);
            }
        };
        let fingerprint = key.name("generic-event", &[&value.to_canonical()]);
        let id = format!("{fingerprint}-{}", occurrence(&fingerprint));
        let members = match value {
            Value::Object(members) => members,
            other => vec![("value".to_owned(), other)],
        };
        let mut event = Value::Object(members);
        let mut redacted = self.take_secrets(&mut event);
        if let Value::Object(members) = &mut event {
            redacted.extend(redact(members, &[]).0);
        }
        let text = |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| scalar(&event, pointer));
        let named = scalar(&event, &self.fields.action);
        let raw = named.clone().unwrap_or_default();
        // A system that begins its names with its own needs no second prefix.
        let own = format!("{}.", self.source);
        let verb = if raw.is_empty() { "unnamed" } else { raw.strip_prefix(&own).unwrap_or(&raw) };
        let kind = if named.is_some() { Kind::Known } else { Kind::Unknown };
        let mut composer = Composer::new(&self.source, verb, verb, kind);
        if action_of(&self.source, verb).as_str() != format!("{own}{verb}") {
            composer.notes.raw_action = Some(raw.clone());
        }
        composer.notes.redacted = redacted;
        composer.notes.converted = converted;
        let given = text(&self.fields.external_id);
        if !given.is_some_and(|given| composer.external_id(&given)) {
            composer.external_id(&id);
        }
        composer.at(text(&self.fields.at).as_deref());
        match text(&self.fields.outcome).map(|outcome| outcome.to_ascii_lowercase()).as_deref() {
            Some("failure" | "false" | "failed" | "error") => composer.outcome("failure"),
            Some("denied") => composer.outcome("denied"),
            _ => composer.outcome("success"),
        }
        let (actor_id, email, name) =
            (text(&self.fields.actor_id), text(&self.fields.actor_email), text(&self.fields.actor_name));
        if actor_id.is_some() || email.is_some() || name.is_some() {
            composer.actor_type("user");
        }
        composer.actor(actor_id.as_deref(), email.as_deref(), name.as_deref());
        composer.client(text(&self.fields.ip).as_deref(), text(&self.fields.user_agent).as_deref());
        let (resource_id, resource_name) = (text(&self.fields.resource_id), text(&self.fields.resource_name));
        if let Some(kind) = text(&self.fields.resource_type) {
            composer.resource(&kind, resource_id.as_deref(), resource_name.as_deref());
        } else if resource_id.is_some() || resource_name.is_some() {
            composer.resource("resource", resource_id.as_deref(), resource_name.as_deref());
        }
        composer.hints.groups.extend(text(&self.fields.group));
        composer.hints.users.extend(actor_id);
        composer.hints.mails.extend(email);
        let Value::Object(members) = event else { return Mapped::Skipped { raw_action: raw } };
        Mapped::Event(Box::new(composer.finish(members)))
    }

    /// What the operator says is secret; the pointers of what stood there.
    fn take_secrets(&self, event: &mut Value) -> Vec<String> {
        let mut taken = Vec::new();
        for pointer in &self.fields.secrets {
            let Some(value) = lookup_mut(event, pointer) else { continue };
            if !matches!(value, Value::Null) && value.as_str() != Some("") {
                *value = Value::from(REDACTED);
                taken.push(pointer.clone());
            }
        }
        taken
    }
}

impl Fields {
    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let optional = [
            ("events", &self.events),
            ("externalId", &self.external_id),
            ("at", &self.at),
            ("outcome", &self.outcome),
            ("actorId", &self.actor_id),
            ("actorEmail", &self.actor_email),
            ("actorName", &self.actor_name),
            ("ip", &self.ip),
            ("userAgent", &self.user_agent),
            ("resourceType", &self.resource_type),
            ("resourceId", &self.resource_id),
            ("resourceName", &self.resource_name),
            ("group", &self.group),
        ];
        let given = optional.into_iter().filter_map(|(field, pointer)| pointer.as_deref().map(|pointer| (field, pointer)));
        let secrets = self.secrets.iter().map(|pointer| ("secrets", pointer.as_str()));
        std::iter::once(("action", self.action.as_str())).chain(given).chain(secrets)
    }
}

fn is_pointer(text: &str) -> bool {
    let escapes = text.match_indices('~').all(|(at, _)| matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
    text.starts_with('/') && escapes && text.len() <= 1_024
}

fn lookup<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(value, |value, token| match value {
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        other => other.member(&unescaped(token)),
    })
}

fn lookup_mut<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    pointer.split('/').skip(1).try_fold(value, |value, token| match value {
        Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?),
        Value::Object(members) => {
            let name = unescaped(token);
            members.iter_mut().find(|(member, _)| *member == name).map(|(_, value)| value)
        }
        _ => None,
    })
}

/// A text, number or boolean at a pointer, as text; what was taken out is nothing.
fn scalar(value: &Value, pointer: &str) -> Option<String> {
    match lookup(value, pointer)? {
        Value::String(text) if !text.is_empty() && text != REDACTED => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
