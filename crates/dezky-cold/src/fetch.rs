//! Reading a batch back from the depot, and verifying it as everyone would.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use dezky_audit_core::archive::{MAX_MANIFEST, Manifest, ObjectKind, ObjectName, Plan, PlannedBatch};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, BatchSteps, Conclude, Stepper, Trust};

use crate::depot::{Body, Depot, DepotError, ObjectKey};

/// The findings of one batch that are looked at.
const MAX_FINDINGS: usize = 10;

/// A manifest file, whole; `None` when there is none. A file that is too long comes cut, so it will not parse.
pub(crate) async fn manifest_file(depot: &dyn Depot, name: ObjectName) -> Result<Option<Vec<u8>>, DepotError> {
    let key = ObjectKey::from(name);
    let Some(body) = depot.get(&key).await? else { return Ok(None) };
    let read = move || {
        let mut bytes = Vec::new();
        body.take(MAX_MANIFEST as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    blocking(depot, &key, read).await.map(Some)
}

/// The checked lines of an events object; `None` when there is none.
pub(crate) async fn steps(depot: &dyn Depot, name: ObjectName) -> Result<Option<BatchSteps>, DepotError> {
    let key = ObjectKey::from(name);
    let Some(body) = depot.get(&key).await? else { return Ok(None) };
    blocking(depot, &key, move || BatchSteps::read(body, &mut Stepper::new())).await.map(Some)
}

/// The same, and the object as it was read, in a temporary file without a name, at its beginning.
pub(crate) async fn spooled(
    depot: &dyn Depot,
    name: ObjectName,
    scratch: &Path,
) -> Result<Option<(File, BatchSteps)>, DepotError> {
    let key = ObjectKey::from(name);
    let Some(body) = depot.get(&key).await? else { return Ok(None) };
    let scratch = scratch.to_owned();
    let spool = move || {
        let mut file = tempfile::tempfile_in(scratch)?;
        let steps = BatchSteps::read(Tee { from: body, to: &file }, &mut Stepper::new())?;
        file.rewind()?;
        Ok((file, steps))
    };
    blocking(depot, &key, spool).await.map(Some)
}

/// Verifies one batch by itself: its manifest under a known key, its object, its lines.
///
/// The error is what is wrong with it, for people.
pub(crate) fn judge(
    trust: &Trust,
    names: (ObjectName, ObjectName),
    manifest: &[u8],
    steps: BatchSteps,
    now: Timestamp,
) -> Result<Manifest, String> {
    let parsed = Manifest::parse(manifest).map_err(|error| format!("its manifest is malformed: {error}"))?;
    let (manifest_name, events) = names;
    let plan = Plan::new([manifest_name.to_string().as_str(), events.to_string().as_str()]);
    let from = (parsed.start.get() > 1).then_some(manifest_name.start);
    let mut walk = ArchiveWalk::new(trust, &plan, from, MAX_FINDINGS);
    let planned = PlannedBatch { manifest: manifest_name, events, events_present: true };
    walk.batch(&planned, Ok(parsed.clone()), BatchEvents::Read(steps));
    let report = walk.finish(Conclude { now, max_age_seconds: None, ends_early: true });
    match report.findings.first() {
        Some(finding) => Err(finding.message.clone()),
        None if report.exit_code != 0 => Err("none of the log's keys has signed its manifest".to_owned()),
        None => Ok(parsed),
    }
}

/// Both names of a batch.
pub(crate) const fn names(manifest: ObjectName) -> (ObjectName, ObjectName) {
    (ObjectName { kind: ObjectKind::Manifest, ..manifest }, ObjectName { kind: ObjectKind::Events, ..manifest })
}

async fn blocking<T: Send + 'static>(
    depot: &dyn Depot,
    key: &ObjectKey,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, DepotError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(io::Error::other("the program is ending"))).map_err(|error| unread(depot, key, error))
}

/// An object that broke off while it was read.
pub(crate) fn unread(depot: &dyn Depot, key: &ObjectKey, error: io::Error) -> DepotError {
    DepotError::Get {
        key: key.to_string(),
        place: depot.place(),
        hint: "it broke off, or the temporary file is full; see the cause, and try again".to_owned(),
        source: Some(error.into()),
    }
}

/// Keeps what is read.
struct Tee<'a> {
    from: Body,
    to: &'a File,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.to.write_all(&buffer[..length])?;
        Ok(length)
    }
}

/// A spooled object, to be read again.
pub(crate) fn again(file: File) -> BufReader<File> {
    BufReader::new(file)
}
