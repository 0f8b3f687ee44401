//! `/cold`: what has left hot storage.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::assets;
use super::frame::{Frame, Section};
use super::page::page;
use super::time;
use super::visitor::Visitor;
use crate::app::App;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "cold.html")]
struct ColdPage {
    frame: Frame,
    archived: u64,
    hot: u64,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let store = app.log.store();
    let archived = store.hot().await?.border;
    let hot = store.head().await?.size.saturating_sub(archived);
    page(&ColdPage { frame: Frame::of(&app, &visitor, Section::Cold, "Cold storage").await?, archived, hot })
}
