//! Who was in which group at the last look, kept in the store's cursors. A cursor holds little, so there are many, each with
//! the groups whose ids begin alike.
//!
//! A change is first written down as what is about to be reported, then reported, then made so: a crash in between reports the
//! very same again, and nothing is reported that a later look would not know of.

use std::collections::BTreeMap;
use std::sync::Arc;

use dezky_audit::Store;
use dezky_store::bookmarks::MAX_BOOKMARK_BYTES;
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::problem::Problem;

/// The cursor that says that there was a first look.
const CURSOR: &str = "ingest/authentik-groups";
/// How many cursors there are.
const SHARDS: usize = 256;
/// The most members that a group is followed with: its state before and after fits in one cursor.
pub(super) const MAX_MEMBERS: usize = 2_000;

/// A group at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    /// Ids of users, in order.
    pub(super) members: Vec<u64>,
}

/// What is known of the groups whose ids begin alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Rises with every change.
    version: u64,
    groups: BTreeMap<String, Group>,
    /// What is about to be reported: the groups that changed, as they are now; none where one is gone.
    pending: BTreeMap<String, Option<Group>>,
}

/// Somebody who joined or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) user: u64,
    pub(super) joined: bool,
    pub(super) group_deleted: bool,
    /// Of what is known; tells two equal changes apart.
    pub(super) version: u64,
}

/// The groups of one cursor.
pub(super) struct Shard {
    cursor: Cursor,
    known: Known,
}

/// All groups.
pub(super) struct Roster {
    first: Cursor,
    shards: Vec<Shard>,
}

impl Roster {
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, Problem> {
        let first = Cursor::load(Arc::clone(store), CURSOR).await?;
        let mut shards = Vec::with_capacity(SHARDS);
        for number in 0..SHARDS {
            let name = format!("{CURSOR}/{number:02x}");
            let cursor = Cursor::load(Arc::clone(store), &name).await?;
            let known = cursor.value().map(serde_json::from_str).transpose().map_err(|_| {
                Problem::new(format!("the cursor {name} cannot be read"), "it was written by a later version, or by hand")
            })?;
            shards.push(Shard { cursor, known: known.unwrap_or_default() });
        }
        Ok(Self { first, shards })
    }

    /// Whether somebody has looked before.
    pub(super) fn is_known(&self) -> bool {
        self.first.value().is_some()
    }

    /// Remembers that somebody has.
    pub(super) async fn begin(&mut self, now: String) -> Result<(), Problem> {
        self.first.move_to(now).await
    }

    pub(super) fn shards(&mut self) -> impl Iterator<Item = (usize, &mut Shard)> {
        self.shards.iter_mut().enumerate()
    }

    /// A group as it was at the last look.
    pub(super) fn group(&self, pk: &str) -> Option<&Group> {
        self.shards.get(shard_of(pk))?.known.groups.get(pk)
    }

    /// Groups that are known and not among these.
    pub(super) fn missing(&self, now: &BTreeMap<String, Group>) -> Vec<String> {
        let known = self.shards.iter().flat_map(|shard| shard.known.groups.keys());
        known.filter(|pk| !now.contains_key(*pk)).cloned().collect()
    }
}

impl Shard {
    /// Whether something was written down that may not be reported yet.
    pub(super) fn is_pending(&self) -> bool {
        !self.known.pending.is_empty()
    }

    /// Writes down what is different now among the groups of this shard; whether anything is.
    pub(super) async fn note(&mut self, now: &BTreeMap<String, Group>) -> Result<bool, Problem> {
        let gone = self.known.groups.keys().filter(|pk| !now.contains_key(*pk)).map(|pk| (pk.clone(), None));
        let changed = now.iter().filter(|(pk, group)| self.known.groups.get(*pk) != Some(group));
        let pending = gone.chain(changed.map(|(pk, group)| (pk.clone(), Some(group.clone())))).collect();
        self.known.pending = pending;
        if self.is_pending() {
            self.write().await?;
        }
        Ok(self.is_pending())
    }

    /// What is to be reported.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        let nobody = Group::default();
        for (pk, after) in &self.known.pending {
            let before = self.known.groups.get(pk).unwrap_or(&nobody);
            let (now, group_deleted) = (after.as_ref().unwrap_or(&nobody), after.is_none());
            let name = if group_deleted { &before.name } else { &now.name };
            let mut add = |user: &u64, joined| {
                let (group, name) = (pk.clone(), name.clone());
                changes.push(Change { group, name, user: *user, joined, group_deleted, version: self.known.version });
            };
            now.members.iter().filter(|user| before.members.binary_search(user).is_err()).for_each(|user| add(user, true));
            before.members.iter().filter(|user| now.members.binary_search(user).is_err()).for_each(|user| add(user, false));
        }
        changes
    }

    /// Makes it so, once it is reported.
    pub(super) async fn settle(&mut self) -> Result<(), Problem> {
        for (pk, after) in std::mem::take(&mut self.known.pending) {
            match after {
                Some(group) => drop(self.known.groups.insert(pk, group)),
                None => drop(self.known.groups.remove(&pk)),
            }
        }
        self.known.version += 1;
        self.write().await
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let text = serde_json::to_string(&self.known).unwrap_or_default();
        if text.len() > MAX_BOOKMARK_BYTES {
            return Err(Problem::new(
                "Authentik's groups have too many members to be followed",
                "unset authentik.groups_interval",
            ));
        }
        self.cursor.move_to(text).await
    }
}

/// The shard of a group, by the first byte of its id.
pub(super) fn shard_of(pk: &str) -> usize {
    pk.get(..2).and_then(|start| usize::from_str_radix(start, 16).ok()).unwrap_or(0)
}
