//! Laying a batch down in the depot: put, read back, verified; or found there, and adopted.
//!
//! An object of the batch's name that is not as it should be (other bytes; not encrypted or locked as is wanted now) cannot be
//! replaced, since nothing is ever overwritten: the batch is then laid down in the next revision, and readers take the highest.

use dezky_audit_core::archive::{Manifest, ObjectName};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::BatchSteps;

use super::cut::Cut;
use super::facts::Packed;
use super::{ArchiveError, Archiver};
use crate::depot::{Content, ObjectKey, Put};
use crate::document::BatchDocument;
use crate::fetch;

/// So many revisions of one batch are tried.
const MAX_REVISIONS: u64 = 8;

/// What came of one revision.
enum Laid {
    Confirmed {
        document: Box<BatchDocument>,
        adopted: bool,
    },
    /// What lies there is not this batch: why.
    Unusable(String),
}

impl Archiver {
    /// Lays the batch down; says what is to be remembered of it, and whether its events object was adopted.
    pub(super) async fn lay(&self, cut: &Cut, created_at: Timestamp) -> Result<(BatchDocument, bool), ArchiveError> {
        for revision in 0..MAX_REVISIONS {
            match self.lay_revision(cut, created_at, revision).await? {
                Laid::Confirmed { document, adopted } => return Ok((*document, adopted)),
                Laid::Unusable(why) => {
                    tracing::error!(end = cut.facts.end(), revision, why, "a batch in the depot is not as it should be");
                }
            }
        }
        let (start, end) = (cut.facts.end() + 1 - cut.facts.count(), cut.facts.end());
        Err(ArchiveError::Unusable { start, end, revisions: MAX_REVISIONS })
    }

    async fn lay_revision(&self, cut: &Cut, created_at: Timestamp, revision: u64) -> Result<Laid, ArchiveError> {
        let manifest = |packed| cut.facts.manifest(self.log.origin(), created_at, revision, packed);
        let expected = manifest(cut.packed).ok_or_else(|| ArchiveError::Memory { what: "an empty batch".to_owned() })?;
        let names = fetch::names(expected.name());

        let content = || cut.file.try_clone().map(Content::File).map_err(ArchiveError::Scratch);
        let own = self.put_new(names.1, cut.packed.gzip_sha256, content).await?;
        let Some(steps) = fetch::steps(&*self.depot, names.1).await? else { return Err(not_there(names.1)) };
        if let Some(why) = differs(&steps, &cut.packed, own) {
            return not_as_put(own, names.1, why);
        }
        if let Some(why) = self.depot.shortfall(&names.1.into()).await? {
            return not_as_put(own, names.1, why);
        }

        // Packed elsewhere, the same lines may have other gzip bytes: the manifest speaks of those that lie there.
        let read = &steps.read;
        let packed = Packed { gzip_bytes: read.gzip_bytes, gzip_sha256: read.gzip_sha256, ..cut.packed };
        let mut expected = manifest(packed).ok_or_else(|| ArchiveError::Memory { what: "an empty batch".to_owned() })?;
        let mut own_manifest = false;
        if self.depot.size(&names.0.into()).await?.is_none() {
            self.log.sign_manifest(&mut expected).await?;
            let file = expected.to_file();
            let sha256 = Hash::of(&file);
            own_manifest = self.put_new(names.0, sha256, || Ok(Content::Bytes(file.clone()))).await?;
        }
        let Some(file) = fetch::manifest_file(&*self.depot, names.0).await? else { return Err(not_there(names.0)) };
        if let Some(why) = self.depot.shortfall(&names.0.into()).await? {
            return not_as_put(own_manifest, names.0, why);
        }
        let (trust, now, manifest_sha256) = (self.trust.clone(), self.clock.now(), Hash::of(&file));
        let judged = tokio::task::spawn_blocking(move || fetch::judge(&trust, names, &file, steps, now));
        let same = |read: &Manifest| {
            Manifest { created_at: read.created_at, signatures: read.signatures.clone(), ..expected.clone() } == *read
        };
        match judged.await.map_err(|_| ArchiveError::Ending)? {
            Ok(read) if same(&read) => {
                let document = Box::new(BatchDocument::new(&read, manifest_sha256, &cut.facts));
                Ok(Laid::Confirmed { document, adopted: !own })
            }
            Ok(_) => not_as_put(own_manifest, names.0, "it speaks of another batch".to_owned()),
            Err(why) => not_as_put(own_manifest, names.0, why),
        }
    }

    /// Puts an object unless one is there; whether it is ours for certain.
    async fn put_new(
        &self,
        name: ObjectName,
        sha256: Hash,
        content: impl FnOnce() -> Result<Content, ArchiveError>,
    ) -> Result<bool, ArchiveError> {
        let key = ObjectKey::from(name);
        if self.depot.size(&key).await?.is_some() {
            return Ok(false);
        }
        Ok(self.depot.put(&key, content()?, sha256).await? == Put::Created)
    }
}

fn not_there(name: ObjectName) -> ArchiveError {
    ArchiveError::ReadBack { key: name.to_string(), why: "it is not there".to_owned() }
}

/// What was just put and comes back otherwise is the depot's doing; what lay there before is passed by.
fn not_as_put(own: bool, name: ObjectName, why: String) -> Result<Laid, ArchiveError> {
    if own { Err(ArchiveError::ReadBack { key: name.to_string(), why }) } else { Ok(Laid::Unusable(format!("{name}: {why}"))) }
}

/// Why an events object that was read back is not the batch.
fn differs(steps: &BatchSteps, packed: &Packed, own: bool) -> Option<String> {
    let read = &steps.read;
    if let Some(fault) = read.fault {
        return Some(fault.to_owned());
    }
    if own && (read.gzip_bytes, read.gzip_sha256) != (packed.gzip_bytes, packed.gzip_sha256) {
        return Some("its bytes are not those that were put".to_owned());
    }
    ((read.bytes, read.sha256) != (packed.bytes, packed.sha256)).then(|| "its lines are not those of hot storage".to_owned())
}
