//! The format read a second time, slowly and with other means: `serde_json` builds a tree, another crate's JCS writes it
//! again, and every rule is looked up member by member. The targets hold the real readers against this.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dezky_audit_core::hash::Hash;
use serde_json::{Map, Value};

const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;
const REQUIRED: [&str; 10] = ["v", "seq", "at", "recordedAt", "action", "outcome", "source", "actorType", "prevHash", "hash"];
const PARTS: [&str; 4] = ["actor", "client", "metadata", "resource"];

/// An event, as far as chains are concerned.
pub(crate) struct ModelEvent {
    pub(crate) members: Map<String, Value>,
    /// What its hash should be, in hex.
    pub(crate) hash: String,
}

/// Another implementation's JCS of a value.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap()
}

/// The value, when `text` is the canonical form of it and all its numbers are within bounds.
pub(crate) fn canonical_value(text: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(text).ok()?;
    (canonical(&value) == text && numbers_in_bounds(&value)).then_some(value)
}

/// The event that `line` is; `None` when it is none.
pub(crate) fn event(line: &[u8]) -> Option<ModelEvent> {
    if line.len() > 1_048_576 {
        return None;
    }
    let Value::Object(members) = canonical_value(line)? else { return None };
    let ok = REQUIRED.iter().all(|name| members.contains_key(*name))
        && members.iter().all(|(name, value)| member_holds(name, value))
        && PARTS.iter().any(|name| members.contains_key(*name))
        && ["tenantSeq", "tenantPrevHash"].iter().all(|name| members.contains_key(*name) == members.contains_key("tenantSlug"));
    if !ok {
        return None;
    }
    let mut preimage = members.clone();
    preimage.remove("hash");
    for name in PARTS {
        if let Some(part) = members.get(name) {
            preimage.insert(name.to_owned(), part_digest(part).into());
        }
    }
    let hash = Hash::of(&canonical(&Value::Object(preimage))).to_hex();
    Some(ModelEvent { members, hash })
}

impl ModelEvent {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.members[name].as_str().unwrap()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.members[name].as_u64().unwrap()
    }

    pub(crate) fn is_intact(&self) -> bool {
        self.text("hash") == self.hash
    }
}

/// The root of the tree over `events`, when they are a whole and unbroken log of this origin.
pub(crate) fn root_of_log(origin: &str, events: &[ModelEvent]) -> Option<Hash> {
    let mut previous = Hash::of(format!("dezky-audit/v1\n{origin}\n").as_bytes()).to_hex();
    let mut tenants: BTreeMap<&str, (u64, String)> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        if event.number("seq") != index as u64 + 1 || event.text("prevHash") != previous || !event.is_intact() {
            return None;
        }
        previous = event.hash.clone();
        if event.members.contains_key("tenantSlug") {
            let slug = event.text("tenantSlug");
            let genesis = || (0, Hash::of(format!("dezky-audit-tenant/v1\n{origin}\n{slug}\n").as_bytes()).to_hex());
            let (seq, hash) = tenants.remove(slug).unwrap_or_else(genesis);
            if event.number("tenantSeq") != seq + 1 || event.text("tenantPrevHash") != hash {
                return None;
            }
            tenants.insert(slug, (seq + 1, event.hash.clone()));
        }
    }
    let entries: Vec<Hash> = events.iter().map(|event| Hash::from_hex(&event.hash).unwrap()).collect();
    Some(tree(&entries))
}

/// RFC 6962, 2.1, as it stands there.
fn tree(entries: &[Hash]) -> Hash {
    match entries {
        [] => Hash::of(b""),
        [entry] => Hash::of(&[&[0], &entry.as_bytes()[..]].concat()),
        _ => {
            let mut split = 1;
            while split * 2 < entries.len() {
                split *= 2;
            }
            let (left, right) = entries.split_at(split);
            Hash::of(&[&[1], &tree(left).as_bytes()[..], &tree(right).as_bytes()[..]].concat())
        }
    }
}

fn member_holds(name: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match name {
        "v" => value.as_u64() == Some(1),
        "seq" | "tenantSeq" => value.as_u64().is_some_and(|number| number >= 1),
        "at" | "recordedAt" => time(text).is_some(),
        "action" => dotted(text, 128, "_.-"),
        "resourceType" => dotted(text, 64, "_.-"),
        "outcome" | "actorType" => dotted(text, 32, "_-"),
        "source" | "tenantSlug" | "partnerSlug" => slug(text),
        "externalId" => (1..=256).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7E).contains(&byte)),
        "prevHash" | "tenantPrevHash" | "hash" => hex(text, 64),
        _ => PARTS.contains(&name) && part_holds(name, value),
    }
}

fn part_holds(name: &str, part: &Value) -> bool {
    let members = match part {
        Value::String(digest) => return hex(digest, 64),
        Value::Object(members) => members,
        _ => return false,
    };
    let names: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    if names == BTreeSet::from(["digest", "sealed"]) {
        let Some(sealed) = members["sealed"].as_object() else { return false };
        let text_of = |name: &str| sealed.get(name).and_then(Value::as_str).unwrap_or_default();
        return hex(text("digest"), 64)
            && sealed.keys().map(String::as_str).collect::<BTreeSet<_>>() == BTreeSet::from(["alg", "ct", "kid"])
            && text_of("alg") == "HKDF-A256GCM"
            && hex(text_of("kid"), 32)
            && sealed["ct"].as_str().is_some_and(base64);
    }
    let allowed: &[&str] = match name {
        "actor" => &["email", "id", "name"],
        "client" => &["ip", "userAgent"],
        "resource" => &["id", "name"],
        _ => &["data"],
    };
    let value_holds = |(name, value): (&String, &Value)| match name.as_str() {
        "salt" => value.as_str().is_some_and(|salt| hex(salt, 32)),
        "data" => allowed.contains(&"data") && value.is_object() && depth(value) <= 64,
        "ip" => allowed.contains(&"ip") && value.as_str().is_some_and(address),
        name => allowed.contains(&name) && value.as_str().is_some_and(|text| (1..=4_096).contains(&text.len())),
    };
    names.contains("salt") && (name != "metadata" || names.contains("data")) && members.iter().all(value_holds)
}

fn part_digest(part: &Value) -> String {
    match part {
        Value::String(digest) => digest.clone(),
        part => match part.get("digest") {
            Some(digest) => digest.as_str().unwrap().to_owned(),
            None => Hash::of(&canonical(part)).to_hex(),
        },
    }
}

fn numbers_in_bounds(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= MAX_NUMBER),
        Value::Array(items) => items.iter().all(numbers_in_bounds),
        Value::Object(members) => members.values().all(numbers_in_bounds),
        _ => true,
    }
}

/// Levels of arrays and objects.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn dotted(text: &str, max: usize, marks: &str) -> bool {
    text.len() <= max
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c))
}

fn slug(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 63 && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.chars().all(|c| "0123456789abcdef".contains(c))
}

/// Padded base64 whose pad bits are zero.
fn base64(text: &str) -> bool {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let body = text.trim_end_matches('=');
    let pad = text.len() - body.len();
    let Some(values) = body.chars().map(|c| ALPHABET.find(c)).collect::<Option<Vec<_>>>() else { return false };
    let unused = [0, 3, 15].get(pad).copied();
    text.len().is_multiple_of(4) && unused.is_some_and(|unused| values.last().is_none_or(|last| last & unused == 0))
}

fn address(text: &str) -> bool {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.to_string() == text,
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().is_none() && address.to_string() == text,
        Err(_) => false,
    }
}

/// Milliseconds since 1970 of a time in the written form, counted year by year and month by month.
pub(crate) fn time(text: &str) -> Option<u64> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00T00:00:00.000Z" {
        return None;
    }
    let field = |at: usize, length: usize| text[at..at + length].parse::<u64>().unwrap();
    let (year, month, day) = (field(0, 4), field(5, 2), field(8, 2));
    let (hour, minute, second, ms) = (field(11, 2), field(14, 2), field(17, 2), field(20, 3));
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_month = *months.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if year < 1970 || day < 1 || day > in_month {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut days: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    days += (1..month).zip(months).map(|(_, length)| length).sum::<u64>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms)
}
