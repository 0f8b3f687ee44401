//! Tenants: whose data it is.

use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use serde::{Deserialize, Serialize};

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::field;
use crate::mutation::Edited;
use crate::partners::Partners;
use crate::platform::Platform;
use crate::record::{Listing, Record, Shelf, Versioned};

/// A tenant. Its slug names it for ever, and is never given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    pub slug: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_slug: Option<String>,
    /// Mail domains, in lower case.
    #[serde(default)]
    pub domains: Vec<String>,
    pub state: TenantState,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    Active,
    Suspended,
    /// For ever.
    Deleted,
}

/// What a tenant begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTenant {
    pub slug: String,
    pub name: String,
    pub partner_slug: Option<String>,
    #[serde(default)]
    pub domains: Vec<String>,
}

/// What may change; what is left out stays. `partner_slug` is `Some(None)` to take the partner away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantEdit {
    pub name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub partner_slug: Option<Option<String>>,
    pub domains: Option<Vec<String>>,
}

/// Tells a `null` from a member that was left out.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Record for Tenant {
    const COLLECTION: &'static str = dezky_store::directory::TENANTS;
    const RESOURCE: &'static str = "tenant";

    fn key(&self) -> &str {
        &self.slug
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn tenant(&self) -> Option<TenantSlug> {
        TenantSlug::new(self.slug.as_str()).ok()
    }

    fn touch(&mut self, at: String) {
        self.updated_at = at;
    }

    fn partner(&self) -> Option<PartnerSlug> {
        PartnerSlug::new(self.partner_slug.as_deref()?).ok()
    }
}

/// The tenants of a platform.
pub struct Tenants<'p> {
    platform: &'p Platform,
    shelf: Shelf<'p, Tenant>,
}

impl<'p> Tenants<'p> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, shelf: Shelf::new(platform) }
    }

    /// # Errors
    /// `NotFound`, `Damaged`, `Store`.
    pub async fn get(&self, slug: &str) -> Result<Versioned<Tenant>, PlatformError> {
        self.shelf.get(slug).await
    }

    /// Deleted ones too, by slug, behind `after`.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<Tenant>, PlatformError> {
        self.shelf.list(after, limit).await
    }

    /// `tenant.created`.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when the slug was given before, or the partner is none.
    pub async fn create(&self, acting: &Acting, new: NewTenant) -> Result<Versioned<Tenant>, PlatformError> {
        let now = self.platform.clock().now().to_string();
        let checked = async {
            field::tenant("/slug", &new.slug)?;
            let partner_slug = self.checked_partner(new.partner_slug.as_deref()).await?;
            let (name, domains) = (field::name("/name", &new.name)?, field::domains("/domains", &new.domains)?);
            Ok(Tenant {
                slug: new.slug.clone(),
                name,
                partner_slug,
                domains,
                state: TenantState::Active,
                created_at: now.clone(),
                updated_at: now,
            })
        };
        let checked: Result<Tenant, PlatformError> = checked.await;
        self.shelf
            .change(acting, &new.slug, None, "tenant.created", |known| match (known, &checked) {
                (_, Err(error)) => Err(error.again()),
                (Some(_), _) => Err(PlatformError::conflict(format!("the slug '{}' was given before", new.slug))),
                (None, Ok(tenant)) => Ok(Edited::Changed { value: tenant.clone(), action: "tenant.created" }),
            })
            .await
    }

    /// `tenant.updated`.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Stale`; `Conflict` when it is deleted, or the partner is none.
    pub async fn update(
        &self,
        acting: &Acting,
        slug: &str,
        expected: Option<u64>,
        edit: TenantEdit,
    ) -> Result<Versioned<Tenant>, PlatformError> {
        let partner = match &edit.partner_slug {
            Some(partner) => self.checked_partner(partner.as_deref()).await.map(Some),
            None => Ok(None),
        };
        self.shelf
            .change(acting, slug, expected, "tenant.updated", |known| {
                let tenant = alive(known, slug)?;
                let mut next = tenant.clone();
                if let Some(name) = &edit.name {
                    next.name = field::name("/name", name)?;
                }
                if let Some(partner) = partner.as_ref().map_err(PlatformError::again)? {
                    next.partner_slug.clone_from(partner);
                }
                if let Some(domains) = &edit.domains {
                    next.domains = field::domains("/domains", domains)?;
                }
                Ok(self.shelf.touched(tenant, next, "tenant.updated"))
            })
            .await
    }

    /// `tenant.suspended`.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` unless it is active.
    pub async fn suspend(&self, acting: &Acting, slug: &str, expected: Option<u64>) -> Result<Versioned<Tenant>, PlatformError> {
        self.turn(acting, slug, expected, "tenant.suspended", TenantState::Active, TenantState::Suspended).await
    }

    /// `tenant.resumed`.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` unless it is suspended.
    pub async fn resume(&self, acting: &Acting, slug: &str, expected: Option<u64>) -> Result<Versioned<Tenant>, PlatformError> {
        self.turn(acting, slug, expected, "tenant.resumed", TenantState::Suspended, TenantState::Active).await
    }

    /// `tenant.deleted`: it stays, and says that it is deleted.
    ///
    /// # Errors
    /// `NotFound`, `Stale`; `Conflict` when it is deleted already.
    pub async fn delete(&self, acting: &Acting, slug: &str, expected: Option<u64>) -> Result<Versioned<Tenant>, PlatformError> {
        self.shelf
            .change(acting, slug, expected, "tenant.deleted", |known| {
                let tenant = alive(known, slug)?;
                Ok(self.shelf.touched(tenant, Tenant { state: TenantState::Deleted, ..tenant.clone() }, "tenant.deleted"))
            })
            .await
    }

    async fn turn(
        &self,
        acting: &Acting,
        slug: &str,
        expected: Option<u64>,
        action: &'static str,
        from: TenantState,
        to: TenantState,
    ) -> Result<Versioned<Tenant>, PlatformError> {
        self.shelf
            .change(acting, slug, expected, action, |known| {
                let tenant = alive(known, slug)?;
                if tenant.state != from {
                    let state = if tenant.state == TenantState::Active { "active" } else { "suspended" };
                    return Err(PlatformError::conflict(format!("the tenant '{slug}' is {state} already")));
                }
                Ok(self.shelf.touched(tenant, Tenant { state: to, ..tenant.clone() }, action))
            })
            .await
    }

    async fn checked_partner(&self, slug: Option<&str>) -> Result<Option<String>, PlatformError> {
        let Some(slug) = slug else { return Ok(None) };
        field::partner("/partnerSlug", slug)?;
        match Partners::new(self.platform).get(slug).await {
            Ok(partner) if partner.value.is_active() => Ok(Some(slug.to_owned())),
            Ok(_) => Err(PlatformError::conflict(format!("the partner '{slug}' was terminated"))),
            Err(PlatformError::NotFound { .. }) => Err(PlatformError::conflict(format!("there is no partner '{slug}'"))),
            Err(error) => Err(error),
        }
    }
}

fn alive<'t>(known: Option<&'t Tenant>, slug: &str) -> Result<&'t Tenant, PlatformError> {
    match known {
        Some(tenant) if tenant.state != TenantState::Deleted => Ok(tenant),
        Some(_) => Err(PlatformError::conflict(format!("the tenant '{slug}' was deleted"))),
        None => Err(PlatformError::NotFound { what: Tenant::RESOURCE, key: slug.to_owned() }),
    }
}
