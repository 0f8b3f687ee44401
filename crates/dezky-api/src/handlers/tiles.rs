//! `GET /checkpoint` and `GET /tile/…`: the log's tree as C2SP `tlog-tiles` has it. Hashes only, no event can be read from them.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::tile::{BundleId, TileId, encode_bundle, encode_tile};
use dezky_cold::{PublishError, entries};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::Text;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{Code, Problem};

/// The newest signed note.
pub(crate) async fn checkpoint(State(app): State<App>, _: Caller) -> Result<Text, Problem> {
    let none = || {
        Problem::new(Code::NoSuchCheckpoint, "nothing was signed yet").hint("sign the log as it is now: POST /audit/checkpoint")
    };
    Ok(Text(app.log.latest_checkpoint().await?.ok_or_else(none)?.note))
}

/// A tile, or an entry bundle: as wide as it is asked for, if the newest checkpoint covers that.
pub(crate) async fn tile(State(app): State<App>, _: Caller, Path(path): Path<String>) -> Result<Response, Problem> {
    let path = format!("tile/{path}");
    let size = app.log.latest_checkpoint().await?.map_or(0, |newest| newest.size);
    if let Ok(bundle) = path.parse::<BundleId>() {
        let there = TileId::of_tree(0, bundle.index(), size).filter(|tile| tile.width() >= bundle.width());
        there.ok_or_else(|| no_such_tile(&path, size))?;
        let timeline = app.cold.as_ref().map(dezky_cold::Cold::timeline);
        return Ok(octets(encode_bundle(&entries(&app.log, timeline, bundle).await?)));
    }
    let wanted: TileId = path.parse().map_err(|error: dezky_audit_core::ids::InvalidId| {
        Problem::new(Code::InvalidParameter, format!("the path is {error}"))
    })?;
    let there = TileId::of_tree(wanted.level(), wanted.index(), size).filter(|tile| tile.width() >= wanted.width());
    there.ok_or_else(|| no_such_tile(&path, size))?;
    let hashes = app.log.store().tile(wanted.level(), wanted.index()).await?.unwrap_or_default();
    let hashes: Vec<Hash> = hashes.into_iter().take(usize::from(wanted.width())).collect();
    Ok(octets(encode_tile(&hashes)))
}

fn octets(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))], bytes).into_response()
}

fn no_such_tile(path: &str, size: u64) -> Problem {
    Problem::new(Code::NoSuchTile, format!("the signed tree of {size} events has no {path}"))
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Store(error) => error.into(),
            PublishError::Depot(error) => error.into(),
            PublishError::Timeline(error) => error.into(),
            PublishError::Mismatch { .. } => Self::new(Code::EventMismatch, error.to_string()),
            _ => Self::internal(&error),
        }
    }
}
