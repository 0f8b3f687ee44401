//! Which of Stalwart's events are taken. It sends all of its 637 types if it is let, among them what was said on the wire.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::super::Kind;
use super::names;

/// What is taken unless an operator asks for more: mutations, sign-ins, bans, limits, what an administrator must know.
const DEFAULT: [&str; 41] = [
    "auth.*",
    "security.*",
    "limit.*",
    "server.*",
    "message-ingest.imap-append",
    "message-ingest.jmap-append",
    "message-ingest.error",
    "queue.authenticated-message-queued",
    "queue.quota-exceeded",
    "queue.rate-limit-exceeded",
    "imap.append",
    "imap.copy",
    "imap.create-mailbox",
    "imap.delete-mailbox",
    "imap.expunge",
    "imap.move",
    "imap.rename-mailbox",
    "imap.set-acl",
    "manage.*",
    "manage-sieve.create-script",
    "manage-sieve.update-script",
    "manage-sieve.delete-script",
    "manage-sieve.rename-script",
    "manage-sieve.set-active",
    "pop3.delete",
    "jmap.method-call",
    "http.request-url",
    "smtp.auth-*",
    "web-dav.acl",
    "web-dav.delete",
    "web-dav.put",
    "web-dav.post",
    "web-dav.patch",
    "web-dav.move",
    "web-dav.copy",
    "web-dav.mkcol",
    "web-dav.mkcalendar",
    "dkim.signature-*",
    "dns.record-*",
    "cluster.*-error",
    "registry.*-error",
];
/// Passwords and mails in clear: never taken, whatever an operator asks for.
const NEVER: [&str; 4] = ["*.raw-input", "*.raw-output", "http.request-body", "http.response-body"];
/// Types of these categories are noise even when they are new.
const NOISE: [&str; 4] = ["telemetry.*", "network.*", "store.*", "dns.record-lookup*"];

/// Every type of 0.15 and 0.16.
static TYPES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("types.txt").lines().collect());

/// The types that are taken: the usual ones, and what an operator adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    extra: Vec<String>,
}

/// A pattern that fits no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern of event types: letters, digits, '.' and '-', and at most one '*', as in imap.* or *.error")]
pub struct InvalidPattern {
    pub pattern: String,
}

impl AllowList {
    /// The usual list and these patterns: a type, or one with a `*` in it.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn with(extra: impl IntoIterator<Item = String>) -> Result<Self, InvalidPattern> {
        let extra: Vec<_> = extra.into_iter().collect();
        let valid = |pattern: &str| {
            let stars = pattern.bytes().filter(|c| *c == b'*').count();
            let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'*');
            !pattern.is_empty() && stars <= 1 && pattern.bytes().all(fits)
        };
        match extra.iter().find(|pattern| !valid(pattern)) {
            Some(bad) => Err(InvalidPattern { pattern: bad.clone() }),
            None => Ok(Self { extra }),
        }
    }

    /// How an event of that type is taken; `None`: it is not. A type that no known version has is taken, since nobody has
    /// said yet that it is noise.
    pub fn rate(&self, raw_type: &str) -> Option<Kind> {
        let verb = names::verb(raw_type);
        let among = |patterns: &[&str]| patterns.iter().any(|pattern| fits(pattern, verb) || fits(pattern, raw_type));
        let known = TYPES.contains(raw_type);
        if among(&NEVER) {
            None
        } else if self.extra.iter().any(|pattern| fits(pattern, verb) || fits(pattern, raw_type)) {
            Some(if known { Kind::Known } else { Kind::Unknown })
        } else if among(&NOISE) {
            None
        } else if known {
            among(&DEFAULT).then_some(Kind::Known)
        } else {
            Some(Kind::Unknown)
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
    }
}
