//! One document of the old collection to a draft, or why it cannot be one. Pure.
//!
//! What the format has no place for stays in `metadata.data.legacy`, under the name that it had; what had to be changed is named
//! in `metadata.data._audit`. Nothing is guessed: who acted, what happened and when must be said by the document.

use std::net::IpAddr;

use dezky_audit_core::event::{Actor, Client, Draft, PartText, RESERVED_MEMBER, Resource};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Action, ActorType, ExternalId, Outcome, ResourceType, Source};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;
use serde_json::{Map, Value as Json};

use super::extended::{Notes, Scalar, date, escaped, plain, scalar};

/// The source of events whose own is missing, or is not one.
const SOURCE: &str = "legacy";
/// The member of the metadata for what has no place of its own.
const REST: &str = "legacy";
/// Says who recorded the event, in `_audit`.
const RECORDED_BY: &str = "migrate-legacy";
const OUTCOMES: [&str; 3] = ["success", "failure", "denied"];
const ACTOR_TYPES: [&str; 5] = ["user", "operator", "service", "system", "anonymous"];
/// Metadata of more bytes has its long strings cut: an event has at most 1 MiB.
const MAX_METADATA: usize = 900_000;
/// What a long string is cut to then.
const CUT: usize = 4_096;

/// Why a document cannot be an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What summaries count by.
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

fn refused(reason: &'static str, detail: impl Into<String>) -> Refused {
    Refused { reason, detail: detail.into() }
}

/// The draft that a document stands for.
///
/// # Errors
/// The first thing that keeps it from being an event.
pub(crate) fn draft(document: &Json) -> Result<Draft, Refused> {
    let Json::Object(fields) = document else { return Err(refused("not-an-object", "a document is an object")) };
    let mut old = Old { fields: fields.clone(), rest: Members::new(), notes: Notes::default() };
    let (at, observed) = old.at()?;
    let (action, raw_action) = old.action()?;
    let outcome: Outcome = old.word("outcome", &OUTCOMES, ["outcome-missing", "outcome-unknown"])?;
    let actor_type: ActorType = old.word("actorType", &ACTOR_TYPES, ["actor-type-missing", "actor-type-unknown"])?;
    let source = old.source();
    let mut draft = Draft::new(action, outcome, source, actor_type);
    draft.at = Some(at);
    draft.external_id = Some(old.external_id()?);
    draft.resource_type = old.resource_type();
    draft.tenant = old.parsed("tenantSlug");
    draft.partner = old.parsed("partnerSlug");
    let actor = Actor { id: old.part("actorId"), email: old.part("actorEmail"), name: None };
    draft.actor = (actor != Actor::default()).then_some(actor);
    draft.client = old.parsed::<IpAddr>("actorIp").map(|ip| Client { ip: Some(ip), user_agent: None });
    let resource = Resource { id: old.part("resourceId"), name: old.part("resourceName") };
    draft.resource = (resource != Resource::default()).then_some(resource);
    draft.metadata = Some(old.metadata(observed, raw_action)?);
    Ok(draft)
}

/// When a document says that it happened, for putting documents in order; `None` where it says nothing of use.
pub(crate) fn time(document: &Json) -> Option<Timestamp> {
    match document.get("at") {
        None | Some(Json::Null) => made_at(document.get("_id")),
        Some(at) => stated(at),
    }
}

/// How a document is named to a person.
pub(crate) fn name(document: &Json) -> String {
    let id = document.get("_id").map(id_text);
    let mut name = id.unwrap_or_else(|| "a document without _id".to_owned());
    cut(&mut name, 120);
    name
}

fn stated(at: &Json) -> Option<Timestamp> {
    at.as_str().map_or_else(|| date(at), |text| Timestamp::parse_rfc3339(text).ok())
}

/// When an ObjectId was made, by its first four bytes.
fn made_at(id: Option<&Json>) -> Option<Timestamp> {
    let hex = id?.get("$oid")?.as_str().filter(|hex| hex.len() == 24)?;
    let seconds = u64::from_str_radix(hex.get(..8)?, 16).ok()?;
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn id_text(id: &Json) -> String {
    match (id, scalar(id)) {
        (Json::String(text), _) => text.clone(),
        (_, Some(Scalar::Text(text) | Scalar::Number(text))) => text,
        _ => id.to_string(),
    }
}

/// A document whose members are taken one by one.
struct Old {
    fields: Map<String, Json>,
    /// What has no place of its own.
    rest: Members,
    notes: Notes,
}

impl Old {
    /// When it happened, and whether only its `_id` says so.
    fn at(&mut self) -> Result<(Timestamp, bool), Refused> {
        match self.fields.remove("at").filter(|at| !at.is_null()) {
            Some(at) => match stated(&at) {
                Some(time) => Ok((time, false)),
                None => Err(refused("at-invalid", format!("at is {}, not a time between 1970 and 9999", shown(&at)))),
            },
            None => match made_at(self.fields.get("_id")) {
                Some(time) => Ok((time, true)),
                None => Err(refused("at-missing", "neither at nor an ObjectId says when it happened")),
            },
        }
    }

    /// The action, and what it was called when that is something else.
    fn action(&mut self) -> Result<(Action, Option<String>), Refused> {
        let Some(raw) = self.text("action") else { return Err(refused("action-missing", "action is missing")) };
        match Action::new(&*raw) {
            Ok(action) if !is_reserved(&raw) => Ok((action, None)),
            _ => {
                let mut text = dotted(&raw);
                if is_reserved(&text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
                    text.insert_str(0, "legacy.");
                }
                text.truncate(128);
                let action = Action::new(text).map_err(|error| refused("action-invalid", error.to_string()))?;
                let mut raw = raw;
                if cut(&mut raw, CUT) {
                    self.notes.truncated("/action");
                }
                Ok((action, Some(raw)))
            }
        }
    }

    /// One of the words that the format knows.
    fn word<T: std::str::FromStr>(&mut self, name: &str, known: &[&str], reasons: [&'static str; 2]) -> Result<T, Refused> {
        let [missing, unknown] = reasons;
        let Some(raw) = self.text(name) else { return Err(refused(missing, format!("{name} is missing"))) };
        let word = raw.trim().to_ascii_lowercase();
        if word != raw {
            self.notes.converted(&format!("/{name}"));
        }
        let not_known =
            || refused(unknown, format!("{name} is {}, not one of {}", shown(&Json::String(raw.clone())), known.join(", ")));
        if known.contains(&&*word) { word.parse().map_err(|_| not_known()) } else { Err(not_known()) }
    }

    fn source(&mut self) -> Source {
        let raw = self.text("source");
        if let Some(source) = raw.as_deref().and_then(|raw| raw.parse::<Source>().ok()).filter(|source| !source.is_log_itself()) {
            return source;
        }
        self.notes.converted("/source");
        let slug = raw.as_deref().map(slug).unwrap_or_default();
        if let Some(raw) = raw {
            self.keep("source", Value::String(raw));
        }
        let source = Source::new(slug).ok().filter(|source| !source.is_log_itself());
        source.unwrap_or_else(|| Source::new(SOURCE).expect("a slug"))
    }

    /// The document's own `externalId`, or one that its `_id` gives.
    fn external_id(&mut self) -> Result<ExternalId, Refused> {
        let own = self.parsed::<ExternalId>("externalId");
        let id = self.fields.remove("_id").filter(|id| !id.is_null());
        match (own, id) {
            (Some(own), None) => Ok(own),
            (Some(own), Some(id)) => {
                let id = plain(&id, "/_id", &mut self.notes);
                self.keep("_id", id);
                Ok(own)
            }
            (None, Some(id)) => {
                if let Ok(from_id) = ExternalId::new(format!("legacy-{}", id_text(&id))) {
                    return Ok(from_id);
                }
                let id = plain(&id, "/_id", &mut self.notes);
                let digest = Hash::of(&id.to_canonical());
                self.keep("_id", id);
                ExternalId::new(format!("legacy-sha256-{digest}")).map_err(|error| refused("id-invalid", error.to_string()))
            }
            (None, None) => Err(refused("id-missing", "neither externalId nor _id tells it from others when it comes again")),
        }
    }

    fn resource_type(&mut self) -> Option<ResourceType> {
        let raw = self.text("resourceType")?;
        if let Ok(kind) = ResourceType::new(&*raw) {
            return Some(kind);
        }
        self.notes.converted("/resourceType");
        let mut text = dotted(&raw);
        text.truncate(64);
        self.keep("resourceType", Value::String(raw));
        ResourceType::new(text).ok()
    }

    /// A text that has a form of its own; one that does not have it is kept as it was.
    fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let raw = self.text(name)?;
        match raw.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.notes.converted(&format!("/{name}"));
                self.keep(name, Value::String(raw));
                None
            }
        }
    }

    /// A text of one of the parts: at most 4,096 bytes.
    fn part(&mut self, name: &str) -> Option<PartText> {
        let mut raw = self.text(name)?;
        if cut(&mut raw, PartText::MAX) {
            self.notes.truncated(&format!("/{name}"));
        }
        PartText::new(raw).ok()
    }

    /// A member as text. Null and the empty text are none; what is neither text nor number is kept as it was.
    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.fields.remove(name)?;
        let pointer = format!("/{name}");
        let text = match (&value, scalar(&value)) {
            (Json::Null, _) | (_, Some(Scalar::Absent)) => return None,
            (Json::String(text), _) => return Some(text.clone()).filter(|text| !text.is_empty()),
            (Json::Number(_), _) => Some(value.to_string()),
            (_, Some(Scalar::Text(text) | Scalar::Number(text))) => Some(text),
            _ => None,
        };
        self.notes.converted(&pointer);
        if text.is_none() {
            let kept = plain(&value, &pointer, &mut self.notes);
            self.keep(name, kept);
        }
        text.filter(|text| !text.is_empty())
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.rest.push((name.to_owned(), value));
    }

    /// The metadata: the document's own, what has no other place, and what was changed.
    fn metadata(mut self, observed: bool, raw_action: Option<String>) -> Result<Members, Refused> {
        let mut data = match self.fields.remove("metadata") {
            None | Some(Json::Null) => Members::new(),
            Some(own) => match plain(&own, "/metadata", &mut self.notes) {
                Value::Object(members) => members,
                other => vec![("metadata".to_owned(), other)],
            },
        };
        if let Some(at) = data.iter().position(|(name, _)| name == RESERVED_MEMBER) {
            let (name, value) = data.swap_remove(at);
            self.notes.converted(&format!("/metadata/{RESERVED_MEMBER}"));
            self.keep(&name, value);
        }
        for (name, value) in std::mem::take(&mut self.fields) {
            let value = plain(&value, &format!("/{}", escaped(&name)), &mut self.notes);
            self.keep(&name, value);
        }
        if !self.rest.is_empty() {
            let mut name = REST.to_owned();
            while data.iter().any(|(taken, _)| *taken == name) {
                name.push('_');
            }
            data.push((name, Value::Object(unique(std::mem::take(&mut self.rest)))));
        }
        self.shorten(&mut data)?;
        let list = |pointers: Vec<String>| Value::Array(pointers.into_iter().map(Value::String).collect());
        let mut audit = vec![("recordedBy".to_owned(), Value::from(RECORDED_BY))];
        if observed {
            audit.push(("atObserved".to_owned(), Value::Bool(true)));
        }
        if let Some(raw) = raw_action {
            audit.push(("rawAction".to_owned(), Value::String(raw)));
        }
        if !self.notes.converted.is_empty() {
            audit.push(("converted".to_owned(), list(self.notes.converted)));
        }
        if !self.notes.truncated.is_empty() {
            audit.push(("truncated".to_owned(), list(self.notes.truncated)));
        }
        data.push((RESERVED_MEMBER.to_owned(), Value::Object(audit)));
        Ok(data)
    }

    /// Cuts the long strings of metadata that no event could hold.
    fn shorten(&mut self, data: &mut Members) -> Result<(), Refused> {
        let length = |data: &Members| Value::Object(data.clone()).to_canonical().len();
        if length(data) <= MAX_METADATA {
            return Ok(());
        }
        for (name, value) in data.iter_mut() {
            cut_strings(value, &format!("/metadata/{}", escaped(name)), &mut self.notes);
        }
        let length = length(data);
        if length <= MAX_METADATA { Ok(()) } else { Err(refused("too-long", format!("its metadata has {length} bytes"))) }
    }
}

fn cut_strings(value: &mut Value, pointer: &str, notes: &mut Notes) {
    match value {
        Value::String(text) => {
            if cut(text, CUT) {
                notes.truncated(pointer);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                cut_strings(item, &format!("{pointer}/{index}"), notes);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                cut_strings(member, &format!("{pointer}/{}", escaped(name)), notes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts `text` to at most `max` bytes, at a character; whether it was longer.
fn cut(text: &mut String, max: usize) -> bool {
    let longer = text.len() > max;
    if longer {
        text.truncate(text.floor_char_boundary(max));
    }
    longer
}

/// No name twice: a member that was kept beside one of the same name gets an underscore.
fn unique(members: Members) -> Members {
    let mut all = Members::with_capacity(members.len());
    for (mut name, value) in members {
        while all.iter().any(|(taken, _)| *taken == name) {
            name.push('_');
        }
        all.push((name, value));
    }
    all
}

/// Lower case, and `_` for what an action may not hold (log format, section 1).
fn dotted(raw: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c.to_ascii_lowercase() } else { '_' };
    raw.chars().map(allowed).take(128).collect()
}

fn slug(raw: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = raw.chars().map(allowed).collect();
    let mut text = text.trim_matches('-').to_owned();
    text.truncate(63);
    text.trim_end_matches('-').to_owned()
}

fn is_reserved(action: &str) -> bool {
    action == "audit" || action.starts_with("audit.")
}

/// A value in a message: short, and on one line.
fn shown(value: &Json) -> String {
    let mut text = value.to_string();
    if cut(&mut text, 80) {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
