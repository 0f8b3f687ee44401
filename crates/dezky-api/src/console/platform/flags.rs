//! Flags.

use dezky_platform::{Acting, Flag, FlagEdit, FlagState, NewFlag, PlatformError};

use super::kinds::{Done, LISTED, Lines};
use super::record::{Field, Form, Line, Sheet, State};
use crate::app::App;
use crate::console::form::Form as Sent;

const STATES: [&str; 3] = ["off", "rollout", "on"];
const PERCENT: &str = "percent, while it is rolled out";

fn state(flag: &Flag) -> State {
    match flag.state {
        _ if flag.removed => State::over("removed"),
        FlagState::Off => State::over("off"),
        FlagState::Rollout => State::held("rollout"),
        FlagState::On => State::good("on"),
    }
}

fn percent(flag: &Flag) -> String {
    flag.rollout.map(|percent| percent.to_string()).unwrap_or_default()
}

pub(super) async fn lines(app: &App, after: Option<&str>) -> Lines {
    let listing = app.platform.flags().list(after, LISTED).await?;
    let line = |flag: &Flag| Line {
        key: flag.key.clone(),
        name: flag.key.clone(),
        state: state(flag),
        more: flag.rollout.map(|percent| format!("{percent} %")).or_else(|| flag.note.clone()).unwrap_or_default(),
    };
    Ok((listing.records.iter().map(|record| line(&record.value)).collect(), listing.next))
}

pub(super) async fn sheet(app: &App, key: &str) -> Result<Sheet, PlatformError> {
    let record = app.platform.flags().get(key).await?;
    let flag = record.value;
    let now = STATES[flag.state as usize];
    let update = Form::new(
        "update",
        "Change",
        vec![
            Field::text("state", "State", now).one_of(&STATES),
            Field::text("rollout", "Rollout", percent(&flag)).hint(PERCENT),
            Field::text("note", "Note", "").hint("why; “kill-switch” when it is switched off in a hurry"),
        ],
    );
    let remove = Form::dangerous("remove", "Remove", "For ever: the key is never given again.");
    let history = flag.history.iter().rev().take(10).map(|entry| {
        let who = entry.actor.name.as_ref().or(entry.actor.email.as_ref()).or(entry.actor.id.as_ref());
        let who = who.cloned().unwrap_or_else(|| entry.actor_type.clone());
        ("Then", format!("{} {} by {who}", entry.at, entry.action))
    });
    let facts = vec![
        ("Rollout", flag.rollout.map_or_else(|| "–".to_owned(), |percent| format!("{percent} %"))),
        ("Note", flag.note.clone().unwrap_or_default()),
        ("Changed", flag.updated_at.clone()),
    ];
    Ok(Sheet {
        state: state(&flag),
        version: record.version,
        facts: facts.into_iter().chain(history).collect(),
        timeline: format!("resourceType=flag&resourceId={}", crate::console::page::encoded(&flag.key)),
        forms: if flag.removed { Vec::new() } else { vec![update, remove] },
        name: flag.key.clone(),
        key: flag.key,
    })
}

pub(super) fn new() -> Form {
    let fields = vec![
        Field::text("key", "Key", "").needed().hint("names the flag for ever"),
        Field::text("state", "State", "off").one_of(&STATES),
        Field::text("rollout", "Rollout", "").hint(PERCENT),
        Field::text("note", "Note", ""),
    ];
    Form::new("", "New flag", fields)
}

fn stated(sent: &Sent) -> Result<FlagState, PlatformError> {
    match sent.get("state") {
        Some("on") => Ok(FlagState::On),
        Some("rollout") => Ok(FlagState::Rollout),
        Some("off") => Ok(FlagState::Off),
        _ => Err(PlatformError::Invalid { pointer: "/state", reason: "it is off, rollout or on".to_owned() }),
    }
}

fn rolled(sent: &Sent, state: FlagState) -> Result<Option<u8>, PlatformError> {
    let invalid = |_| PlatformError::Invalid { pointer: "/rollout", reason: "a whole number of percent is expected".to_owned() };
    if state == FlagState::Rollout { sent.get("rollout").map(|text| text.parse().map_err(invalid)).transpose() } else { Ok(None) }
}

pub(super) async fn create(app: &App, acting: &Acting, sent: &Sent) -> Result<String, PlatformError> {
    let state = stated(sent)?;
    let new = NewFlag { key: sent.text("key"), state, rollout: rolled(sent, state)?, note: sent.get("note").map(str::to_owned) };
    Ok(app.platform.flags().create(acting, new).await?.value.key)
}

pub(super) async fn change(app: &App, acting: &Acting, key: &str, deed: &str, sent: &Sent) -> Done {
    let (flags, seen) = (app.platform.flags(), sent.seen());
    match deed {
        "update" => {
            let state = stated(sent)?;
            let edit = FlagEdit { state: Some(state), rollout: rolled(sent, state)?, note: sent.get("note").map(str::to_owned) };
            flags.update(acting, key, seen, edit).await?
        }
        "remove" => flags.remove(acting, key, seen).await?,
        _ => return Ok(false),
    };
    Ok(true)
}
