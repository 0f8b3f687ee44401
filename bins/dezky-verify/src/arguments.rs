//! The command line: what was typed, nothing computed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Verifies an audit log: exports, archives, single proofs and checkpoints.
///
/// Exit codes: 0 intact, proven and as fresh as asked; 1 tampered; 2 nothing concluded; 3 something is missing;
/// 4 intact as far as it goes, not proven.
#[derive(Debug, Parser)]
#[command(name = "dezky-verify", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify an export: lines of events, plain or gzip
    Events(Events),
    /// Verify an archive: a folder or a bucket with events/ and manifests/
    Archive(Archive),
    /// Verify the proof of one event
    Proof(Proof),
    /// Verify a checkpoint by itself
    Checkpoint(Checkpoint),
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The lines; - reads standard input
    pub(crate) file: PathBuf,
    /// A checkpoint that the events must lead to: a note, or the JSON record; may be given again
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// The events are one tenant's stream
    #[arg(long, value_name = "SLUG", conflicts_with = "filtered")]
    pub(crate) tenant: Option<String>,
    /// The export was filtered: only the hash of each event is checked
    #[arg(long)]
    pub(crate) filtered: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// The folder that holds events/ and manifests/, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR|s3://BUCKET/PREFIX")]
    pub(crate) place: PathBuf,
    /// Begin with the batch that starts at this event
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<u64>,
    /// A checkpoint that the events must lead to; may be given again
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// The events that follow the archive, as lines
    #[arg(long, value_name = "FILE")]
    pub(crate) rest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// The .tlog-proof
    pub(crate) file: PathBuf,
    /// The proof must be of this event: its line
    #[arg(long, value_name = "FILE")]
    pub(crate) event: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    /// The note, or the JSON record
    pub(crate) file: PathBuf,
    /// The checkpoint is of this tenant's stream
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// A key of the log: a vkey, VKEY@SIZE to bound it, or a file with one a line; may be given again.
    /// DEZKY_VERIFY_KEYS holds more, separated by spaces
    #[arg(long = "key", value_name = "VKEY|FILE", global = true)]
    pub(crate) keys: Vec<String>,
    /// The log's name, where the keys do not tell
    #[arg(long, global = true)]
    pub(crate) origin: Option<String>,
    /// Logs, witnesses and the quorum to trust, as a tlog-policy file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) policy: Option<PathBuf>,
    /// The secret of an HMAC-SHA-256 key of the log. Whoever can check with it can forge with it
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) hmac_key_file: Option<PathBuf>,
    /// Keys that open sealed parts: a kid and its key on each line, both in hex
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) seal_keys: Option<PathBuf>,
    /// One JSON report on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Name at most this many findings; the rest are counted
    #[arg(long, value_name = "N", default_value_t = 100, global = true)]
    pub(crate) max_findings: usize,
    /// How old the newest proven state may be: 90s, 2h, 7days
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration, global = true)]
    pub(crate) max_age: Option<std::time::Duration>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
