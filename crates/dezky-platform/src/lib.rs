//! What operators change on the platform: tenants, partners, flags, users and services' tokens, each change with its event in the audit log.
//!
//! # Why a change and its event cannot drift apart
//!
//! A change writes the new document and the event's draft into the store in one step ([`dezky_store::Directory`]): both are
//! durable, or neither is. A relay then records the drafts in their order and takes them out of the outbox. Each draft has an
//! `externalId` of the document's key and version, so that a draft that is relayed twice, by two processes or after a crash
//! between recording and taking out, is one event. So a change that can be seen has its event, at the latest after the next
//! start, and there is no event without its change. While the log is away, drafts wait in the outbox and changes go on.
//!
//! A change that is refused is recorded too, with the outcome `failure`, or `denied` where a right was missing; these go to
//! the log as best-effort events, since there is no document that they could lie beside.
//!
//! A change returns once its document is durable. It then gives the relay a moment ([`RELAY_TIME`]), so that its event is in
//! the log, as a rule, when the caller looks there.

mod acting;
mod changes;
mod directory;
mod error;
mod event;
mod field;
mod flags;
mod mutation;
mod outbox;
mod partners;
mod platform;
mod record;
mod role;
mod tenants;
mod tokens;
mod users;

// The public interface is:
pub use acting::Acting;
pub use directory::PlatformDirectory;
pub use error::PlatformError;
pub use flags::{Flag, FlagEdit, FlagState, Flags, HistoryActor, HistoryEntry, NewFlag};
pub use outbox::RELAY_TIME;
pub use partners::{NewPartner, Partner, PartnerState, Partners};
pub use platform::{Platform, Refused};
pub use record::{Listing, MAX_LISTED, Record, Versioned};
pub use role::Role;
pub use tenants::{NewTenant, Tenant, TenantEdit, TenantState, Tenants};
pub use tokens::{MAX_TOKEN_DAYS, MadeToken, NewToken, READ_AGAIN, TOKEN_DAYS, Token, TokenRefusal, TokenState, Tokens};
pub use users::{NewUser, User, UserEdit, UserState, Users};
