//! Whose event is it: what a source says about the people and places of an event, answered with a tenant.

use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
pub use dezky_audit_core::source::TenantHints;

/// Whose an event is. Neither: it stays on the log's own timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    pub tenant: Option<TenantSlug>,
    pub partner: Option<PartnerSlug>,
}

/// Knows the tenants. Asked once for every event that a source sends, so it answers from memory.
pub trait Directory: Send + Sync + 'static {
    /// The tenant of an event: by group, else by storage space, else by user, else by mail domain.
    fn resolve(&self, hints: &TenantHints) -> Resolved;
}
