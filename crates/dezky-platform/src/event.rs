//! The draft of a change's event.

use dezky_audit_core::event::{Draft, PartText, Resource};
use dezky_audit_core::ids::{Action, ExternalId, Outcome, PartnerSlug, ResourceType, Source, TenantSlug};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::record::Record;

/// The `source` of everything that happens here.
pub(crate) const SOURCE: &str = "platform-api";

/// What an event is about.
pub(crate) struct Subject<'a> {
    pub(crate) resource_type: &'static str,
    pub(crate) key: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) tenant: Option<TenantSlug>,
    pub(crate) partner: Option<PartnerSlug>,
}

impl<'a> Subject<'a> {
    pub(crate) fn of<T: Record>(record: &'a T) -> Self {
        let (tenant, partner) = (record.tenant(), record.partner());
        Self { resource_type: T::RESOURCE, key: record.key(), name: record.name(), tenant, partner }
    }

    pub(crate) const fn unknown<T: Record>(key: &'a str) -> Self {
        Self { resource_type: T::RESOURCE, key, name: None, tenant: None, partner: None }
    }
}

/// The event of a change that was made: `version` is the document's from then on, and makes the event one.
pub(crate) fn made<T: Record>(
    acting: &Acting,
    action: &str,
    at: Timestamp,
    record: &T,
    version: u64,
    changes: Vec<Value>,
) -> Result<Draft, PlatformError> {
    let metadata = vec![("changes".to_owned(), Value::Array(changes))];
    let mut draft = draft(acting, action, "success", at, Subject::of(record), metadata)?;
    draft.external_id = Some(ExternalId::new(external_id::<T>(record.key(), version))?);
    Ok(draft)
}

/// The event of a change that was refused.
pub(crate) fn refused(
    acting: &Acting,
    action: &str,
    outcome: &str,
    at: Timestamp,
    subject: Subject<'_>,
    reason: &str,
) -> Result<Draft, PlatformError> {
    draft(acting, action, outcome, at, subject, vec![("reason".to_owned(), Value::from(reason))])
}

fn draft(
    acting: &Acting,
    action: &str,
    outcome: &str,
    at: Timestamp,
    subject: Subject<'_>,
    metadata: Members,
) -> Result<Draft, PlatformError> {
    let mut draft = Draft::new(Action::new(action)?, Outcome::new(outcome)?, Source::new(SOURCE)?, acting.actor_type.clone());
    draft.at = Some(at);
    draft.actor = Some(acting.actor.clone());
    draft.client = Some(acting.client.clone());
    draft.resource_type = Some(ResourceType::new(subject.resource_type)?);
    // What was asked for may be no name at all: then it is left out.
    draft.resource =
        Some(Resource { id: PartText::new(subject.key).ok(), name: subject.name.and_then(|name| PartText::new(name).ok()) });
    draft.tenant = subject.tenant;
    draft.partner = subject.partner;
    draft.metadata = Some(metadata);
    Ok(draft)
}

/// Keys are slugs, words or hashes: printable, without a space, and short.
fn external_id<T: Record>(key: &str, version: u64) -> String {
    format!("{}/{key}/{version}", T::COLLECTION)
}
