//! Partners.

use dezky_platform::{Acting, NewPartner, Partner, PlatformError};

use super::kinds::{Done, LISTED, Lines};
use super::record::{Field, Form, Line, Sheet, State};
use crate::app::App;
use crate::console::form::Form as Sent;

fn state(partner: &Partner) -> State {
    if partner.is_active() { State::good("active") } else { State::over("terminated") }
}

pub(super) async fn lines(app: &App, after: Option<&str>) -> Lines {
    let listing = app.platform.partners().list(after, LISTED).await?;
    let line = |partner: &Partner| Line {
        key: partner.slug.clone(),
        name: partner.name.clone(),
        state: state(partner),
        more: String::new(),
    };
    Ok((listing.records.iter().map(|record| line(&record.value)).collect(), listing.next))
}

pub(super) async fn sheet(app: &App, key: &str) -> Result<Sheet, PlatformError> {
    let record = app.platform.partners().get(key).await?;
    let partner = record.value;
    let forms = vec![
        Form::new("update", "Change", vec![Field::text("name", "Name", &partner.name).needed()]),
        Form::dangerous("terminate", "Terminate", "For ever. Tenants that it brought stay, and can be given to another partner."),
    ];
    Ok(Sheet {
        state: state(&partner),
        version: record.version,
        forms: if partner.is_active() { forms } else { Vec::new() },
        facts: vec![("Slug", partner.slug.clone()), ("Created", partner.created_at), ("Changed", partner.updated_at)],
        timeline: format!("partnerSlug={}", partner.slug),
        name: partner.name,
        key: partner.slug,
    })
}

pub(super) fn new() -> Form {
    let slug = Field::text("slug", "Slug", "").needed().hint("names the partner for ever: a-z, 0-9 and -");
    Form::new("", "New partner", vec![slug, Field::text("name", "Name", "").needed()])
}

pub(super) async fn create(app: &App, acting: &Acting, sent: &Sent) -> Result<String, PlatformError> {
    let new = NewPartner { slug: sent.text("slug"), name: sent.text("name") };
    Ok(app.platform.partners().create(acting, new).await?.value.slug)
}

pub(super) async fn change(app: &App, acting: &Acting, key: &str, deed: &str, sent: &Sent) -> Done {
    let (partners, seen) = (app.platform.partners(), sent.seen());
    match deed {
        "update" => partners.rename(acting, key, seen, &sent.text("name")).await?,
        "terminate" => partners.terminate(acting, key, seen).await?,
        _ => return Ok(false),
    };
    Ok(true)
}
