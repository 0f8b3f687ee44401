//! Feature flags, each with the history of its states.

use dezky_audit_core::event::{Actor, PartText};
use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use serde::{Deserialize, Serialize};

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::field;
use crate::mutation::Edited;
use crate::platform::Platform;
use crate::record::{Listing, Record, Shelf, Versioned};

/// The note with which switching a flag off is recorded as `flag.killed`.
const KILL_SWITCH: &str = "kill-switch";
/// Entries that a flag keeps; the log has them all.
const MAX_HISTORY: usize = 200;

/// A flag. Its key names it for ever, and is never given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    pub key: String,
    pub state: FlagState,
    /// Percent of those whom it is for; only while `state` is `rollout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default)]
    pub removed: bool,
    /// Newest last.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagState {
    Off,
    Rollout,
    On,
}

/// What a flag became, when, and by whom: the actor as the log's events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    pub at: String,
    pub action: String,
    pub state: FlagState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub actor_type: String,
    pub actor: HistoryActor,
}

/// Who it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryActor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl HistoryActor {
    pub(crate) fn of(actor: &Actor) -> Self {
        let text = |text: &Option<PartText>| text.as_ref().map(|text| text.as_str().to_owned());
        Self { id: text(&actor.id), email: text(&actor.email), name: text(&actor.name) }
    }
}

/// What a flag begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFlag {
    pub key: String,
    pub state: FlagState,
    pub rollout: Option<u8>,
    pub note: Option<String>,
}

/// What a flag becomes. What is left out stays, but for the note, which belongs to one change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagEdit {
    pub state: Option<FlagState>,
    pub rollout: Option<u8>,
    pub note: Option<String>,
}

impl Record for Flag {
    const COLLECTION: &'static str = dezky_store::directory::FLAGS;
    const RESOURCE: &'static str = "flag";

    fn key(&self) -> &str {
        &self.key
    }

    /// So that free text finds it, as it finds tenants.
    fn name(&self) -> Option<&str> {
        Some(&self.key)
    }

    fn tenant(&self) -> Option<TenantSlug> {
        None
    }

    fn touch(&mut self, at: String) {
        self.updated_at = at;
    }

    fn partner(&self) -> Option<PartnerSlug> {
        None
    }
}

/// The flags of a platform.
pub struct Flags<'p> {
    platform: &'p Platform,
    shelf: Shelf<'p, Flag>,
}

impl<'p> Flags<'p> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, shelf: Shelf::new(platform) }
    }

    /// # Errors
    /// `NotFound`, `Damaged`, `Store`.
    pub async fn get(&self, key: &str) -> Result<Versioned<Flag>, PlatformError> {
        self.shelf.get(key).await
    }

    /// Removed ones too, by key, behind `after`.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<Flag>, PlatformError> {
        self.shelf.list(after, limit).await
    }

    /// `flag.created`.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when the key was given before.
    pub async fn create(&self, acting: &Acting, new: NewFlag) -> Result<Versioned<Flag>, PlatformError> {
        self.shelf
            .change(acting, &new.key, None, "flag.created", |known| {
                field::flag_key("/key", &new.key)?;
                if known.is_some() {
                    return Err(PlatformError::conflict(format!("the key '{}' was given before", new.key)));
                }
                let now = self.platform.clock().now().to_string();
                let blank = Flag {
                    key: new.key.clone(),
                    state: new.state,
                    rollout: None,
                    note: None,
                    removed: false,
                    history: Vec::new(),
                    created_at: now,
                    updated_at: String::new(),
                };
                let flag = set(blank, new.state, new.rollout, new.note.as_deref())?;
                Ok(self.told(acting, flag, "flag.created"))
            })
            .await
    }

    /// `flag.killed` when it is switched off with the note `kill-switch`, else `flag.updated`.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Stale`; `Conflict` when it was removed.
    pub async fn update(
        &self,
        acting: &Acting,
        key: &str,
        expected: Option<u64>,
        edit: FlagEdit,
    ) -> Result<Versioned<Flag>, PlatformError> {
        self.shelf
            .change(acting, key, expected, "flag.updated", |known| {
                let flag = standing(known, key)?;
                let state = edit.state.unwrap_or(flag.state);
                let rollout = edit.rollout.or_else(|| flag.rollout.filter(|_| state == FlagState::Rollout));
                let next = set(flag.clone(), state, rollout, edit.note.as_deref())?;
                if next == *flag {
                    return Ok(Edited::Same);
                }
                let killed = state == FlagState::Off && edit.note.as_deref() == Some(KILL_SWITCH);
                Ok(self.told(acting, next, if killed { "flag.killed" } else { "flag.updated" }))
            })
            .await
    }

    /// `flag.removed`: it stays, with its history, and says that it is removed.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` when it was removed already.
    pub async fn remove(&self, acting: &Acting, key: &str, expected: Option<u64>) -> Result<Versioned<Flag>, PlatformError> {
        self.shelf
            .change(acting, key, expected, "flag.removed", |known| {
                let flag = standing(known, key)?;
                Ok(self.told(acting, Flag { removed: true, note: None, ..flag.clone() }, "flag.removed"))
            })
            .await
    }

    /// The change with its entry in the history.
    fn told(&self, acting: &Acting, mut flag: Flag, action: &'static str) -> Edited<Flag> {
        flag.touch(self.platform.clock().now().to_string());
        flag.history.push(HistoryEntry {
            at: flag.updated_at.clone(),
            action: action.to_owned(),
            state: flag.state,
            rollout: flag.rollout,
            note: flag.note.clone(),
            actor_type: acting.actor_type.to_string(),
            actor: HistoryActor::of(&acting.actor),
        });
        let surplus = flag.history.len().saturating_sub(MAX_HISTORY);
        flag.history.drain(..surplus);
        Edited::Changed { value: flag, action }
    }
}

fn set(mut flag: Flag, state: FlagState, rollout: Option<u8>, note: Option<&str>) -> Result<Flag, PlatformError> {
    match (state, rollout) {
        (FlagState::Rollout, None) => return Err(PlatformError::invalid("/rollout", "0 to 100, which a rollout needs")),
        (FlagState::Rollout, Some(101..)) => return Err(PlatformError::invalid("/rollout", "0 to 100")),
        (FlagState::Off | FlagState::On, Some(_)) => {
            return Err(PlatformError::invalid("/rollout", "only the state 'rollout' has one"));
        }
        _ => {}
    }
    (flag.state, flag.rollout) = (state, rollout);
    flag.note = note.map(|note| field::note("/note", note)).transpose()?;
    Ok(flag)
}

fn standing<'f>(known: Option<&'f Flag>, key: &str) -> Result<&'f Flag, PlatformError> {
    match known {
        Some(flag) if !flag.removed => Ok(flag),
        Some(_) => Err(PlatformError::conflict(format!("the flag '{key}' was removed"))),
        None => Err(PlatformError::NotFound { what: Flag::RESOURCE, key: key.to_owned() }),
    }
}
