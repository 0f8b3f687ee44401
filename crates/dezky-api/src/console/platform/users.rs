//! Users.

use dezky_platform::{Acting, NewUser, PlatformError, User, UserEdit, UserState};

use super::kinds::{Done, LISTED, Lines};
use super::record::{Field, Form, Line, Sheet, State};
use crate::app::App;
use crate::console::form::Form as Sent;

fn state(user: &User) -> State {
    match user.state {
        UserState::Active => State::good("active"),
        UserState::Deactivated => State::over("deactivated"),
    }
}

pub(super) async fn lines(app: &App, after: Option<&str>) -> Lines {
    let listing = app.platform.users().list(after, LISTED).await?;
    let line =
        |user: &User| Line { key: user.id.clone(), name: user.email.clone(), state: state(user), more: user.tenants.join(", ") };
    Ok((listing.records.iter().map(|record| line(&record.value)).collect(), listing.next))
}

pub(super) async fn sheet(app: &App, key: &str) -> Result<Sheet, PlatformError> {
    let record = app.platform.users().get(key).await?;
    let user = record.value;
    let forms = vec![
        Form::new(
            "update",
            "Change",
            vec![
                Field::text("email", "E-mail address", &user.email).needed(),
                Field::text("tenants", "Tenants", user.tenants.join(", ")).hint("slugs, with commas between"),
            ],
        ),
        Form::dangerous("deactivate", "Deactivate", "The account is kept out; linking it again lets it in."),
    ];
    Ok(Sheet {
        state: state(&user),
        version: record.version,
        forms: if user.state == UserState::Active { forms } else { Vec::new() },
        facts: vec![
            ("Id", user.id.clone()),
            ("Subject at Authentik", user.authentik_subject_id),
            ("Tenants", user.tenants.join(", ")),
            ("Created", user.created_at),
            ("Changed", user.updated_at),
        ],
        timeline: format!("resourceType=user&resourceId={}", user.id),
        name: user.email,
        key: user.id,
    })
}

pub(super) fn new() -> Form {
    let fields = vec![
        Field::text("subject", "Subject at Authentik", "").needed(),
        Field::text("email", "E-mail address", "").needed(),
        Field::text("tenants", "Tenants", "").hint("slugs, with commas between"),
    ];
    Form::new("", "Link a user", fields)
}

pub(super) async fn create(app: &App, acting: &Acting, sent: &Sent) -> Result<String, PlatformError> {
    let new = NewUser { authentik_subject_id: sent.text("subject"), email: sent.text("email"), tenants: sent.words("tenants") };
    Ok(app.platform.users().link(acting, new).await?.value.id)
}

pub(super) async fn change(app: &App, acting: &Acting, key: &str, deed: &str, sent: &Sent) -> Done {
    let (users, seen) = (app.platform.users(), sent.seen());
    match deed {
        "update" => {
            let edit = UserEdit { email: Some(sent.text("email")), tenants: Some(sent.words("tenants")) };
            users.update(acting, key, seen, edit).await?
        }
        "deactivate" => users.deactivate(acting, key, seen).await?,
        _ => return Ok(false),
    };
    Ok(true)
}
