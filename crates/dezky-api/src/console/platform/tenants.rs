//! Tenants.

use dezky_platform::{Acting, NewTenant, PlatformError, Tenant, TenantEdit, TenantState};

use super::kinds::{Done, LISTED, Lines};
use super::record::{Field, Form, Line, Sheet, State};
use crate::app::App;
use crate::console::form::Form as Sent;

fn state(tenant: &Tenant) -> State {
    match tenant.state {
        TenantState::Active => State::good("active"),
        TenantState::Suspended => State::held("suspended"),
        TenantState::Deleted => State::over("deleted"),
    }
}

pub(super) async fn lines(app: &App, after: Option<&str>) -> Lines {
    let listing = app.platform.tenants().list(after, LISTED).await?;
    let line = |tenant: &Tenant| Line {
        key: tenant.slug.clone(),
        name: tenant.name.clone(),
        state: state(tenant),
        more: [tenant.partner_slug.clone().unwrap_or_default(), tenant.domains.join(", ")].join(" ").trim().to_owned(),
    };
    Ok((listing.records.iter().map(|record| line(&record.value)).collect(), listing.next))
}

pub(super) async fn sheet(app: &App, key: &str) -> Result<Sheet, PlatformError> {
    let record = app.platform.tenants().get(key).await?;
    let tenant = record.value;
    let edit = Form::new(
        "update",
        "Change",
        vec![
            Field::text("name", "Name", &tenant.name).needed(),
            Field::text("partner", "Partner", tenant.partner_slug.clone().unwrap_or_default()).hint("a slug, or nothing"),
            Field::text("domains", "Mail domains", tenant.domains.join(", ")).hint("with commas between"),
        ],
    );
    let suspend = Form::dangerous("suspend", "Suspend", "Its users are kept out until it is resumed.");
    let resume = Form::careful("resume", "Resume", "Its users get in again.");
    let delete = Form::dangerous("delete", "Delete", "For ever: the slug is never given to another tenant. Its events stay.");
    let forms = match tenant.state {
        TenantState::Active => vec![edit, suspend, delete],
        TenantState::Suspended => vec![edit, resume, delete],
        TenantState::Deleted => Vec::new(),
    };
    Ok(Sheet {
        state: state(&tenant),
        version: record.version,
        facts: vec![
            ("Slug", tenant.slug.clone()),
            ("Partner", tenant.partner_slug.unwrap_or_else(|| "none".to_owned())),
            ("Mail domains", tenant.domains.join(", ")),
            ("Created", tenant.created_at),
            ("Changed", tenant.updated_at),
        ],
        timeline: format!("tenantSlug={}", tenant.slug),
        name: tenant.name,
        key: tenant.slug,
        forms,
    })
}

pub(super) fn new() -> Form {
    let fields = vec![
        Field::text("slug", "Slug", "").needed().hint("names the tenant for ever: a-z, 0-9 and -"),
        Field::text("name", "Name", "").needed(),
        Field::text("partner", "Partner", "").hint("a slug, or nothing"),
        Field::text("domains", "Mail domains", "").hint("with commas between"),
    ];
    Form::new("", "New tenant", fields)
}

pub(super) async fn create(app: &App, acting: &Acting, sent: &Sent) -> Result<String, PlatformError> {
    let partner_slug = sent.get("partner").map(str::to_owned);
    let new = NewTenant { slug: sent.text("slug"), name: sent.text("name"), partner_slug, domains: sent.words("domains") };
    Ok(app.platform.tenants().create(acting, new).await?.value.slug)
}

pub(super) async fn change(app: &App, acting: &Acting, key: &str, deed: &str, sent: &Sent) -> Done {
    let (tenants, seen) = (app.platform.tenants(), sent.seen());
    match deed {
        "update" => {
            let partner_slug = Some(sent.get("partner").map(str::to_owned));
            let edit = TenantEdit { name: Some(sent.text("name")), partner_slug, domains: Some(sent.words("domains")) };
            tenants.update(acting, key, seen, edit).await?
        }
        "suspend" => tenants.suspend(acting, key, seen).await?,
        "resume" => tenants.resume(acting, key, seen).await?,
        "delete" => tenants.delete(acting, key, seen).await?,
        _ => return Ok(false),
    };
    Ok(true)
}
