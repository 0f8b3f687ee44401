//! `/events/{seq}`: one event, told, compared, raw, and proven.

mod changes;
mod proof;
mod sentence;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use dezky_audit_core::ids::Seq;
use serde_json::Value;

use super::assets;
use super::frame::{Frame, Section};
use super::page::{encoded, page};
use super::row::Row;
use super::time;
use super::visitor::Visitor;
use crate::app::App;
use crate::handlers::events::{find, no_such_event, parse_seq};
use crate::problem::Problem;
use changes::{Change, changes};
use proof::{Covered, Proof};
use sentence::sentence;

/// How far around an event "around this time" reaches, in milliseconds.
const AROUND_MS: u64 = 5 * 60 * 1000;

#[derive(Template)]
#[template(path = "event.html")]
struct Event {
    frame: Frame,
    row: Row,
    sentence: String,
    facts: Vec<(&'static str, String, Option<String>)>,
    changes: Vec<Change>,
    notes: Vec<(String, String)>,
    raw: String,
    proof: Proof,
    pivots: Vec<(&'static str, String)>,
    previous: Option<u64>,
    next: Option<u64>,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor, Path(seq): Path<String>) -> Result<Response, Problem> {
    let seq: Seq = parse_seq(&seq)?;
    let stored = find(&app, &visitor.caller.scope, seq).await?.ok_or_else(|| no_such_event(seq))?;
    let line: Value = serde_json::from_slice(&stored.line).unwrap_or(Value::Null);
    let row = Row::of(&stored);
    let frame = Frame::of(&app, &visitor, Section::Timeline, format!("Event {seq}")).await?;
    let raw = match &line {
        Value::Null => String::from_utf8_lossy(&stored.line).into_owned(),
        line => serde_json::to_string_pretty(line).unwrap_or_default(),
    };
    // To whoever sees a part of the log its neighbours are as good as not there.
    let (sees_all, size) = (visitor.sees_all(), app.log.store().head().await?.size);
    page(&Event {
        sentence: sentence(&row, &line),
        facts: facts(&line),
        changes: changes(&line),
        notes: notes(&line),
        proof: Proof::of(&app, seq, stored.line, &line).await?,
        pivots: pivots(&line),
        previous: (sees_all && seq.get() > 1).then(|| seq.get() - 1),
        next: (sees_all && seq.get() < size).then(|| seq.get() + 1),
        frame,
        row,
        raw,
    })
}

fn text<'a>(line: &'a Value, pointer: &str) -> Option<&'a str> {
    line.pointer(pointer).and_then(Value::as_str)
}

fn filter(name: &str, value: &str) -> String {
    format!("/?range=all&{name}={}", encoded(value))
}

/// What is known of it, each with the view of all that has the same.
fn facts(line: &Value) -> Vec<(&'static str, String, Option<String>)> {
    let known = [
        ("Action", "/action", "action"),
        ("Outcome", "/outcome", "outcome"),
        ("Source", "/source", "source"),
        ("Actor", "/actor/name", ""),
        ("Actor’s e-mail", "/actor/email", "actorEmail"),
        ("Actor’s id", "/actor/id", "actorId"),
        ("Kind of actor", "/actorType", "actorType"),
        ("Resource", "/resource/name", ""),
        ("Resource’s id", "/resource/id", "resourceId"),
        ("Kind of resource", "/resourceType", "resourceType"),
        ("Tenant", "/tenantSlug", "tenantSlug"),
        ("Partner", "/partnerSlug", "partnerSlug"),
        ("IP address", "/client/ip", "clientIp"),
        ("User agent", "/client/userAgent", ""),
        ("External id", "/externalId", ""),
    ];
    let parts = ["actor", "client", "resource", "metadata"].into_iter().filter_map(|part| {
        let form = match line.get(part)? {
            Value::String(_) => "withheld: only its digest is left; the event’s hash still covers it",
            Value::Object(members) if members.contains_key("sealed") => {
                "sealed: unreadable without its key; the event’s hash still covers it"
            }
            _ => return None,
        };
        let label = match part {
            "actor" => "Actor",
            "client" => "Client",
            "resource" => "Resource",
            _ => "Metadata",
        };
        Some((label, form.to_owned(), None))
    });
    let given = known.into_iter().filter_map(|(label, pointer, name)| {
        let value = text(line, pointer)?;
        Some((label, value.to_owned(), (!name.is_empty()).then(|| filter(name, value))))
    });
    given.chain(parts).collect()
}

/// What the source said beside the changes: top-level members of the metadata.
fn notes(line: &Value) -> Vec<(String, String)> {
    let Some(data) = line.pointer("/metadata/data").and_then(Value::as_object) else { return Vec::new() };
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    data.iter().filter(|(name, _)| *name != "changes").map(|(name, value)| (name.clone(), shown(value))).collect()
}

/// Other views that begin here.
fn pivots(line: &Value) -> Vec<(&'static str, String)> {
    let mut pivots = Vec::new();
    let mut same = |label, name: &str, pointer: &str| {
        if let Some(value) = text(line, pointer) {
            pivots.push((label, filter(name, value)));
        }
    };
    match text(line, "/actor/id") {
        Some(_) => same("Same actor", "actorId", "/actor/id"),
        None => same("Same actor", "actorEmail", "/actor/email"),
    }
    same("Same resource", "resourceId", "/resource/id");
    same("Same IP address", "clientIp", "/client/ip");
    let at = text(line, "/at").and_then(|at| dezky_audit_core::time::Timestamp::parse_rfc3339(at).ok());
    if let Some(at) = at {
        let moment = |ms| dezky_audit_core::time::Timestamp::from_unix_ms(ms).unwrap_or(at);
        let (since, until) = (moment(at.unix_ms().saturating_sub(AROUND_MS)), moment(at.unix_ms() + AROUND_MS));
        pivots.push(("Around this time", format!("/?since={since}&until={until}")));
    }
    pivots
}
