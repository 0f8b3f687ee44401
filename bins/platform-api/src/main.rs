//! The service: `platform-api serve` runs it, `platform-api check-config` says how it would run.

mod cli;
mod data_dir;
mod hints;
mod settings;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use cli::Command;
use settings::Settings;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone, nobody is left to tell.
            io::stderr().write_all(hints::described(&error).as_bytes()).ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (command, given) = cli::parse()?;
    let settings = Settings::resolve(&given)?;
    match command {
        Command::CheckConfig => Ok(io::stdout().write_all(settings.shown(&given).as_bytes())?),
        Command::Serve => wire::serve(settings),
    }
}
