//! Partners: who brings tenants.

use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use serde::{Deserialize, Serialize};

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::field;
use crate::mutation::Edited;
use crate::platform::Platform;
use crate::record::{Listing, Record, Shelf, Versioned};

/// A partner. Its slug names it for ever, and is never given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partner {
    pub slug: String,
    pub name: String,
    pub state: PartnerState,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartnerState {
    Active,
    /// For ever.
    Terminated,
}

/// What a partner begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPartner {
    pub slug: String,
    pub name: String,
}

impl Partner {
    pub fn is_active(&self) -> bool {
        self.state == PartnerState::Active
    }
}

impl Record for Partner {
    const COLLECTION: &'static str = dezky_store::directory::PARTNERS;
    const RESOURCE: &'static str = "partner";

    fn key(&self) -> &str {
        &self.slug
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn tenant(&self) -> Option<TenantSlug> {
        None
    }

    fn touch(&mut self, at: String) {
        self.updated_at = at;
    }

    fn partner(&self) -> Option<PartnerSlug> {
        PartnerSlug::new(self.slug.as_str()).ok()
    }
}

/// The partners of a platform.
pub struct Partners<'p> {
    platform: &'p Platform,
    shelf: Shelf<'p, Partner>,
}

impl<'p> Partners<'p> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, shelf: Shelf::new(platform) }
    }

    /// # Errors
    /// `NotFound`, `Damaged`, `Store`.
    pub async fn get(&self, slug: &str) -> Result<Versioned<Partner>, PlatformError> {
        self.shelf.get(slug).await
    }

    /// Terminated ones too, by slug, behind `after`.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<Partner>, PlatformError> {
        self.shelf.list(after, limit).await
    }

    /// `partner.created`.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when the slug was given before.
    pub async fn create(&self, acting: &Acting, new: NewPartner) -> Result<Versioned<Partner>, PlatformError> {
        let now = self.platform.clock().now().to_string();
        self.shelf
            .change(acting, &new.slug, None, "partner.created", |known| {
                field::partner("/slug", &new.slug)?;
                let name = field::name("/name", &new.name)?;
                if known.is_some() {
                    return Err(PlatformError::conflict(format!("the slug '{}' was given before", new.slug)));
                }
                let (slug, state) = (new.slug.clone(), PartnerState::Active);
                let value = Partner { slug, name, state, created_at: now.clone(), updated_at: now.clone() };
                Ok(Edited::Changed { value, action: "partner.created" })
            })
            .await
    }

    /// `partner.updated`: another name.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Stale`; `Conflict` when it was terminated.
    pub async fn rename(
        &self,
        acting: &Acting,
        slug: &str,
        expected: Option<u64>,
        name: &str,
    ) -> Result<Versioned<Partner>, PlatformError> {
        self.shelf
            .change(acting, slug, expected, "partner.updated", |known| {
                let partner = active(known, slug)?;
                let next = Partner { name: field::name("/name", name)?, ..partner.clone() };
                Ok(self.shelf.touched(partner, next, "partner.updated"))
            })
            .await
    }

    /// `partner.terminated`: its tenants stay what they are, and keep naming it.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` when it was terminated already.
    pub async fn terminate(
        &self,
        acting: &Acting,
        slug: &str,
        expected: Option<u64>,
    ) -> Result<Versioned<Partner>, PlatformError> {
        self.shelf
            .change(acting, slug, expected, "partner.terminated", |known| {
                let partner = active(known, slug)?;
                Ok(self.shelf.touched(
                    partner,
                    Partner { state: PartnerState::Terminated, ..partner.clone() },
                    "partner.terminated",
                ))
            })
            .await
    }
}

fn active<'p>(known: Option<&'p Partner>, slug: &str) -> Result<&'p Partner, PlatformError> {
    match known {
        Some(partner) if partner.is_active() => Ok(partner),
        Some(_) => Err(PlatformError::conflict(format!("the partner '{slug}' was terminated"))),
        None => Err(PlatformError::NotFound { what: Partner::RESOURCE, key: slug.to_owned() }),
    }
}
