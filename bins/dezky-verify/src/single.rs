//! `dezky-verify proof` and `dezky-verify checkpoint`: one small file.

use anyhow::Result;
use dezky_audit_core::verify::{self, Report};

use crate::arguments::{Checkpoint, Common, Proof};
use crate::input::read_small;
use crate::trust;

pub(crate) fn verify_proof(arguments: &Proof, common: &Common) -> Result<Report> {
    let trusted = trust::load(common)?;
    let file = read_small(&arguments.file)?;
    let event = arguments.event.as_deref().map(read_small).transpose()?;
    let place = arguments.file.display().to_string();
    Ok(verify::verify_proof(&trusted, &file, event.as_deref(), &place, trust::conclude(common, false)?))
}

pub(crate) fn verify_checkpoint(arguments: &Checkpoint, common: &Common) -> Result<Report> {
    let mut trusted = trust::load(common)?;
    if let Some(tenant) = trust::tenant(arguments.tenant.as_deref())? {
        trusted = trusted.for_tenant(&tenant);
    }
    let file = read_small(&arguments.file)?;
    let place = arguments.file.display().to_string();
    Ok(verify::verify_checkpoint(&trusted, &file, &place, trust::conclude(common, false)?))
}
