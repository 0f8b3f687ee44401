//! `GET /audit/export`: the lines that match, streamed, up to a checkpoint that is named in the answer.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dezky_audit::{CheckpointRecord, Export, chain};
use dezky_cold::{TimelineError, TimelineExport};
use futures_util::StreamExt as _;
use futures_util::stream::{iter, try_unfold};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK};

use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

pub(crate) async fn stream(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Response, Problem> {
    let filter = parameters.into_filter()?;
    let full = |_| Problem::new(Code::Overloaded, format!("{} exports are running", app.config.limits.exports));
    let place = std::sync::Arc::clone(&app.exports).try_acquire_owned().map_err(full)?;
    let mut export = match &app.cold {
        Some(cold) => Running::Both(cold.timeline().export(caller.scope, filter).await?),
        None => Running::Hot(Box::new(app.log.export(caller.scope, filter).await?)),
    };
    let size = export.checkpoint().size;
    let file = file_name(app.log.origin().as_str(), size);
    // What fails at once is told with a status; later, all that tells of it is that the stream breaks off.
    let first = export.next().await?;
    let ended = first.is_none();
    let rest = try_unfold((export, place, ended), |(mut export, place, ended)| async move {
        if ended {
            return Ok(None);
        }
        let chunk = next(&mut export).await?;
        Ok::<_, TimelineError>(chunk.map(|chunk| (chunk, (export, place, false))))
    });
    let chunks = iter(first.map(Ok)).chain(rest);
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(LINK, header(format!("</audit/checkpoints/{size}>; rel=\"checkpoint\""))?);
    headers.insert(CONTENT_DISPOSITION, header(format!("attachment; filename=\"{file}\""))?);
    Ok(response)
}

/// An export of what there is: hot storage alone, or both tiers.
enum Running {
    Hot(Box<Export>),
    Both(TimelineExport),
}

impl Running {
    fn checkpoint(&self) -> &CheckpointRecord {
        match self {
            Self::Hot(export) => export.checkpoint(),
            Self::Both(export) => export.checkpoint(),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, TimelineError> {
        match self {
            Self::Hot(export) => Ok(export.next().await?),
            Self::Both(export) => export.next().await,
        }
    }
}

async fn next(export: &mut Running) -> Result<Option<Vec<u8>>, TimelineError> {
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
