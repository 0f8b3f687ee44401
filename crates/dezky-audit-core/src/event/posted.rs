//! Drafts as callers post them: one JSON object each, its parts without salts, `metadata` as the plain object.
//!
//! Every refusal names the event, the line, the JSON pointer and the reason.

use std::cell::LazyCell;

use super::MAX_DATA_DEPTH;
use super::draft::{Actor, Client, Draft, Resource};
use super::part::{PartText, client_ip};
use crate::ids::{ActorType, ExternalId, InvalidId, Outcome};
use crate::json::{Limits, Members, ReadError, Value, item_offsets, line_of, place_of, read};
use crate::time::Timestamp;

/// The member of `metadata` in which the log notes what it had to change about a source's data. Callers may not send it.
pub const RESERVED_MEMBER: &str = "_audit";

/// The outcomes that writers use (section 1).
const OUTCOMES: [&str; 3] = ["success", "failure", "denied"];
/// The kinds of actors that writers use (section 1).
const ACTOR_TYPES: [&str; 5] = ["user", "operator", "service", "system", "anonymous"];
/// An array, an event and its metadata around the data itself.
const LIMITS: Limits = Limits { depth: MAX_DATA_DEPTH + 2 };

/// A posted event that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {index}, line {line}, {}: {reason}", if pointer.is_empty() { "at the top" } else { pointer })]
pub struct PostedError {
    /// Which event of the body, from 0.
    pub index: usize,
    /// Line of the body, from 1.
    pub line: usize,
    /// JSON pointer within the event; empty for the event as a whole.
    pub pointer: String,
    pub reason: String,
}

/// Through which door a draft comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// From outside: `source` `audit`, actions `audit.*` and `metadata._audit` belong to the log and are refused.
    Caller,
    /// From the log itself or an adapter of ours.
    Internal,
}

impl Draft {
    /// Reads one posted event that fills `body`.
    ///
    /// # Errors
    /// When it is no JSON, or not an event that this door may take.
    pub fn from_json(body: &[u8], door: Door) -> Result<Self, PostedError> {
        let value = read(body, LIMITS).map_err(|error| unreadable(0, 0, error))?;
        Self::from_value(value, door).map_err(|refusal| refusal.in_event(body, 0, 0))
    }

    /// Reads a JSON array of at most `max` posted events.
    ///
    /// # Errors
    /// Every refused event with its index.
    pub fn array_from_json(body: &[u8], max: usize, door: Door) -> Result<Vec<Self>, Vec<PostedError>> {
        let items = match read(body, LIMITS) {
            Ok(Value::Array(items)) => items,
            Ok(other) => return Err(vec![whole(format!("an array of events was expected, not {}", other.kind()))]),
            Err(error) => return Err(vec![unreadable(0, 0, error)]),
        };
        check_count(items.len(), max)?;
        // Found once, and only when something is refused: each event is then looked through by itself.
        let offsets = LazyCell::new(|| item_offsets(body));
        let (mut counted, mut above) = (0, 0);
        all_or_nothing(items.into_iter().enumerate().map(|(index, value)| {
            Self::from_value(value, door).map_err(|refusal| {
                let start = offsets.get(index).copied().unwrap_or(0);
                let end = offsets.get(index + 1).copied().unwrap_or(body.len());
                // Lines are counted on from the refusal before: each part of the body once.
                above += line_of(&body[counted..start], start - counted) - 1;
                counted = start;
                refusal.in_event(&body[start..end], index, above)
            })
        }))
    }

    /// Reads newline-delimited JSON: one posted event a line, at most `max`; empty lines are skipped.
    ///
    /// # Errors
    /// Every refused event with its index and line.
    pub fn lines_from_json(body: &[u8], max: usize, door: Door) -> Result<Vec<Self>, Vec<PostedError>> {
        let lines: Vec<_> =
            body.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
        check_count(lines.len(), max)?;
        all_or_nothing(lines.into_iter().enumerate().map(|(index, (above, line))| {
            let value = read(line, LIMITS).map_err(|error| unreadable(index, above, error))?;
            Self::from_value(value, door).map_err(|refusal| refusal.in_event(line, index, above))
        }))
    }

    fn from_value(value: Value, door: Door) -> Result<Self, Refusal> {
        let mut event = Fields::new(value, "", "an event")?;
        let action = event.required("action")?;
        let outcome: Outcome = event.required("outcome")?;
        check_word("/outcome", outcome.as_str(), &OUTCOMES)?;
        let source = event.required("source")?;
        let actor_type: ActorType = event.required("actorType")?;
        check_word("/actorType", actor_type.as_str(), &ACTOR_TYPES)?;
        let mut draft = Self::new(action, outcome, source, actor_type);
        draft.at = event.parsed("at", Timestamp::parse_rfc3339)?;
        draft.external_id = event.parsed("externalId", |text| text.parse::<ExternalId>())?;
        draft.resource_type = event.parsed("resourceType", str::parse)?;
        draft.tenant = event.parsed("tenantSlug", str::parse)?;
        draft.partner = event.parsed("partnerSlug", str::parse)?;
        if let Some(mut actor) = event.part("actor")? {
            draft.actor = Some(Actor { id: actor.text("id")?, email: actor.text("email")?, name: actor.text("name")? });
            actor.finish()?;
        }
        if let Some(mut client) = event.part("client")? {
            draft.client = Some(Client { ip: client.parsed("ip", client_ip)?, user_agent: client.text("userAgent")? });
            client.finish()?;
        }
        if let Some(mut resource) = event.part("resource")? {
            draft.resource = Some(Resource { id: resource.text("id")?, name: resource.text("name")? });
            resource.finish()?;
        }
        draft.metadata = match event.take("metadata") {
            None => None,
            Some(Value::Object(members)) => Some(members),
            Some(other) => return Err(Refusal::at("/metadata", format!("an object was expected, not {}", other.kind()))),
        };
        event.finish()?;
        draft.check(door)?;
        Ok(draft)
    }

    /// Checks what reading JSON checks and the types of a draft built in code do not: the words that writers use, and for
    /// callers what belongs to the log.
    ///
    /// # Errors
    /// The first member that this door does not take.
    pub fn check(&self, door: Door) -> Result<(), RefusedMember> {
        check_word("/outcome", self.outcome.as_str(), &OUTCOMES)?;
        check_word("/actorType", self.actor_type.as_str(), &ACTOR_TYPES)?;
        if door == Door::Internal {
            return Ok(());
        }
        let refused = |pointer, reason: &str| Err(RefusedMember { pointer, reason: reason.to_owned() });
        if self.source.is_log_itself() {
            return refused("/source", "the source audit is the log itself; name your own system");
        }
        if self.action.as_str() == "audit" || self.action.as_str().starts_with("audit.") {
            return refused("/action", "actions that begin with audit. belong to the log itself");
        }
        if self.metadata.as_ref().is_some_and(|data| data.iter().any(|(name, _)| name == RESERVED_MEMBER)) {
            return refused("/metadata/_audit", "this member is reserved for the log itself");
        }
        Ok(())
    }
}

/// A member of a draft that a door does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {reason}")]
pub struct RefusedMember {
    /// JSON pointer within the event.
    pub pointer: &'static str,
    pub reason: String,
}

fn check_word(pointer: &'static str, word: &str, known: &[&str]) -> Result<(), RefusedMember> {
    if known.contains(&word) {
        Ok(())
    } else {
        Err(RefusedMember { pointer, reason: format!("not one of {}", known.join(", ")) })
    }
}

/// A refusal that does not know yet in which body it stands.
struct Refusal {
    pointer: String,
    reason: String,
}

impl From<RefusedMember> for Refusal {
    fn from(refused: RefusedMember) -> Self {
        Self::at(refused.pointer, refused.reason)
    }
}

impl Refusal {
    fn at(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason: reason.into() }
    }

    /// `event` is the event's text, with `above` lines of the body before it.
    fn in_event(self, event: &[u8], index: usize, above: usize) -> PostedError {
        // A member that is missing has no place of its own: the event that lacks it is shown instead.
        let line = place_of(event, &self.pointer).line.max(place_of(event, "").line);
        PostedError { index, line: above + line, pointer: self.pointer, reason: self.reason }
    }
}

/// The members of an object, taken one by one; what is left over is unknown.
struct Fields {
    members: Members,
    pointer: &'static str,
}

impl Fields {
    fn new(value: Value, pointer: &'static str, what: &str) -> Result<Self, Refusal> {
        match value {
            Value::Object(members) => Ok(Self { members, pointer }),
            other => Err(Refusal::at(pointer, format!("{what} is an object, not {}", other.kind()))),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(at).1)
    }

    fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, InvalidId>) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let refuse = |reason| Refusal::at(format!("{}/{name}", self.pointer), reason);
        match value {
            Value::String(text) => parse(&text).map(Some).map_err(|error| refuse(error.to_string())),
            Value::Null => Err(refuse("null is not a value here; leave the member out".to_owned())),
            other => Err(refuse(format!("a string was expected, not {}", other.kind()))),
        }
    }

    fn required<T: std::str::FromStr<Err = InvalidId>>(&mut self, name: &str) -> Result<T, Refusal> {
        self.parsed(name, str::parse)?.ok_or_else(|| Refusal::at(format!("{}/{name}", self.pointer), "this member is missing"))
    }

    fn text(&mut self, name: &str) -> Result<Option<PartText>, Refusal> {
        self.parsed(name, |text| PartText::new(text))
    }

    fn part(&mut self, name: &'static str) -> Result<Option<Self>, Refusal> {
        let pointer = match name {
            "actor" => "/actor",
            "client" => "/client",
            _ => "/resource",
        };
        self.take(name).map(|value| Self::new(value, pointer, name)).transpose()
    }

    fn finish(self) -> Result<(), Refusal> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) => {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                let hint = if matches!(name.as_str(), "salt" | "seq" | "hash" | "prevHash" | "recordedAt" | "v") {
                    "this member is the log's own; leave it out"
                } else {
                    "an event has no such member; what else there is to say goes into metadata"
                };
                Err(Refusal::at(format!("{}/{escaped}", self.pointer), hint))
            }
        }
    }
}

fn unreadable(index: usize, above: usize, error: ReadError) -> PostedError {
    PostedError { index, line: above + error.place.line, pointer: error.place.pointer, reason: error.reason }
}

fn whole(reason: String) -> PostedError {
    PostedError { index: 0, line: 1, pointer: String::new(), reason }
}

fn check_count(count: usize, max: usize) -> Result<(), Vec<PostedError>> {
    match count {
        0 => Err(vec![whole("no event; send at least one".to_owned())]),
        _ if count > max => Err(vec![whole(format!("{count} events; send at most {max} at once"))]),
        _ => Ok(()),
    }
}

fn all_or_nothing(results: impl Iterator<Item = Result<Draft, PostedError>>) -> Result<Vec<Draft>, Vec<PostedError>> {
    let (mut drafts, mut refused) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(draft) => drafts.push(draft),
            Err(error) => refused.push(error),
        }
    }
    if refused.is_empty() { Ok(drafts) } else { Err(refused) }
}
