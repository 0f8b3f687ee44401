//! The command line.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, value_parser};

use crate::settings::{Given, SETTINGS, Setting, SettingError};

/// Names the TOML file where `--config` does not.
pub(crate) const CONFIG_VARIABLE: &str = "AUDIT_CONFIG";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    CheckConfig,
}

/// What was asked for, and all settings that were given. Ends the process where clap does: `--help`, a wrong flag.
///
/// # Errors
/// When the file or the environment cannot be read.
pub(crate) fn parse() -> Result<(Command, Given), SettingError> {
    let matches = command().get_matches();
    let (name, matches) = matches.subcommand().unwrap_or(("serve", &matches));
    let command = if name == "check-config" { Command::CheckConfig } else { Command::Serve };
    Ok((command, given(matches, environment()?)?))
}

/// The variables that are, or look like, settings.
fn environment() -> Result<Vec<(String, String)>, SettingError> {
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = ours.filter(|(name, _)| name.starts_with("AUDIT_"));
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
    let check = clap::Command::new("check-config").about("Check the settings, and show each with where it comes from");
    clap::Command::new("platform-api")
        .about("A tamper-evident audit log over HTTP")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(serve))
        .subcommand(with_settings(check))
}

fn with_settings(command: clap::Command) -> clap::Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("A TOML file with settings: the keys in brackets [env: {CONFIG_VARIABLE}]"));
    let after = "Flags go before the environment, that before the file. AUDIT_SIGNING_KEY [signing_key] has no flag, since others could read it.";
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
