//! What other systems say, turned into drafts: one module for each, its action table and its redaction table beside it.
//!
//! Everything here is a function of the bytes and a key. Nothing is dropped: what is not taken is [`Mapped::Skipped`], for the
//! caller to count, and what cannot be read becomes an event that says so. Whatever was changed on the way is named in
//! `metadata.data._audit`:
//!
//! | member | meaning |
//! |---|---|
//! | `rawAction` | the source's own name of the action, when ours is another |
//! | `redacted` | JSON pointers of values that were, or might have been, secret; they read `[redacted]` |
//! | `converted` | pointers of values that came in another form: numbers beyond 2^53 − 1 are strings now |
//! | `truncated` | pointers of values that were cut |
//! | `atObserved` | `true`: `at` is when the event was recorded, since the source did not say, or not truly |
//!
//! Pointers lead into the source's own object; a list ends in `…` when there were more than a hundred.

pub mod authentik;
mod compose;
mod fingerprint;
pub mod generic;
pub mod ocis;
mod path;
mod pieces;
mod read;
mod redact;
pub mod stalwart;
mod trim;

pub use fingerprint::SourceKey;
pub use pieces::pieces;
pub use read::{NotJson, read_lenient};

use crate::event::Draft;

/// What became of one thing that a source said.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    Event(Box<MappedEvent>),
    /// A read or noise, by the source's own name. It is counted and not recorded.
    Skipped {
        raw_action: String,
    },
}

/// An event of a source, ready to be recorded once its tenant is known.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedEvent {
    /// `tenant` and `partner` are empty: the directory tells.
    pub draft: Draft,
    pub hints: TenantHints,
    pub kind: Kind,
}

/// How well an event was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Its action stands in the table.
    Known,
    /// It does not, and is kept under its raw name.
    Unknown,
    /// It could not be read: only its size and a MAC of it are kept.
    Unreadable,
}

/// What a source says about whose event it is. It is asked in this order: groups, spaces, users, mail addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantHints {
    /// Names of groups.
    pub groups: Vec<String>,
    /// Ids or names of storage spaces.
    pub spaces: Vec<String>,
    /// Ids of users, as the source has them.
    pub users: Vec<String>,
    /// Mail addresses of the people involved.
    pub mails: Vec<String>,
}

impl TenantHints {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}
