//! `dezky-verify events`: an export, whole, of one tenant, or filtered.

use std::path::Path;

use anyhow::{Context, Result};
use dezky_audit_core::event::MalformedLine;
use dezky_audit_core::seal::SealKeys;
use dezky_audit_core::verify::{Report, Start, Step, Stepper, Subject, Walk};

use crate::arguments::{Common, Events};
use crate::input::{Chunk, Chunks, open_lines, progress};
use crate::{pool, trust};

pub(crate) fn verify(arguments: &Events, common: &Common) -> Result<Report> {
    let mut trusted = trust::load(common)?;
    let seal_keys = trust::seal_keys(common, &trusted)?;
    let tenant = trust::tenant(arguments.tenant.as_deref())?;
    let subject = match &tenant {
        Some(tenant) => {
            trusted = trusted.for_tenant(tenant);
            Subject::Tenant(tenant.clone())
        }
        None if arguments.filtered => Subject::Filtered,
        None => Subject::Log,
    };
    let mut walk = Walk::new(subject, trusted.origin().cloned(), Start::Beginning, common.max_findings);
    trust::add_checkpoints(&mut walk, &trusted, &arguments.checkpoints)?;
    walk_file(&mut walk, &arguments.file, seal_keys.as_ref())?;
    Ok(walk.finish(trust::conclude(common, false)?))
}

/// Walks the lines of a file; they are checked on all cores.
pub(crate) fn walk_file(walk: &mut Walk, path: &Path, seal_keys: Option<&(SealKeys, String)>) -> Result<()> {
    let bar = progress(0, "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left");
    let chunks = Chunks::new(open_lines(path, &bar)?);
    walk.enter(path.display().to_string());
    let mut failed = None;
    let steps = |chunk| match chunk {
        Chunk::Lines(lines) => Ok(step_lines(&lines, &mut trust::stepper(seal_keys))),
        Chunk::Broken => Ok(vec![broken()]),
        Chunk::Failed(error) => Err(error),
    };
    pool::in_order(chunks, steps, |steps| match steps {
        Ok(steps) => steps.iter().for_each(|step| walk.push(step)),
        Err(error) => failed = Some(error),
    });
    bar.finish_and_clear();
    failed.map_or(Ok(()), |error| Err(error).with_context(|| format!("cannot read {}", path.display())))
}

fn step_lines(lines: &[u8], stepper: &mut Stepper) -> Vec<Step> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\n").map_or_else(|| Stepper::unterminated(line), |line| stepper.step(line))).collect()
}

fn broken() -> Step {
    Step::Malformed(MalformedLine {
        offset: 0,
        pointer: String::new(),
        reason: "the compressed data breaks off or is broken here",
    })
}
