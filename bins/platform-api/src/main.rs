//! The service: `platform-api serve` runs it, `platform-api check-config` says how it would run. Beside it what an operator
//! does now and then: make keys, copy a log to another store, take an older collection in, archive and restore, try how samples
//! of a source would be mapped, give services their tokens.

mod backend;
mod bar;
mod cli;
mod cold;
mod data_dir;
mod hints;
mod legacy;
mod moving;
mod once;
mod placement;
mod recover;
mod samples;
mod settings;
mod sources;
mod token;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use cli::Command;
use settings::Settings;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // Where stderr is gone, nobody is left to tell.
            io::stderr().write_all(hints::described(&error).as_bytes()).ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let (command, mut given) = cli::parse()?;
    if let Command::MakeKeys { dir } = command {
        return once::make_keys(&dir, given.optional("log.origin", settings::origin)?);
    }
    if let Command::TrySamples { source, file } = command {
        return samples::try_out(&samples::Source::named(&source, &given)?, &file);
    }
    if command == (Command::Serve { demo: true }) {
        given.for_demonstration()?;
    }
    let settings = Settings::resolve(&given)?;
    match command {
        Command::CheckConfig => io::stdout().write_all(settings.shown(&given).as_bytes())?,
        Command::Copy { from, to } => return once::copy(&from, &to, &settings),
        Command::MigrateLegacy { from, again } => return once::migrate_legacy(&from, again, settings),
        Command::Token(command) => return token::run(command, &settings),
        Command::Archive(errand) => return once::archive(&errand, settings),
        Command::Recover(predecessor) => return once::recover(&predecessor, settings),
        Command::Serve { demo } => wire::serve(settings, demo)?,
        Command::MakeKeys { .. } | Command::TrySamples { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
