//! `dezky-verify archive`: a folder of batches, and perhaps the events that follow them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dezky_audit_core::archive::{Manifest, ManifestError, Plan, PlannedBatch};
use dezky_audit_core::ids::Seq;
use dezky_audit_core::seal::SealKeys;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, BatchSteps, Report};

use crate::arguments::{Archive, Common};
use crate::input::{progress, read_small};
use crate::{events, pool, trust};

pub(crate) fn verify(arguments: &Archive, common: &Common) -> Result<Report> {
    let trusted = trust::load(common)?;
    let seal_keys = trust::seal_keys(common, &trusted)?;
    let names = list(&arguments.dir)?;
    let mut plan = Plan::new(names.iter().map(String::as_str));
    let from = arguments.from.map(|from| Seq::new(from).context("--from is a position: it begins at 1")).transpose()?;
    if let Some(from) = from {
        let known = plan.batches.iter().any(|batch| batch.manifest.start == from);
        ensure!(known, "no batch starts at {from}; --from takes the first event of a batch");
        plan.batches.retain(|batch| batch.manifest.start >= from);
    }
    let mut walk = ArchiveWalk::new(&trusted, &plan, from, common.max_findings);
    trust::add_checkpoints(walk.rest(), &trusted, &arguments.checkpoints)?;
    let bar = progress(plan.batches.len() as u64, "{bar:40} {pos}/{len} batches, {eta} left");
    let mut failed = None;
    pool::in_order(
        plan.batches.iter(),
        |batch| read_batch(&arguments.dir, batch, seal_keys.as_ref()).map(|read| (batch, read)),
        |read| match read {
            Ok((batch, (manifest, events))) => {
                walk.batch(batch, manifest, events);
                bar.inc(1);
            }
            Err(error) => failed = failed.take().or(Some(error)),
        },
    );
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(rest) = &arguments.rest {
        events::walk_file(walk.rest(), rest, seal_keys.as_ref())?;
    }
    Ok(walk.finish(trust::conclude(common, arguments.rest.is_none())?))
}

fn read_batch(
    dir: &Path,
    batch: &PlannedBatch,
    seal_keys: Option<&(SealKeys, String)>,
) -> Result<(Result<Manifest, ManifestError>, BatchEvents)> {
    let manifest = Manifest::parse(&read_small(&dir.join(batch.manifest.to_string()))?);
    let path = dir.join(batch.events.to_string());
    let events = match File::open(&path) {
        Ok(file) => BatchEvents::Read(
            BatchSteps::read(file, &mut trust::stepper(seal_keys)).with_context(|| format!("cannot read {}", path.display()))?,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BatchEvents::Missing,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    Ok((manifest, events))
}

/// The names under `events` and `manifests`, relative to the folder, with whatever lies in folders below them.
fn list(dir: &Path) -> Result<Vec<String>> {
    ensure!(dir.is_dir(), "{} is not a folder", dir.display());
    let mut names = Vec::new();
    for folder in ["events", "manifests"] {
        if dir.join(folder).is_dir() {
            list_below(dir, folder, &mut names)?;
        }
    }
    if names.is_empty() {
        bail!("{} holds no archive: there is nothing in events/ or manifests/", dir.display());
    }
    Ok(names)
}

fn list_below(dir: &Path, folder: &str, names: &mut Vec<String>) -> Result<()> {
    let path = dir.join(folder);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { list_below(dir, &name, names)? } else { names.push(name) }
    }
    Ok(())
}
