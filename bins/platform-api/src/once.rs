//! What an operator does once, beside serving: make keys, copy a log, take an older collection in.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use dezky_api::OperatorToken;
use dezky_audit::{SharedKeys, SystemRandomness};
use dezky_audit_core::ids::Origin;

use crate::backend::Backend;
use crate::bar::Bar;
use crate::cold::{self, Errand};
use crate::data_dir::DataDir;
use crate::recover::{self, Predecessor};
use crate::settings::Settings;
use crate::{legacy, moving, wire};

/// Makes what processes with one database share, and says how they get it.
pub(crate) fn make_keys(dir: &Path, origin: Option<Origin>) -> anyhow::Result<ExitCode> {
    let origin = origin.context("which log are the keys for? Name it for ever, such as --log-origin audit.example.eu/main")?;
    let keys = SharedKeys::make(dir, &origin, &SystemRandomness).context("the keys could not be made")?;
    let dir = std::fs::canonicalize(dir).context("the folder of the keys")?;
    let token = dir.join("operator.token");
    OperatorToken::load_or_create(&token).context("the operator's token could not be made")?;
    let vkeys: Vec<_> = keys.ring().keys().iter().filter_map(|known| known.key.vkey()).collect();
    let text = format!(
        "For every process that writes to the log {origin}, with these very files:\n\n\
         AUDIT_SHARED_LOG_KEY_FILE={dir}/log.key\nAUDIT_SHARED_INGEST_SECRET_FILE={dir}/ingest.secret\n\
         AUDIT_SHARED_OPERATOR_TOKEN_FILE={token}\n\nFor whoever verifies the log: {}\n",
        vkeys.join(" "),
        dir = dir.display(),
        token = token.display(),
    );
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Copies a log to another store.
pub(crate) fn copy(from: &Backend, to: &Backend, settings: &Settings) -> anyhow::Result<ExitCode> {
    wire::trace(&settings.trace_filter)?;
    let said = wire::runtime()?.block_on(moving::run(from, to, settings))?;
    io::stdout().write_all(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Archives, lists archives, or brings events back.
pub(crate) fn archive(errand: &Errand, settings: Settings) -> anyhow::Result<ExitCode> {
    wire::trace(&settings.trace_filter)?;
    let said = wire::runtime()?.block_on(cold::run(errand, settings))?;
    io::stdout().write_all(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a log that continues another.
pub(crate) fn recover(predecessor: &Predecessor, settings: Settings) -> anyhow::Result<ExitCode> {
    wire::trace(&settings.trace_filter)?;
    let said = wire::runtime()?.block_on(recover::run(predecessor, settings))?;
    io::stdout().write_all(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Takes an older collection into the log; 1 when something was refused.
pub(crate) fn migrate_legacy(from: &legacy::Origin, again: bool, settings: Settings) -> anyhow::Result<ExitCode> {
    wire::trace(&settings.trace_filter)?;
    let tally = wire::runtime()?.block_on(async {
        let dir = DataDir::claim(&settings.data_dir).context("the data folder cannot be used")?;
        let drain_time = settings.http.limits.drain_time;
        let depot = cold::depot(&settings).await.context("the archives")?;
        let log = wire::open_log(settings, &dir, depot.as_ref()).await?;
        let bar = Bar::new();
        bar.doing("migrating");
        let migrated = legacy::migrate(&log, from, again, &bar).await;
        bar.end();
        let drained = log.shutdown(drain_time).await;
        anyhow::ensure!(drained.complete || migrated.is_err(), "the log could not be closed in time");
        migrated
    })?;
    io::stdout().write_all(tally.shown().as_bytes())?;
    Ok(if tally.refused() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
