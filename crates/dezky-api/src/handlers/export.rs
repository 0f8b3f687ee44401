//! `GET /audit/export`: the lines that match, streamed, up to a checkpoint that is named in the answer.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dezky_audit::Export;
use futures_util::stream::try_unfold;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK};

use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem, chain};

pub(crate) async fn stream(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Response, Problem> {
    let filter = parameters.into_filter()?;
    let full = |_| Problem::new(Code::Overloaded, format!("{} exports are running", app.config.limits.exports));
    let place = std::sync::Arc::clone(&app.exports).try_acquire_owned().map_err(full)?;
    let export = app.log.export(caller.scope, filter).await?;
    let size = export.checkpoint().size;
    let file = file_name(app.log.origin().as_str(), size);
    let chunks = try_unfold((export, place), |(mut export, place)| async move {
        let chunk = next(&mut export).await?;
        Ok::<_, dezky_audit::StoreError>(chunk.map(|chunk| (chunk, (export, place))))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(LINK, header(format!("</audit/checkpoints/{size}>; rel=\"checkpoint\""))?);
    headers.insert(CONTENT_DISPOSITION, header(format!("attachment; filename=\"{file}\""))?);
    Ok(response)
}

/// The next lines. The status was sent long ago: all that tells of a failure is that the stream breaks off.
async fn next(export: &mut Export) -> Result<Option<Vec<u8>>, dezky_audit::StoreError> {
    let chunk = export.next().await;
    if let Err(error) = &chunk {
        tracing::error!(cause = chain(error), "an export broke off");
    }
    chunk
}

/// A file name that says which log it is of, and how long that was.
fn file_name(origin: &str, size: u64) -> String {
    let plain: String = origin.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    format!("{plain}-{size}.jsonl")
}

fn header(text: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(|error| Problem::internal(&error))
}
