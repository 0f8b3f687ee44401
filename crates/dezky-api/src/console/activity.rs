//! `/fragments/activity`: the newest events as a card, for the overview page of the platform.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use dezky_store::Query;

use super::page::fragment;
use super::row::Row;
use super::trust_card::TrustCard;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;

const ROWS: usize = 8;

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    rows: Vec<Row>,
    trust: TrustCard,
}

pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let found = app.log.list(&caller.scope, &Query { limit: ROWS, ..Query::default() }).await?;
    fragment(&Activity { rows: found.events.iter().map(Row::of).collect(), trust: TrustCard::of(&app).await? })
}
