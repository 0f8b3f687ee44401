//! A draft put together from what a source said, with everything that had to be changed noted in it.

use super::fingerprint::SourceKey;
use super::redact::REDACTED;
use super::trim::{cut, trim};
use super::{Kind, MappedEvent, TenantHints};
use crate::event::{Actor, Client, Draft, PartText, RESERVED_MEMBER, Resource, client_ip};
use crate::ids::{Action, ActorType, ExternalId, Outcome, ResourceType, Source};
use crate::json::{Members, Value};
use crate::time::Timestamp;

/// The most pointers that one list of notes names.
const MAX_NOTES: usize = 100;
/// The most bytes of one pointer.
const MAX_POINTER: usize = 1_024;
/// The most bytes of a raw action name that is kept.
const MAX_RAW_ACTION: usize = 1_024;

/// What had to be changed about a source's data.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) raw_action: Option<String>,
    pub(super) redacted: Vec<String>,
    pub(super) converted: Vec<String>,
    pub(super) truncated: Vec<String>,
    pub(super) at_observed: bool,
}

/// A draft in the making.
pub(super) struct Composer {
    pub(super) draft: Draft,
    pub(super) hints: TenantHints,
    pub(super) notes: Notes,
    pub(super) kind: Kind,
}

impl Composer {
    /// An event of `source` that we call `verb` and it calls `raw`. `source` and `verb` come from our tables.
    pub(super) fn new(source: &Source, verb: &str, raw: &str, kind: Kind) -> Self {
        let action = action_of(source, verb);
        let draft = Draft::new(action, word("success"), source.clone(), actor("system"));
        let mut notes = Notes::default();
        if draft.action.as_str().strip_prefix(source.as_str()).and_then(|rest| rest.strip_prefix('.')) != Some(raw) {
            notes.raw_action = Some(cut(raw, MAX_RAW_ACTION).to_owned());
        }
        Self { draft, hints: TenantHints::default(), notes, kind }
    }

    pub(super) fn outcome(&mut self, outcome: &str) {
        self.draft.outcome = word(outcome);
    }

    pub(super) fn actor_type(&mut self, kind: &str) {
        self.draft.actor_type = actor(kind);
    }

    /// When it happened, as the source says. What is no time of ours counts as not said.
    pub(super) fn at(&mut self, said: Option<&str>) {
        self.draft.at = said.and_then(|text| Timestamp::parse_rfc3339(text).ok());
        self.notes.at_observed = self.draft.at.is_none();
    }

    pub(super) fn external_id(&mut self, id: &str) -> bool {
        self.draft.external_id = ExternalId::new(id).ok();
        self.draft.external_id.is_some()
    }

    pub(super) fn actor(&mut self, id: Option<&str>, email: Option<&str>, name: Option<&str>) {
        let actor = Actor {
            id: self.text("/actor/id", id),
            email: self.text("/actor/email", email),
            name: self.text("/actor/name", name),
        };
        self.draft.actor = Some(actor).filter(|actor| *actor != Actor::default());
    }

    /// Whether `ip` is an address; what is none stays in the data.
    pub(super) fn client(&mut self, ip: Option<&str>, user_agent: Option<&str>) -> bool {
        let ip = ip.and_then(|ip| client_ip(ip).ok());
        let client = Client { ip, user_agent: self.text("/client/userAgent", user_agent) };
        self.draft.client = Some(client).filter(|client| *client != Client::default());
        ip.is_some()
    }

    pub(super) fn resource(&mut self, kind: &str, id: Option<&str>, name: Option<&str>) {
        let resource = Resource { id: self.text("/resource/id", id), name: self.text("/resource/name", name) };
        self.draft.resource = Some(resource).filter(|resource| *resource != Resource::default());
        self.draft.resource_type = ResourceType::new(plain(kind, 64)).ok();
    }

    /// The event, with `data` as its metadata, cut to size.
    pub(super) fn finish(mut self, mut data: Members) -> MappedEvent {
        self.notes.truncated.extend(trim(&mut data));
        // What stands under our own name there is the source's.
        let mut own = RESERVED_MEMBER.to_owned();
        while data.iter().any(|(name, _)| *name == own) {
            own.insert(0, '_');
        }
        if let Some((name, _)) = data.iter_mut().find(|(name, _)| name == RESERVED_MEMBER) {
            self.notes.converted.push(format!("/{RESERVED_MEMBER}"));
            *name = own;
        }
        let notes = self.notes.into_members();
        if !notes.is_empty() {
            data.push((RESERVED_MEMBER.to_owned(), Value::Object(notes)));
        }
        self.draft.metadata = Some(data);
        MappedEvent { draft: self.draft, hints: self.hints, kind: self.kind }
    }

    fn text(&mut self, pointer: &str, text: Option<&str>) -> Option<PartText> {
        let text = text.filter(|text| !text.is_empty() && *text != REDACTED)?;
        let fits = cut(text, PartText::MAX);
        if fits.len() < text.len() {
            self.notes.truncated.push(pointer.to_owned());
        }
        PartText::new(fits).ok()
    }
}

impl Notes {
    fn into_members(self) -> Members {
        let mut members = Members::new();
        let mut add = |name: &str, value| members.push((name.to_owned(), value));
        if self.at_observed {
            add("atObserved", Value::Bool(true));
        }
        if !self.converted.is_empty() {
            add("converted", list(self.converted));
        }
        if let Some(raw) = self.raw_action {
            add("rawAction", Value::String(raw));
        }
        if !self.redacted.is_empty() {
            add("redacted", list(self.redacted));
        }
        if !self.truncated.is_empty() {
            add("truncated", list(self.truncated));
        }
        members
    }
}

fn list(mut pointers: Vec<String>) -> Value {
    let more = pointers.len() > MAX_NOTES;
    pointers.truncate(MAX_NOTES);
    let mut items: Vec<_> = pointers.iter().map(|pointer| Value::from(cut(pointer, MAX_POINTER))).collect();
    if more {
        items.push(Value::from("…"));
    }
    Value::Array(items)
}

/// An event in place of bytes that could not be read: their size and a MAC of them, and why.
pub(super) fn unreadable(source: &Source, id: &str, raw: &[u8], reason: &str, key: &SourceKey) -> MappedEvent {
    let mut event = Composer::new(source, "unreadable", "unreadable", Kind::Unreadable);
    event.outcome("failure");
    event.at(None);
    event.external_id(id);
    #[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53")]
    let size = raw.len() as f64;
    event.finish(vec![
        ("mac".to_owned(), Value::from(key.mac("unreadable", &[raw]).to_hex())),
        ("reason".to_owned(), Value::from(cut(reason, 512))),
        ("size".to_owned(), Value::Number(size)),
    ])
}

/// `<source>.<verb>` in the form that actions have: other characters become `_`, cut to 128 bytes (log format, section 1).
pub(super) fn action_of(source: &Source, verb: &str) -> Action {
    let name = plain(&format!("{source}.{verb}"), 128);
    // A source's slug may begin with a digit, an action may not.
    Action::new(name.as_str()).or_else(|_| Action::new(plain(&format!("s{name}"), 128))).expect("made of what actions have")
}

fn plain(text: &str, max: usize) -> String {
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-') { c } else { '_' };
    text.chars().map(|c| fits(c.to_ascii_lowercase())).take(max).collect()
}

/// A source's name; for names that stand in our code.
pub(super) fn source(slug: &str) -> Source {
    Source::new(slug).expect("a slug")
}

fn word(text: &str) -> Outcome {
    Outcome::new(text).expect("an outcome of our tables")
}

fn actor(text: &str) -> ActorType {
    ActorType::new(text).expect("a kind of actor of our tables")
}

/// The value at a path of names.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.member(name))
}

/// The text at a path, when it is not empty.
pub(super) fn text_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// An id: a text, or a number as one.
pub(super) fn id_at(value: &Value, path: &[&str]) -> Option<String> {
    match at(value, path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether a name that somebody typed is surely no password: it has the form of a mail address.
pub(super) fn is_mail(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let simple = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-' | b'+');
    let label = |label: &str| !label.is_empty() && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    (1..=64).contains(&local.len())
        && local.bytes().all(simple)
        && domain.len() <= 253
        && domain.contains('.')
        && domain.split('.').all(label)
        && domain.rsplit('.').next().is_some_and(|top| top.len() >= 2 && top.bytes().all(|c| c.is_ascii_alphabetic()))
}
