//! What the log does for its archiver: it signs manifests of what it has already signed, and records that a batch was archived.

use dezky_audit_core::archive::Manifest;
use dezky_audit_core::checkpoint::{Checkpoint, Opened, open};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::json::Value;
use dezky_audit_core::merkle::tile::read::tiles_for_consistency;
use dezky_audit_core::merkle::{Frontier, verify_consistency};
use dezky_audit_core::note::KeyRing;
use dezky_audit_core::time::Timestamp;
use dezky_store::StoreError;

use crate::audit_log::AuditLog;
use crate::own::{OwnEvents, number};
use crate::record::{Receipt, RecordError};
use crate::tree;

/// Why a manifest was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignManifestError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the manifest is of '{given}', this is the log '{own}'")]
    OtherOrigin { given: String, own: String },
    /// A manifest is a tree head too: nothing is signed that no checkpoint covers.
    #[error("the batch ends at {end}, the newest checkpoint at {checkpoint}; take a checkpoint first")]
    NotCheckpointed { end: u64, checkpoint: u64 },
    #[error(
        "the newest checkpoint, of size {size}, does not verify under the log's keys; run a verification, nothing was signed"
    )]
    BadCheckpoint { size: u64 },
    /// See [`crate::Config::compare_later`].
    #[error("the checkpoints that are kept elsewhere were not compared with this log yet: nothing is signed")]
    NotCompared,
    #[error("the batch does not agree with what was signed: {what}; run a verification, nothing was signed")]
    Disagrees { what: &'static str },
}

/// A batch that lies confirmed in the archive, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedBatch {
    pub archived_at: Timestamp,
    pub start: u64,
    pub end: u64,
    pub revision: u64,
    pub manifest_sha256: Hash,
    pub jsonl_key: String,
    pub manifest_key: String,
    pub bytes_uncompressed: u64,
}

impl AuditLog {
    /// The keys that the log's checkpoints and manifests verify under, retired ones included.
    pub fn key_ring(&self) -> &KeyRing {
        self.inner.keys.ring()
    }

    /// The tree of the first `size` events, from the store's tiles.
    ///
    /// # Errors
    /// When the store cannot be read, or has no such tree.
    pub async fn tree_at(&self, size: u64) -> Result<Frontier, StoreError> {
        let broken = || StoreError::Corrupt { what: format!("the tiles of the log's tree at size {size}"), source: None };
        tree::frontier_at(&*self.inner.store, size).await?.map_err(|_| broken())
    }

    /// Signs a manifest with the keys that sign checkpoints now, if what it says about the tree follows from the newest one.
    ///
    /// # Errors
    /// See [`SignManifestError`]; nothing was signed.
    pub async fn sign_manifest(&self, manifest: &mut Manifest) -> Result<(), SignManifestError> {
        let inner = &*self.inner;
        if manifest.origin != inner.origin {
            let (given, own) = (manifest.origin.to_string(), inner.origin.to_string());
            return Err(SignManifestError::OtherOrigin { given, own });
        }
        if self.awaits_comparison() {
            return Err(SignManifestError::NotCompared);
        }
        let (before, end) = (manifest.start.get() - 1, manifest.end.get());
        let newest = inner.store.latest_checkpoint().await?;
        let checkpoint = newest.as_ref().map_or(0, |newest| newest.size);
        let Some(newest) = newest.filter(|newest| newest.size >= end) else {
            return Err(SignManifestError::NotCheckpointed { end, checkpoint });
        };
        let Opened::Verified(signed) = open(newest.note.as_bytes(), inner.origin.as_str(), inner.keys.ring()) else {
            return Err(SignManifestError::BadCheckpoint { size: newest.size });
        };
        let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
        if size < end {
            return Err(SignManifestError::BadCheckpoint { size: newest.size });
        }
        let start_tree = Frontier::from_peaks(before, manifest.prev_peaks.clone());
        if start_tree.map(|tree| tree.root()) != Ok(manifest.prev_root) {
            return Err(SignManifestError::Disagrees { what: "its prevPeaks do not fold to its prevRootHash" });
        }
        for (first, first_root) in [(before, manifest.prev_root), (end, manifest.root)] {
            if first > 0 && !self.leads(first, first_root, size, root).await? {
                return Err(SignManifestError::Disagrees { what: "the newest checkpoint does not extend its roots" });
            }
        }
        for key in inner.keys.signing() {
            manifest.sign(key);
        }
        Ok(())
    }

    /// Records `audit.archived`; the same batch again is known by its range and gets the old receipt.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub async fn record_archived(&self, batch: &ArchivedBatch) -> Result<Receipt, RecordError> {
        let inner = &*self.inner;
        let own = OwnEvents { queue: inner.queue.clone(), secret: inner.secret.clone(), world: inner.world.clone() };
        let ArchivedBatch { start, end, revision, .. } = *batch;
        let data = vec![
            ("archivedAt".to_owned(), Value::from(batch.archived_at.to_string())),
            ("startSeq".to_owned(), number(start)),
            ("endSeq".to_owned(), number(end)),
            ("eventCount".to_owned(), number(end - start + 1)),
            ("revision".to_owned(), number(revision)),
            ("manifestSha256".to_owned(), Value::from(batch.manifest_sha256.to_hex())),
            ("jsonlKey".to_owned(), Value::from(batch.jsonl_key.as_str())),
            ("manifestKey".to_owned(), Value::from(batch.manifest_key.as_str())),
            ("bytesUncompressed".to_owned(), number(batch.bytes_uncompressed)),
        ];
        own.record("audit.archived", "success", Some(&format!("archived-{start}-{end}-r{revision}")), data).await
    }

    /// Records `audit.log_continued`, which begins a log that succeeds another: the predecessor's last known checkpoint, verified by
    /// the caller. The same again gets the old receipt; whoever wants it to be the first event looks at its `seq`.
    ///
    /// # Errors
    /// As [`AuditLog::record`]; refused when this log has quoted another checkpoint.
    pub async fn continue_from(&self, note: &str, last: &Checkpoint) -> Result<Receipt, RecordError> {
        let inner = &*self.inner;
        let own = OwnEvents { queue: inner.queue.clone(), secret: inner.secret.clone(), world: inner.world.clone() };
        let data = vec![
            ("origin".to_owned(), Value::from(last.origin.as_str())),
            ("size".to_owned(), number(last.size)),
            ("rootHash".to_owned(), Value::from(last.root.to_base64())),
            ("note".to_owned(), Value::from(note)),
        ];
        own.record("audit.log_continued", "success", Some("log-continued"), data).await
    }

    /// Whether the tree of `size` events with `root` extends the one of `first` events with `first_root`.
    async fn leads(&self, first: u64, first_root: Hash, size: u64, root: Hash) -> Result<bool, StoreError> {
        let Ok(wanted) = tiles_for_consistency(first, size) else { return Ok(false) };
        let mut tree = tree::tree(&*self.inner.store, size, wanted).await?;
        let Ok(proof) = tree.consistency(first) else { return Ok(false) };
        Ok(verify_consistency(first, size, &proof, &first_root, &root).is_ok())
    }
}
