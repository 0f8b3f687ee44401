//! `dezky-verify archive`: a folder or a bucket of batches, and perhaps the events that follow them.

use anyhow::{Context, Result, ensure};
use dezky_audit_core::archive::{Manifest, ManifestError, Plan, PlannedBatch};
use dezky_audit_core::ids::Seq;
use dezky_audit_core::seal::SealKeys;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, BatchSteps, Report};

use crate::arguments::{Archive, Common};
use crate::input::progress;
use crate::source::{self, Source};
use crate::{events, pool, trust};

pub(crate) fn verify(arguments: &Archive, common: &Common) -> Result<Report> {
    let trusted = trust::load(common)?;
    let seal_keys = trust::seal_keys(common, &trusted)?;
    let source = source::of(&arguments.place)?;
    let names = source.list()?;
    ensure!(!names.is_empty(), "{} holds no archive: there is nothing in events/ or manifests/", source.place());
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
        |batch| read_batch(&*source, batch, seal_keys.as_ref()).map(|read| (batch, read)),
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
    source: &dyn Source,
    batch: &PlannedBatch,
    seal_keys: Option<&(SealKeys, String)>,
) -> Result<(Result<Manifest, ManifestError>, BatchEvents)> {
    let manifest = Manifest::parse(&source.small(&batch.manifest.to_string())?);
    let name = batch.events.to_string();
    let events = match source.open(&name)? {
        Some(object) => BatchEvents::Read(
            BatchSteps::read(object, &mut trust::stepper(seal_keys))
                .with_context(|| format!("cannot read {name} in {}", source.place()))?,
        ),
        None => BatchEvents::Missing,
    };
    Ok((manifest, events))
}
