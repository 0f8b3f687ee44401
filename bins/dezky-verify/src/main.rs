//! `dezky-verify`: the auditor's tool. It trusts the keys it is given and nothing else.

mod archive;
mod arguments;
mod events;
mod input;
mod output;
mod pool;
mod single;
mod source;
mod trust;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match &arguments.command {
        Command::Events(events) => events::verify(events, &arguments.common),
        Command::Archive(archive) => archive::verify(archive, &arguments.common),
        Command::Proof(proof) => single::verify_proof(proof, &arguments.common),
        Command::Checkpoint(checkpoint) => single::verify_checkpoint(checkpoint, &arguments.common),
    };
    match report.and_then(|report| output::print(&report, &arguments.common).map(|()| report.exit_code)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::print_error(&error);
            ExitCode::from(NOTHING_CONCLUDED)
        }
    }
}

/// Usage, or nothing could be read.
const NOTHING_CONCLUDED: u8 = 2;
