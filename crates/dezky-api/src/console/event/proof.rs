//! What binds an event to what was signed, as far as it can be told without signing anything for it.

use dezky_audit::ProveError;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::proof::TlogProof;
use serde_json::Value;

use crate::app::App;
use crate::problem::Problem;

/// The proof section of an event's page.
pub(super) struct Proof {
    pub(super) hash: String,
    pub(super) previous: String,
    /// Tenant, place in its stream, and the hash before it there.
    pub(super) stream: Option<(String, u64, String)>,
    pub(super) covered: Covered,
    pub(super) vkeys: Vec<String>,
}

pub(super) enum Covered {
    /// By the newest checkpoint: size, when it was made, the path's hashes from the leaf's sibling on.
    Yes { size: u64, at: String, path: Vec<String> },
    /// Nothing was signed since it was recorded.
    NotYet,
    /// The stored event is not the one that the tree holds.
    Mismatch(String),
}

impl Proof {
    /// `stored` is the line as it is, wherever it lies; `line` what was read of it.
    pub(super) async fn of(app: &App, seq: Seq, stored: Vec<u8>, line: &Value) -> Result<Self, Problem> {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let stream = line.get("tenantSeq").and_then(Value::as_u64).map(|n| (text("tenantSlug"), n, text("tenantPrevHash")));
        let vkeys = app.log.keys().iter().map(|key| key.vkey.clone()).collect();
        Ok(Self { hash: text("hash"), previous: text("prevHash"), stream, covered: covered(app, seq, stored).await?, vkeys })
    }
}

async fn covered(app: &App, seq: Seq, stored: Vec<u8>) -> Result<Covered, Problem> {
    // Looking at a page signs nothing.
    let Some(newest) = app.log.latest_checkpoint().await?.filter(|newest| newest.size >= seq.get()) else {
        return Ok(Covered::NotYet);
    };
    match app.log.proof_of(seq, stored).await {
        Ok(proof) => {
            let parsed = TlogProof::parse(proof.as_bytes()).map_err(|error| Problem::internal(&error))?;
            let path = parsed.path.iter().map(|hash| hash.to_hex()).collect();
            Ok(Covered::Yes { size: newest.size, at: newest.at.to_string(), path })
        }
        Err(error @ ProveError::Mismatch { .. }) => Ok(Covered::Mismatch(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
