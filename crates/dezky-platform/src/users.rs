//! Users: people of the tenants, as the identity provider knows them.

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use serde::{Deserialize, Serialize};

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::field::{self, MAX_TENANTS};
use crate::mutation::Edited;
use crate::platform::Platform;
use crate::record::{Listing, Record, Shelf, Versioned};
use crate::tenants::{TenantState, Tenants};

/// A user. There is one for each subject of the identity provider, and its id follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// 32 hex digits.
    pub id: String,
    pub authentik_subject_id: String,
    pub email: String,
    /// Slugs, in order, each once.
    pub tenants: Vec<String>,
    pub state: UserState,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    Active,
    Deactivated,
}

/// A subject, and the tenants that it belongs to from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUser {
    pub authentik_subject_id: String,
    pub email: String,
    #[serde(default)]
    pub tenants: Vec<String>,
}

/// What may change; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    pub email: Option<String>,
    pub tenants: Option<Vec<String>>,
}

impl Record for User {
    const COLLECTION: &'static str = dezky_store::directory::USERS;
    const RESOURCE: &'static str = "user";

    fn key(&self) -> &str {
        &self.id
    }

    fn name(&self) -> Option<&str> {
        Some(&self.email)
    }

    /// The only tenant that the user belongs to; a user of several is on the log's own timeline.
    fn tenant(&self) -> Option<TenantSlug> {
        match self.tenants.as_slice() {
            [only] => TenantSlug::new(only.as_str()).ok(),
            _ => None,
        }
    }

    fn touch(&mut self, at: String) {
        self.updated_at = at;
    }

    fn partner(&self) -> Option<PartnerSlug> {
        None
    }
}

/// The users of a platform.
pub struct Users<'p> {
    platform: &'p Platform,
    shelf: Shelf<'p, User>,
}

impl<'p> Users<'p> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, shelf: Shelf::new(platform) }
    }

    /// # Errors
    /// `NotFound`, `Damaged`, `Store`.
    pub async fn get(&self, id: &str) -> Result<Versioned<User>, PlatformError> {
        self.shelf.get(id).await
    }

    /// By id, behind `after`.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<User>, PlatformError> {
        self.shelf.list(after, limit).await
    }

    /// `user.created`; of a subject that is known, `user.linked`: the tenants are added, the e-mail address is the new one,
    /// and a deactivated user is active again.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when a tenant is none.
    pub async fn link(&self, acting: &Acting, new: NewUser) -> Result<Versioned<User>, PlatformError> {
        let id = id_of(&new.authentik_subject_id);
        let tenants = self.checked_tenants(&new.tenants).await;
        self.shelf
            .change(acting, &id, None, "user.created", |known| {
                let subject = field::subject("/authentikSubjectId", &new.authentik_subject_id)?;
                let email = field::email("/email", &new.email)?;
                let added = tenants.as_ref().map_err(PlatformError::again)?;
                let now = self.platform.clock().now().to_string();
                let Some(user) = known else {
                    let (id, tenants) = (id.clone(), added.clone());
                    let (state, created_at, updated_at) = (UserState::Active, now.clone(), now);
                    let value = User { id, authentik_subject_id: subject, email, tenants, state, created_at, updated_at };
                    return Ok(Edited::Changed { value, action: "user.created" });
                };
                let tenants = united(&user.tenants, added);
                Ok(self.shelf.touched(user, User { email, tenants, state: UserState::Active, ..user.clone() }, "user.linked"))
            })
            .await
    }

    /// `user.linked`: another address, or other tenants.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Stale`; `Conflict` when the user is deactivated, or a tenant is none.
    pub async fn update(
        &self,
        acting: &Acting,
        id: &str,
        expected: Option<u64>,
        edit: UserEdit,
    ) -> Result<Versioned<User>, PlatformError> {
        let tenants = match &edit.tenants {
            Some(tenants) => self.checked_tenants(tenants).await.map(Some),
            None => Ok(None),
        };
        self.shelf
            .change(acting, id, expected, "user.linked", |known| {
                let user = active(known, id)?;
                let mut next = user.clone();
                if let Some(email) = &edit.email {
                    next.email = field::email("/email", email)?;
                }
                if let Some(tenants) = tenants.as_ref().map_err(PlatformError::again)? {
                    next.tenants.clone_from(tenants);
                }
                Ok(self.shelf.touched(user, next, "user.linked"))
            })
            .await
    }

    /// `user.deactivated`.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` when the user is deactivated already.
    pub async fn deactivate(&self, acting: &Acting, id: &str, expected: Option<u64>) -> Result<Versioned<User>, PlatformError> {
        self.shelf
            .change(acting, id, expected, "user.deactivated", |known| {
                let user = active(known, id)?;
                Ok(self.shelf.touched(user, User { state: UserState::Deactivated, ..user.clone() }, "user.deactivated"))
            })
            .await
    }

    async fn checked_tenants(&self, slugs: &[String]) -> Result<Vec<String>, PlatformError> {
        if slugs.len() > MAX_TENANTS {
            return Err(PlatformError::invalid("/tenants", format!("at most {MAX_TENANTS} tenants")));
        }
        for slug in slugs {
            field::tenant("/tenants", slug)?;
            match Tenants::new(self.platform).get(slug).await {
                Ok(tenant) if tenant.value.state != TenantState::Deleted => {}
                Ok(_) => return Err(PlatformError::conflict(format!("the tenant '{slug}' was deleted"))),
                Err(PlatformError::NotFound { .. }) => {
                    return Err(PlatformError::conflict(format!("there is no tenant '{slug}'")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(united(slugs, &[]))
    }
}

fn id_of(subject: &str) -> String {
    let hash = Hash::of_parts(&[b"dezky-user/v1\n", subject.as_bytes()]);
    hash.to_string().chars().take(32).collect()
}

fn united(some: &[String], others: &[String]) -> Vec<String> {
    let mut all: Vec<String> = some.iter().chain(others).cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn active<'u>(known: Option<&'u User>, id: &str) -> Result<&'u User, PlatformError> {
    match known {
        Some(user) if user.state == UserState::Active => Ok(user),
        Some(_) => Err(PlatformError::conflict(format!("the user '{id}' is deactivated"))),
        None => Err(PlatformError::NotFound { what: User::RESOURCE, key: id.to_owned() }),
    }
}
