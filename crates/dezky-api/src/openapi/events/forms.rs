//! Events as they are posted, stored and listed. Lines are read and written by hand, in `dezky-audit-core`; tests hold one to the other.

use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat};

use crate::openapi::shape::{Hash, Seq, Slug, Time, of, text};

/// What happened, as callers say it. There is no `null`: what is not known is left out.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewEvent {
    /// A dotted verb. `audit` and what begins with `audit.` belongs to the log itself.
    #[schema(pattern = "^(?!audit(\\.|$))[a-z][a-z0-9_.-]{0,127}$")]
    action: String,
    outcome: Outcome,
    /// The system that says so; `audit` is the log itself.
    #[schema(pattern = "^(?!audit$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    source: String,
    actor_type: ActorType,
    /// When it happened, in years 1970 to 9999; else it is now.
    #[schema(required = false, format = DateTime)]
    at: String,
    /// The source's own id, by which a repetition is known. No personal data in it: it can never be erased.
    #[schema(required = false, pattern = "^[!-~]{1,256}$")]
    external_id: String,
    #[schema(required = false)]
    actor: Actor,
    #[schema(required = false)]
    client: Client,
    /// A dotted noun.
    #[schema(required = false, pattern = "^[a-z][a-z0-9_.-]{0,63}$")]
    resource_type: String,
    #[schema(required = false)]
    resource: Resource,
    #[schema(required = false)]
    tenant_slug: Slug,
    #[schema(required = false)]
    partner_slug: Slug,
    /// Whatever else there is to say: JSON of at most 64 levels; numbers up to ±(2^53 − 1). `_audit` is the log's own.
    #[schema(required = false, value_type = Object)]
    metadata: String,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Success,
    Failure,
    Denied,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum ActorType {
    User,
    Operator,
    Service,
    System,
    Anonymous,
}

/// Who did it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Actor {
    #[schema(required = false, min_length = 1, max_length = 1024)]
    id: String,
    #[schema(required = false, min_length = 1, max_length = 1024)]
    email: String,
    #[schema(required = false, min_length = 1, max_length = 1024)]
    name: String,
}

/// From where. What is posted is kept: the caller's own address is no part of it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Client {
    #[schema(required = false, schema_with = address)]
    ip: String,
    #[schema(required = false, min_length = 1, max_length = 1024)]
    user_agent: String,
}

/// To what.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[schema(required = false, min_length = 1, max_length = 1024)]
    id: String,
    #[schema(required = false, min_length = 1, max_length = 1024)]
    name: String,
}

/// An event as it is stored, to the byte: canonical JSON (RFC 8785), as `docs/format.md` has it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::openapi) struct Event {
    /// The version of the format.
    #[schema(minimum = 1)]
    v: u32,
    seq: Seq,
    /// When it happened, by its source's clock.
    at: Time,
    recorded_at: Time,
    action: String,
    outcome: String,
    source: String,
    actor_type: String,
    #[schema(required = false)]
    external_id: String,
    #[schema(required = false)]
    resource_type: String,
    #[schema(required = false)]
    tenant_slug: Slug,
    /// Its place among its tenant's events.
    #[schema(required = false)]
    tenant_seq: Seq,
    /// The hash of its tenant's event before.
    #[schema(required = false)]
    tenant_prev_hash: Hash,
    #[schema(required = false)]
    partner_slug: Slug,
    /// The hash of the event before.
    prev_hash: Hash,
    hash: Hash,
    #[schema(required = false, schema_with = part)]
    actor: String,
    #[schema(required = false, schema_with = part)]
    client: String,
    #[schema(required = false, schema_with = part)]
    resource: String,
    #[schema(required = false, schema_with = part)]
    metadata: String,
}

/// A row whose line is no longer JSON: somebody has changed it.
#[derive(ToSchema)]
pub(in crate::openapi) struct BrokenEvent {
    seq: Seq,
    broken: bool,
    raw: String,
}

/// A page of events.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventPage {
    #[schema(schema_with = events)]
    events: Vec<Event>,
    /// For `cursor`; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// There where the page reached into the archives.
    #[schema(required = false)]
    archives: Reach,
}

/// How far the archives could be read.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Read,
    Unavailable,
    Damaged,
}

fn address() -> AnyOfBuilder {
    let format = |format| text("IPv4 or IPv6.").format(Some(SchemaFormat::KnownFormat(format)));
    AnyOfBuilder::new().item(format(KnownFormat::Ipv4)).item(format(KnownFormat::Ipv6))
}

/// A part: disclosed, or a digest, or sealed.
fn part() -> AnyOfBuilder {
    let object = ObjectBuilder::new().description(Some("Disclosed, with its `salt`; or sealed, with its `digest`."));
    AnyOfBuilder::new().item(object).item(text("Withheld: its digest.").pattern(Some("^[0-9a-f]{64}$")))
}

fn events() -> ArrayBuilder {
    ArrayBuilder::new().items(one_event())
}

/// An event, or what is left of one.
pub(in crate::openapi) fn one_event() -> AnyOfBuilder {
    AnyOfBuilder::new().item(of("Event")).item(of("BrokenEvent"))
}
