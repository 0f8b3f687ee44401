//! Proofs of single events, and checkpoints of tenants.
//!
//! Nothing is handed out that does not verify: the stored line is hashed again, and its path is followed to the root that
//! was signed.

use dezky_audit_core::checkpoint::{Checkpoint, Reason};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::merkle::{Frontier, leaf_hash, verify_inclusion};
use dezky_audit_core::proof::TlogProof;
use dezky_store::{CheckpointRecord, Scope, StoreError, Stored, TenantHead};

use crate::audit_log::Inner;
use crate::checkpoint::CheckpointError;
use crate::tree;

/// A tenant's own checkpoint (log format, section 5), as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCheckpoint {
    /// The signed note under the origin `<origin>/tenant/<slug>`.
    pub note: String,
    /// The `.tlog-proof` of the tenant's last event in the main log.
    pub proof: String,
}

/// Why no proof was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the checkpoint that would cover the event could not be made")]
    Checkpoint(#[from] CheckpointError),
    /// The stored event is not the one that was signed for: nothing is proven about it. Run a verification.
    #[error("the stored event {seq} is not what the log's tree says; verify the log")]
    Mismatch { seq: Seq },
    /// The tenant's last event has left hot storage.
    #[error("event {seq} is archived; its proof needs its line")]
    Archived { seq: Seq },
}

/// The proof of the event at `seq`, when it exists for this scope.
pub(crate) async fn event(log: &Inner, scope: &Scope, seq: Seq) -> Result<Option<String>, ProveError> {
    let Some(stored) = log.store.get(scope, seq).await? else { return Ok(None) };
    line(log, seq, stored.line).await.map(Some)
}

/// The proof of the event at `seq`, wherever its line comes from.
pub(crate) async fn line(log: &Inner, seq: Seq, line: Vec<u8>) -> Result<String, ProveError> {
    let checkpoint = covering(log, seq).await?;
    let hash = own_hash(&line, seq).ok_or(ProveError::Mismatch { seq })?;
    proof(log, seq, hash, line, &checkpoint).await
}

/// The tenant's checkpoint, signed now. `archived` is its last event, where that is no longer hot.
pub(crate) async fn tenant(
    log: &Inner,
    scope: &Scope,
    tenant: &TenantSlug,
    archived: Option<Stored>,
) -> Result<Option<TenantCheckpoint>, ProveError> {
    if !scope.admits(Some(tenant.as_str())) {
        return Ok(None);
    }
    let Some(head) = log.store.tenant_head(tenant).await? else { return Ok(None) };
    let archived = archived.filter(|archived| archived.seq == head.seq.get());
    let Some(stored) = log.store.get(&Scope::All, head.seq).await?.or(archived) else {
        return Err(ProveError::Archived { seq: head.seq });
    };
    let mismatch = || ProveError::Mismatch { seq: head.seq };
    if !is_last_of(&stored.line, tenant, &head) {
        return Err(mismatch());
    }
    if !*log.compared.borrow() {
        return Err(CheckpointError::NotCompared.into());
    }
    // Published before the tenant's own head is signed.
    let checkpoint = covering(log, head.seq).await?;
    let proof = proof(log, head.seq, head.hash, stored.line, &checkpoint).await?;
    let tree = Frontier::from_peaks(head.tenant_seq, head.peaks.clone()).map_err(|_| mismatch())?;
    let keys = log.keys.for_tenant(tenant);
    let note = Checkpoint::of_tenant(&log.origin, tenant, head.tenant_seq, tree.root()).sign(&keys);
    let note = note.map_err(|error| StoreError::Refused { reason: format!("the checkpoint cannot be signed: {error}") })?;
    Ok(Some(TenantCheckpoint { note: note.to_string(), proof }))
}

/// The newest published checkpoint if it covers `seq`, else a new one.
async fn covering(log: &Inner, seq: Seq) -> Result<CheckpointRecord, CheckpointError> {
    let newest = log.newest.borrow().clone();
    match newest.filter(|newest| newest.size >= seq.get()) {
        Some(newest) => Ok(newest),
        None => log.requests.ask(Reason::Manual).await,
    }
}

async fn proof(log: &Inner, seq: Seq, hash: Hash, line: Vec<u8>, checkpoint: &CheckpointRecord) -> Result<String, ProveError> {
    let (index, size) = (seq.leaf_index(), checkpoint.size);
    let mismatch = ProveError::Mismatch { seq };
    let Ok(path) = tree::inclusion(&*log.store, index, size).await? else { return Err(mismatch) };
    if verify_inclusion(&leaf_hash(&hash), index, size, &path, &checkpoint.root).is_err() {
        return Err(mismatch);
    }
    Ok(TlogProof { extra: Some(line), index, path, note: checkpoint.note.clone() }.to_string())
}

/// The hash of a line that is the event `seq` and has the hash that it states.
fn own_hash(line: &[u8], seq: Seq) -> Option<Hash> {
    let LineCheck::Event(event) = check_line(line, &mut Vec::new()) else { return None };
    (event.seq == seq && event.stored_hash == event.computed_hash).then_some(event.computed_hash)
}

fn is_last_of(line: &[u8], tenant: &TenantSlug, head: &TenantHead) -> bool {
    let LineCheck::Event(event) = check_line(line, &mut Vec::new()) else { return false };
    let link = event.tenant.is_some_and(|link| link.slug == tenant.as_str() && link.seq == head.tenant_seq);
    link && event.seq == head.seq && event.computed_hash == head.hash
}
