//! `GET /metrics`: numbers for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::app::App;
use crate::problem::Problem;

pub(crate) async fn show(State(app): State<App>) -> Result<Response, Problem> {
    if let Some(cold) = &app.cold
        && let Err(error) = cold.figures().await
    {
        tracing::debug!(error = &error as &dyn std::error::Error, "the archive's numbers are those of before");
    }
    let (bodies_bytes, exports) = app.in_use();
    let text = app.metrics.text(bodies_bytes, exports).map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
