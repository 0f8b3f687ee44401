//! Tokens of services.

use dezky_audit::{Clock as _, SystemClock};
use dezky_platform::{Acting, MadeToken, NewToken, PlatformError, Role, Token, TokenState};

use super::kinds::{Done, LISTED, Lines};
use super::record::{Field, Form, Line, Sheet, State};
use crate::app::App;
use crate::console::form::Form as Sent;

const ROLES: [&str; 4] = ["auditor", "tenant-auditor", "recorder", "operator"];

fn state(token: &Token) -> State {
    match token.state {
        TokenState::Revoked => State::over("revoked"),
        TokenState::Active if token.is_active(SystemClock.now()) => State::good("active"),
        TokenState::Active => State::over("expired"),
    }
}

fn bounds(token: &Token) -> String {
    token.source.clone().unwrap_or_else(|| token.tenants.join(", "))
}

pub(super) async fn lines(app: &App, after: Option<&str>) -> Lines {
    let listing = app.platform.tokens().list(after, LISTED).await?;
    let line = |token: &Token| Line {
        key: token.id.clone(),
        name: token.name.clone(),
        state: state(token),
        more: format!("{} {}", token.role.as_str(), bounds(token)),
    };
    Ok((listing.records.iter().map(|record| line(&record.value)).collect(), listing.next))
}

pub(super) async fn sheet(app: &App, key: &str) -> Result<Sheet, PlatformError> {
    let record = app.platform.tokens().get(key).await?;
    let token = record.value;
    let by = token.created_by.name.clone().or_else(|| token.created_by.id.clone()).unwrap_or_default();
    let revoke = Form::dangerous(
        "revoke",
        "Revoke",
        "For ever: whoever uses it is turned away at once, by other processes within half a minute.",
    );
    Ok(Sheet {
        state: state(&token),
        version: record.version,
        forms: if token.state == TokenState::Active { vec![revoke] } else { Vec::new() },
        facts: vec![
            ("Id", token.id.clone()),
            ("Role", token.role.as_str().to_owned()),
            ("Bound to", bounds(&token)),
            ("Made by", by),
            ("Made", token.created_at.clone()),
            ("Ends", token.expires_at.clone()),
            ("Last used", token.last_used_at.clone().unwrap_or_else(|| "never".to_owned())),
        ],
        timeline: format!("resourceType=token&resourceId={}", token.id),
        name: token.name.clone(),
        key: token.id,
    })
}

pub(super) fn new() -> Form {
    let fields = vec![
        Field::text("name", "Name", "").needed().hint("what it is for"),
        Field::text("role", "Role", "auditor").one_of(&ROLES),
        Field::text("tenants", "Tenants", "").hint("of a tenant auditor: slugs, with commas between"),
        Field::text("source", "Source", "").hint("of a recorder: the only source that it may name"),
        Field::text("days", "Days", "90").hint("until it ends, at most 365"),
    ];
    Form::new("", "New token", fields)
}

pub(super) async fn create(app: &App, acting: &Acting, sent: &Sent) -> Result<MadeToken, PlatformError> {
    let invalid = |pointer, reason: &str| PlatformError::Invalid { pointer, reason: reason.to_owned() };
    let role = match sent.get("role") {
        Some("operator") => Role::Operator,
        Some("auditor") => Role::Auditor,
        Some("tenant-auditor") => Role::TenantAuditor,
        Some("recorder") => Role::Recorder,
        _ => return Err(invalid("/role", "there is no such role")),
    };
    let days = sent.get("days").map(|text| text.parse().map_err(|_| invalid("/days", "a whole number is expected")));
    let new = NewToken {
        name: sent.text("name"),
        role,
        tenants: sent.words("tenants"),
        source: sent.get("source").map(str::to_owned),
        expires_in_days: days.transpose()?,
    };
    app.platform.tokens().create(acting, new).await
}

pub(super) async fn change(app: &App, acting: &Acting, key: &str, deed: &str) -> Done {
    if deed != "revoke" {
        return Ok(false);
    }
    app.platform.tokens().revoke(acting, key).await?;
    Ok(true)
}
