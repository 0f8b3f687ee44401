//! The records themselves, as `dezky-platform` reads and writes them; a test holds one to the other.

use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use crate::openapi::shape::{Name, Slug, Time, printable, text};

/// A tenant. Its slug names it for ever, and is never given again.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tenant {
    slug: Slug,
    name: String,
    #[schema(required = false)]
    partner_slug: Slug,
    /// Mail domains, in lower case.
    domains: Vec<String>,
    state: TenantState,
    created_at: Time,
    updated_at: Time,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum TenantState {
    Active,
    Suspended,
    /// For ever.
    Deleted,
}

/// What a tenant begins with.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewTenant {
    slug: Slug,
    name: Name,
    partner_slug: Option<Slug>,
    #[schema(required = false, schema_with = domains)]
    domains: Vec<String>,
}

/// What may change; `partnerSlug` is `null` to take the partner away.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TenantEdit {
    name: Option<Name>,
    partner_slug: Option<Slug>,
    #[schema(schema_with = domains)]
    domains: Option<Vec<String>>,
}

/// Mail domains.
fn domains() -> utoipa::openapi::schema::ArrayBuilder {
    let domain = text("A mail domain.").pattern(Some(r"^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){1,3}[a-z]{2,20}$"));
    utoipa::openapi::schema::ArrayBuilder::new().items(domain).max_items(Some(50))
}

/// A partner. Its slug names it for ever, and is never given again.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Partner {
    slug: Slug,
    name: String,
    state: PartnerState,
    created_at: Time,
    updated_at: Time,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum PartnerState {
    Active,
    /// For ever.
    Terminated,
}

/// What a partner begins with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPartner {
    slug: Slug,
    name: Name,
}

/// Another name.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartnerEdit {
    name: Name,
}

/// A flag. Its key names it for ever, and is never given again.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Flag {
    key: String,
    state: FlagState,
    /// Percent of those whom it is for; only while `state` is `rollout`.
    #[schema(required = false, maximum = 100)]
    rollout: u8,
    #[schema(required = false)]
    note: String,
    removed: bool,
    /// The newest last.
    history: Vec<FlagChange>,
    created_at: Time,
    updated_at: Time,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum FlagState {
    Off,
    Rollout,
    On,
}

/// What a flag became, when, and by whom.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct FlagChange {
    at: Time,
    action: String,
    state: FlagState,
    #[schema(required = false, maximum = 100)]
    rollout: u8,
    #[schema(required = false)]
    note: String,
    actor_type: String,
    actor: Person,
}

/// Who it was.
#[derive(ToSchema)]
pub(crate) struct Person {
    #[schema(required = false)]
    id: String,
    #[schema(required = false)]
    email: String,
    #[schema(required = false)]
    name: String,
}

#[derive(ToSchema)]
pub(super) struct FlagHistory {
    history: Vec<FlagChange>,
}

/// What a flag begins with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFlag {
    #[schema(pattern = "^[a-z][a-z0-9_.-]{0,63}$")]
    key: String,
    state: FlagState,
    #[schema(maximum = 100)]
    rollout: Option<u8>,
    #[schema(schema_with = note)]
    note: Option<String>,
}

/// What a flag becomes.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlagEdit {
    state: Option<FlagState>,
    #[schema(maximum = 100)]
    rollout: Option<u8>,
    #[schema(schema_with = note)]
    note: Option<String>,
}

fn note() -> ObjectBuilder {
    text("Why. Of `kill-switch` the log says `flag.killed`.")
        .min_length(Some(1))
        .max_length(Some(500))
        .pattern(Some(r"^[ -~]*[!-~][ -~]*$"))
}

/// A user. There is one for each subject of the identity provider.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    /// 32 hex digits, which follow from the subject.
    id: String,
    authentik_subject_id: String,
    email: String,
    tenants: Vec<Slug>,
    state: UserState,
    created_at: Time,
    updated_at: Time,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum UserState {
    Active,
    Deactivated,
}

/// A subject, and the tenants that it belongs to from now on.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewUser {
    #[schema(schema_with = subject)]
    authentik_subject_id: String,
    #[schema(schema_with = email)]
    email: String,
    #[schema(required = false, max_items = 100)]
    tenants: Vec<Slug>,
}

/// What may change.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEdit {
    #[schema(schema_with = email)]
    email: Option<String>,
    #[schema(max_items = 100)]
    tenants: Option<Vec<Slug>>,
}

fn subject() -> ObjectBuilder {
    printable("The identity provider's id of the user.", 256)
}

fn email() -> ObjectBuilder {
    text("At most 254 characters.")
        .pattern(Some(r"^[A-Za-z0-9._+-]{1,64}@([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){1,3}[a-z]{2,20}$"))
}
