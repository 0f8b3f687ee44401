//! The command line.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::backend::Backend;
use crate::cold::Errand;
use crate::legacy;
use crate::recover::Predecessor;
use crate::settings::{Given, SETTINGS, Setting, SettingError};
use crate::token::{Deed, TokenCommand};

/// Names the TOML file where `--config` does not.
pub(crate) const CONFIG_VARIABLE: &str = "AUDIT_CONFIG";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// With `demo` on a log of its own that holds invented events.
    Serve {
        demo: bool,
    },
    CheckConfig,
    /// Keys that several processes share, made in `dir`.
    MakeKeys {
        dir: PathBuf,
    },
    /// A log goes from one store to another.
    Copy {
        from: Backend,
        to: Backend,
    },
    /// What a file of samples of a source would become.
    TrySamples {
        source: String,
        file: PathBuf,
    },
    /// Tokens of services.
    Token(TokenCommand),
    /// Something about the archives.
    Archive(Errand),
    /// A new log continues one that has lost events.
    Recover(Predecessor),
    /// An older collection goes into the log; from its beginning if `again`.
    MigrateLegacy {
        from: legacy::Origin,
        again: bool,
    },
}

/// What was asked for, and all settings that were given. Ends the process where clap does: `--help`, a wrong flag.
///
/// # Errors
/// When the file or the environment cannot be read.
pub(crate) fn parse() -> Result<(Command, Given), SettingError> {
    let matches = command().get_matches();
    let (command, matches) = asked(&matches);
    Ok((command, given(matches, environment()?)?))
}

fn asked(matches: &ArgMatches) -> (Command, &ArgMatches) {
    let backend = |matches: &ArgMatches, name: &str| matches.get_one::<Backend>(name).cloned().expect("clap requires it");
    match matches.subcommand() {
        Some(("check-config", matches)) => (Command::CheckConfig, matches),
        Some(("make-keys", matches)) => {
            let dir = matches.get_one::<PathBuf>("dir").cloned().expect("clap requires it");
            (Command::MakeKeys { dir }, matches)
        }
        Some(("copy", matches)) => (Command::Copy { from: backend(matches, "from"), to: backend(matches, "to") }, matches),
        Some(("ingest", matches)) => {
            let (_, matches) = matches.subcommand().expect("clap requires it");
            let source = matches.get_one::<String>("source").cloned().expect("clap requires it");
            (
                Command::TrySamples { source, file: matches.get_one::<PathBuf>("file").cloned().expect("clap requires it") },
                matches,
            )
        }
        Some(("migrate", matches)) => {
            let (_, matches) = matches.subcommand().expect("clap requires it");
            let from = match backend(matches, "from") {
                Backend::Sqlite(path) => legacy::Origin::File(path),
                Backend::Database(uri) => {
                    let collection = matches.get_one::<String>("collection").cloned().expect("clap has a default");
                    legacy::Origin::Collection { uri: uri.text().to_owned(), collection }
                }
            };
            (Command::MigrateLegacy { from, again: matches.get_flag("again") }, matches)
        }
        Some(("token", matches)) => token(matches),
        Some(("archive", matches)) => {
            let (name, matches) = matches.subcommand().expect("clap requires it");
            let number = |name: &str| matches.get_one::<u64>(name).copied();
            let errand = match name {
                "run" => Errand::Run,
                "list" => Errand::List,
                _ => match matches.get_one::<Backend>("to") {
                    Some(to) => Errand::RestoreAll { to: to.clone() },
                    None => Errand::Restore {
                        start: number("start").expect("clap requires it"),
                        days: number("days").expect("clap has a default"),
                    },
                },
            };
            (Command::Archive(errand), matches)
        }
        Some(("recover", matches)) => {
            let paths = |name: &str| matches.get_many::<PathBuf>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
            let predecessor = Predecessor {
                dir: paths("from").pop(),
                archives: paths("archives").pop(),
                checkpoints: paths("checkpoint"),
                keys: matches.get_many::<String>("key").into_iter().flatten().cloned().collect(),
            };
            (Command::Recover(predecessor), matches)
        }
        Some((_, matches)) => (Command::Serve { demo: matches.get_flag("demo") }, matches),
        None => (Command::Serve { demo: false }, matches),
    }
}

fn token(matches: &ArgMatches) -> (Command, &ArgMatches) {
    let (name, matches) = matches.subcommand().expect("clap requires it");
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let required = |name: &str| text(name).expect("clap requires it");
    let deed = match name {
        "create" => Deed::Create {
            name: required("name"),
            role: required("role"),
            tenants: matches.get_many("tenant").into_iter().flatten().cloned().collect(),
            source: text("source"),
            days: matches.get_one("days").copied(),
        },
        "revoke" => Deed::Revoke { id: required("id") },
        _ => Deed::List,
    };
    let token_file = matches.get_one::<PathBuf>("token-file").cloned();
    (Command::Token(TokenCommand { url: text("url"), token_file, deed }), matches)
}

/// The variables that are, or look like, settings.
fn environment() -> Result<Vec<(String, String)>, SettingError> {
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = ours.filter(|(name, _)| name.starts_with("AUDIT_") || SETTINGS.iter().any(|setting| setting.variable() == *name));
    ours.map(|(variable, value)| match value.into_string() {
        Ok(value) => Ok((variable, value)),
        Err(_) => Err(SettingError::NotUtf8 { variable }),
    })
    .collect()
}

fn given(matches: &ArgMatches, environment: Vec<(String, String)>) -> Result<Given, SettingError> {
    let named = environment.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
    let file = matches.get_one::<PathBuf>("config").map(PathBuf::as_path).or_else(|| named.map(|(_, value)| Path::new(value)));
    let mut given = Given::default();
    if let Some(file) = file {
        given.file(file)?;
    }
    given.environment(environment);
    for setting in SETTINGS.iter().filter(|setting| !setting.secret) {
        if let Some(text) = matches.get_one::<String>(setting.key) {
            given.flag(setting, text.clone());
        }
    }
    Ok(given)
}

fn command() -> clap::Command {
    let serve = clap::Command::new("serve").about("Serve the log over HTTP; SIGTERM or Ctrl-C stops it in order");
    let demo = Arg::new("demo")
        .long("demo")
        .action(ArgAction::SetTrue)
        .help("Look around first: a log of its own, in a folder beside the data folder, with a week of two invented tenants");
    let check = clap::Command::new("check-config").about("Check the settings, and show each with where it comes from");
    let keys = clap::Command::new("make-keys")
        .about("Make what all processes with one database share: log.key, ingest.secret, operator.token")
        .arg(
            Arg::new("dir")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Where to; what is there stays"),
        );
    let copy = clap::Command::new("copy")
        .about("Copy a log from one store to another, line by line, and verify it there; goes on where it was interrupted")
        .arg(place("from", "The log: a file (audit.db) or mongodb://…"))
        .arg(place("to", "An empty store, or one that holds the beginning of the same log"));
    let legacy = clap::Command::new("legacy")
        .about("Take an older, unchained collection of audit events into the log, oldest first; exit code 1 if any was refused")
        .arg(place("from", "mongodb://…, or a file that mongoexport has written (one document a line)"))
        .arg(
            Arg::new("collection")
                .long("collection")
                .value_name("NAME")
                .default_value("audit_events")
                .help("The collection, of a database"),
        )
        .arg(
            Arg::new("again")
                .long("again")
                .action(ArgAction::SetTrue)
                .help("Begin at the oldest event again; what is in the log already stays as it is"),
        );
    let word =
        |name: &'static str, value: &'static str, help: &'static str| Arg::new(name).long(name).value_name(value).help(help);
    let asking = |command: clap::Command| {
        let url =
            word("url", "URL", "The service; default: where the settings say that it listens. https, or http on this machine");
        let token = word("token-file", "FILE", "A file with a token of the role operator; default: the operator's own");
        with_settings(command.arg(url).arg(token.value_parser(value_parser!(PathBuf))))
    };
    let create = clap::Command::new("create")
        .about("Make a token; it is printed once and never again")
        .arg(word("name", "TEXT", "What it is for").required(true))
        .arg(word("role", "ROLE", "operator, auditor, tenant-auditor or recorder").required(true))
        .arg(word("tenant", "SLUG", "A tenant of a tenant-auditor; may be given more than once").action(ArgAction::Append))
        .arg(word("source", "SLUG", "The source of a recorder"))
        .arg(word("days", "N", "How long it lives: 1 to 365, default 90").value_parser(value_parser!(u16)));
    let revoke =
        clap::Command::new("revoke").about("Revoke a token, for ever").arg(Arg::new("id").value_name("ID").required(true));
    let token = clap::Command::new("token")
        .about("Tokens of services, by asking the running service as its operator")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(asking(create))
        .subcommand(asking(clap::Command::new("list").about("List all tokens with their last use")))
        .subcommand(asking(revoke));
    let migrate = clap::Command::new("migrate")
        .about("Take events from elsewhere into the log")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(legacy));
    let samples =
        clap::Command::new("try")
            .about("Show what a file of samples would become, and record nothing; exit code 1 if any could not be read")
            .arg(Arg::new("source").long("source").value_name("NAME").required(true).help(
                "authentik, stalwart, ocis (lines of its file), ocis-bus (messages), or a [[generic]] of the file in --config",
            ))
            .arg(
                Arg::new("file")
                    .value_name("FILE")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("JSON as the source sends it: one value, an array, or one a line; - is stdin"),
            );
    let ingest = clap::Command::new("ingest")
        .about("What other systems say")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(samples));
    let run = clap::Command::new("run").about("Archive what is old enough now, whether ARCHIVE_ENABLED or not");
    let list = clap::Command::new("list").about("List the batches in the archive, the newest first");
    let restore = clap::Command::new("restore")
        .about("Bring a batch back into hot storage for some days, or all batches into an empty store")
        .arg(
            Arg::new("start")
                .value_name("SEQ")
                .required_unless_present("all")
                .conflicts_with("all")
                .value_parser(value_parser!(u64))
                .help("The first event of the batch, as archive list shows it"),
        )
        .arg(
            Arg::new("days")
                .long("days")
                .value_name("N")
                .default_value("7")
                .value_parser(value_parser!(u64).range(1..=3_650))
                .help("For how long"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .requires("to")
                .help("Rebuild the whole log from the archive alone, in the store that --to names"),
        )
        .arg(place("to", "An empty store, or one that an earlier call has begun to fill").required(false).requires("all"));
    let archive = clap::Command::new("archive")
        .about("Archive events, list archives, bring events back; where the log is a file, with the service stopped")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(run))
        .subcommand(with_settings(list))
        .subcommand(with_settings(restore));
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    let recover = clap::Command::new("recover")
        .about(
            "Start a new log that quotes the last known checkpoint of one whose events are lost; the settings are the new log's",
        )
        .arg(path("from", "DIR", "The old log's data folder: its keys, the checkpoint beside them, its archives"))
        .arg(path(
            "archives",
            "DIR|s3://BUCKET/PREFIX",
            "The old log's archives, where they are not cold/ in there; a bucket on the server that cold.endpoint names",
        ))
        .arg(path("checkpoint", "FILE", "A signed note of the old log; may be repeated").action(ArgAction::Append))
        .arg(
            Arg::new("key")
                .long("key")
                .value_name("VKEY")
                .action(ArgAction::Append)
                .help("A key of the old log, where its keys folder is lost; may be repeated"),
        );
    clap::Command::new("platform-api")
        .about("A tamper-evident audit log over HTTP")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(serve).arg(demo))
        .subcommand(with_settings(check))
        .subcommand(with_settings(keys))
        .subcommand(with_settings(copy))
        .subcommand(migrate)
        .subcommand(ingest)
        .subcommand(token)
        .subcommand(archive)
        .subcommand(with_settings(recover))
}

fn place(name: &'static str, help: &'static str) -> Arg {
    let help = format!("{help}; env:NAME takes it from the variable NAME");
    Arg::new(name).long(name).value_name("PLACE").required(true).value_parser(Backend::parse).help(help)
}

fn with_settings(command: clap::Command) -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("A TOML file with settings: the keys in brackets [env: {CONFIG_VARIABLE}]"));
    let after = "Flags go before the environment, that before the file. AUDIT_SIGNING_KEY [signing_key] and MONGODB_URI [mongodb.uri] have no flag, since others could read it.";
    command.arg(config).args(SETTINGS.iter().filter(|setting| !setting.secret).map(argument)).after_help(after)
}

fn argument(setting: &Setting) -> Arg {
    let default = setting.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let help = format!("{}{default} [env: {}] [{}]", setting.help, setting.variable(), setting.key);
    Arg::new(setting.key).long(setting.flag()).value_name(setting.value).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_but_secrets_is_a_flag() {
        for setting in SETTINGS.iter().filter(|setting| !setting.secret) {
            let matches = command().get_matches_from(["platform-api", "serve", &format!("--{}", setting.flag()), "x"]);
            let (_, matches) = matches.subcommand().unwrap();
            let given = given(matches, Vec::new()).unwrap();
            assert_eq!(given.get(setting.key), Some("x"));
        }
    }
}
