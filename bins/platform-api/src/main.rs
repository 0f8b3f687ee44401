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
            // Nobody is left to tell when stderr is gone.
            let _ = write!(io::stderr(), "{}", hints::described(&error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (command, given) = cli::parse();
    let given = given?;
    let settings = Settings::resolve(&given)?;
    match command {
        Command::CheckConfig => Ok(io::stdout().write_all(settings.shown(&given).as_bytes())?),
        Command::Serve => wire::serve(settings),
    }
}
