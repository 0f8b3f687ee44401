//! `GET /audit/keys`: what a verifier needs.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{RawJson, json};
use crate::app::App;
use crate::caller::Caller;
use crate::openapi::Time;
use crate::problem::Problem;

#[derive(Serialize, ToSchema)]
pub(crate) struct Keys<'a> {
    keys: Vec<Key<'a>>,
}

/// What a verifier needs to know of a key.
#[derive(Serialize, ToSchema)]
struct Key<'a> {
    /// C2SP's verifier key.
    vkey: &'a str,
    alg: &'static str,
    #[schema(value_type = Time)]
    since: String,
}

/// The keys that sign now, the newest first.
pub(crate) async fn list(State(app): State<App>, _: Caller) -> Result<RawJson<Vec<u8>>, Problem> {
    let keys = app.log.keys().iter();
    let keys = keys.map(|key| Key { vkey: &key.vkey, alg: key.algorithm.as_str(), since: key.since.to_string() }).collect();
    json(&Keys { keys })
}
