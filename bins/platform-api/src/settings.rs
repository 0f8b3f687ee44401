//! Every setting, once: a flag, an environment variable and a key of the TOML file mean the same.
//!
//! What was typed is gathered as text with the place that it came from ([`Given`]), then read into types
//! ([`Settings`]): flags go before the environment, that before the file, that before the default.

mod access;
mod file;
mod generic;
mod given;
mod list;
mod value;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dezky_api::{BootstrapToken, HttpConfig, Limits};
use dezky_audit::{CheckpointLimits, Config, HmacSecret, OpenError, SharedKeys};
use dezky_cold::S3Settings;
use dezky_cold::depot::{BucketSettings, Lock, S3Credentials};
use dezky_ingest::authentik::{Client, Token};
use dezky_ingest::bus::BusSettings;

use crate::backend::DatabaseUri;
use crate::cold::{ColdSettings, Place};
use crate::sources::SourceSettings;
pub(crate) use generic::GenericSource;
pub(crate) use given::Given;
pub(crate) use list::{SETTINGS, Setting};
pub(crate) use value::{event_kinds, parsed as origin};

/// A setting that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("{from} ({key}): {reason}")]
    Value { key: &'static str, from: String, reason: String },
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("{variable}: not UTF-8")]
    NotUtf8 { variable: String },
    /// Processes that share a database share keys, and none of them makes its own.
    #[error(
        "MONGODB_URI is set, but {variable} ({key}) is not: all processes that write to one database must have the same log key, \
         ingest secret and operator's token"
    )]
    NotShared { key: &'static str, variable: String },
    #[error("{from} ({key}) means something only together with MONGODB_URI (mongodb.uri)")]
    Alone { key: &'static str, from: String },
    #[error("the keys that all processes share cannot be used")]
    Shared(#[source] Box<OpenError>),
    /// `hint` names the nearest known key.
    #[error("{path}: line {line}: unknown key '{key}'; {hint}")]
    UnknownKey { path: PathBuf, line: usize, key: String, hint: String },
}

/// How the service runs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) trace_filter: String,
    /// Where the log lies; `None`: in the data folder.
    pub(crate) database: Option<DatabaseUri>,
    /// The operator's token that all processes share; `None`: each data folder has its own.
    pub(crate) operator_token: Option<PathBuf>,
    pub(crate) log: Config,
    pub(crate) http: HttpConfig,
    pub(crate) sources: SourceSettings,
    pub(crate) cold: ColdSettings,
    /// Names in the environment that look like settings and are none.
    pub(crate) strangers: Vec<String>,
}

impl Settings {
    /// Reads what was given into types.
    ///
    /// # Errors
    /// For the first setting that cannot be understood, by its name and where it was given.
    pub(crate) fn resolve(given: &Given) -> Result<Self, SettingError> {
        let data_dir: PathBuf = given.required("data_dir", value::path)?;
        let mut log = Config::in_dir(&data_dir);
        log.origin = given.optional("log.origin", value::parsed)?;
        log.known_checkpoints = given.optional("log.known_checkpoints", value::checkpoints)?.unwrap_or_default();
        log.signing_secret = signing_secret(given)?;
        let database = given.optional("mongodb.uri", DatabaseUri::new)?;
        let (shared, operator_token) = shared(given, database.is_some())?.unzip();
        if let (Some(shared), Some(origin)) = (&shared, &log.origin)
            && shared.origin() != origin
        {
            let reason = format!("the log key is of the log '{}'", shared.origin());
            return Err(SettingError::Value { key: "log.origin", from: given.place("log.origin"), reason });
        }
        log.shared = shared;
        log.max_findings = given.required("verify.max_findings", value::positive)?;
        log.checkpoints = CheckpointLimits {
            interval: given.required("checkpoint.interval", value::duration)?,
            events: given.required("checkpoint.events", value::positive)?,
            lease: given.required("checkpoint.lease", value::duration)?,
            heartbeat: given.required("checkpoint.heartbeat", value::duration)?,
            ..CheckpointLimits::default()
        };
        log.spool.limit = given.required("spool.limit", value::bytes)?;
        let limits = Limits {
            connections: given.required("http.connections", value::positive)?,
            requests: given.required("http.requests", value::positive)?,
            answer_time: given.required("http.answer_time", value::duration)?,
            body_time: given.required("http.body_time", value::duration)?,
            drain_time: given.required("http.drain_time", value::duration)?,
            session_time: given.required("http.session_time", value::session_time)?,
            ..Limits::default()
        };
        // Processes with a database are asked from elsewhere by their nature.
        let usual = if database.is_some() { BootstrapToken::Anywhere } else { BootstrapToken::Loopback };
        let bootstrap_token = given.optional("http.bootstrap_token", value::bootstrap_token)?.unwrap_or(usual);
        let trusted_proxies = given.optional("http.trusted_proxies", value::networks)?.unwrap_or_default();
        let listen = given.required("listen", value::address)?;
        Ok(Self {
            listen,
            trace_filter: given.required("trace.filter", value::filter)?,
            http: HttpConfig {
                trusted_proxies,
                bootstrap_token,
                oidc: access::oidc(given)?,
                login: access::login(given, listen)?,
                limits,
                rates: access::rates(given)?,
                record_views: given.required("audit.record_views", value::yes_or_no)?,
                tls: access::tls(given)?,
            },
            sources: SourceSettings {
                enabled: given.required("ingest.enabled", value::yes_or_no)?,
                authentik: authentik(given)?,
                authentik_interval: given.required("authentik.interval", value::duration)?,
                authentik_sweep: given.required("authentik.sweep_days", value::days)?,
                authentik_groups: given.optional("authentik.groups_interval", value::duration)?,
                ocis_bus: ocis_bus(given)?,
                ocis_file: given.optional("ocis.audit_log_path", value::path)?,
                ocis_interval: given.required("ocis.interval", value::duration)?,
                stalwart_key: given.optional("stalwart.webhook_key", value::webhook_key)?,
                stalwart_also: given.optional("stalwart.also", event_kinds)?.unwrap_or_default(),
                generic: generic::resolve(given.generic())?,
            },
            cold: ColdSettings {
                alone: database.is_none(),
                retention: given.required("hot.retention_days", value::retention)?,
                daily: given.required("archive.enabled", value::yes_or_no)?,
                hour: given.required("archive.hour", value::hour)?,
                batch_events: given.required("archive.batch_events", value::positive)?,
                place: archives(given)?,
            },
            strangers: given.strangers().to_vec(),
            database,
            operator_token,
            data_dir,
            log,
        })
    }

    /// All settings with their values and where they come from, secrets hidden: a TOML file that means the same.
    pub(crate) fn shown(&self, given: &Given) -> String {
        let mut text = String::new();
        for name in &self.strangers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# {name} in the environment is no setting of this program and means nothing here");
        }
        for setting in SETTINGS {
            let _ = match given.get(setting.key) {
                Some(_) if setting.secret => writeln!(text, "# {} = (hidden)  # {}", setting.key, given.place(setting.key)),
                Some(value) => writeln!(text, "{} = {:?}  # {}", setting.key, value, given.place(setting.key)),
                None => writeln!(text, "# {} is not set", setting.key),
            };
        }
        given.generic().iter().for_each(|table| table.shown(&mut text));
        text
    }
}

/// What processes with one database share: all of it or, without a database, nothing.
fn shared(given: &Given, database: bool) -> Result<Option<(SharedKeys, PathBuf)>, SettingError> {
    const KEYS: [&str; 3] = ["shared.log_key_file", "shared.ingest_secret_file", "shared.operator_token_file"];
    if !database {
        return match KEYS.into_iter().find(|key| given.get(key).is_some()) {
            Some(key) => Err(SettingError::Alone { key, from: given.place(key) }),
            None => Ok(None),
        };
    }
    let path = |key: &'static str| {
        let variable = SETTINGS.iter().find(|setting| setting.key == key).map(Setting::variable).unwrap_or_default();
        given.optional(key, value::path)?.ok_or(SettingError::NotShared { key, variable })
    };
    let [log_key, ingest_secret, operator_token] = KEYS.map(path);
    let keys = SharedKeys::read(&log_key?, &ingest_secret?).map_err(|error| SettingError::Shared(Box::new(error)))?;
    Ok(Some((keys, operator_token?)))
}

/// A folder or a bucket, not both.
fn archives(given: &Given) -> Result<Option<Place>, SettingError> {
    let wrong = |key: &'static str, reason: &str| SettingError::Value { key, from: given.place(key), reason: reason.to_owned() };
    let text = |text: &str| if text.is_empty() { Err("empty".to_owned()) } else { Ok(text.to_owned()) };
    let folder = given.optional("cold.dir", value::path)?;
    let Some(bucket) = given.optional("cold.bucket", text)? else {
        const OF_A_BUCKET: [&str; 7] = [
            "cold.endpoint",
            "cold.region",
            "cold.access_key",
            "cold.secret_key",
            "cold.prefix",
            "cold.lock_days",
            "cold.lock_parts",
        ];
        return match OF_A_BUCKET.into_iter().find(|key| given.get(key).is_some()) {
            Some(key) => Err(wrong(key, "it belongs to a bucket, and AUDIT_COLD_BUCKET is not set")),
            None => Ok(folder.map(Place::Folder)),
        };
    };
    if folder.is_some() {
        return Err(wrong("cold.dir", "AUDIT_COLD_BUCKET is set too; set one of them"));
    }
    let credentials = match (given.optional("cold.access_key", text)?, given.optional("cold.secret_key", text)?) {
        (Some(access_key), Some(secret_key)) => Some(S3Credentials { access_key, secret_key }),
        (None, None) => None,
        (Some(_), None) => return Err(wrong("cold.access_key", "AUDIT_COLD_SECRET_KEY is not set; set both or none")),
        (None, Some(_)) => return Err(wrong("cold.secret_key", "AUDIT_COLD_ACCESS_KEY is not set; set both or none")),
    };
    let mode = given.required("cold.lock_mode", value::lock_mode)?;
    let days = given.optional("cold.lock_days", value::positive)?;
    let bucket = BucketSettings {
        endpoint: given.optional("cold.endpoint", text)?,
        region: given.optional("cold.region", text)?,
        credentials,
        encrypt: given.required("cold.sse", value::yes_or_no)?,
        lock: days.map(|days| Lock { days, mode }),
        ..BucketSettings::new(bucket, given.optional("cold.prefix", text)?.unwrap_or_default())
    };
    let lock_parts = given.optional("cold.lock_parts", value::lock_parts)?;
    Ok(Some(Place::Bucket(Box::new(S3Settings { bucket, lock_parts }))))
}

/// Both the address and the token, or neither.
fn authentik(given: &Given) -> Result<Option<Arc<Client>>, SettingError> {
    let token = given.optional("authentik.token", |text| {
        Token::new(text).ok_or_else(|| "no token: it has characters that none has".to_owned())
    })?;
    let alone = |key: &'static str, other: &str| SettingError::Value {
        key,
        from: given.place(key),
        reason: format!("{other} is not set; Authentik is read with both"),
    };
    match (given.get("authentik.url"), token) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(alone("authentik.url", "AUTHENTIK_TOKEN")),
        (None, Some(_)) => Err(alone("authentik.token", "AUTHENTIK_URL")),
        (Some(_), Some(token)) => given
            .optional("authentik.url", |url| Client::new(url, token.clone()).map(Arc::new).map_err(|error| error.to_string())),
    }
}

/// The address of the bus, and who we are there.
fn ocis_bus(given: &Given) -> Result<Option<BusSettings>, SettingError> {
    let refused =
        |key: &'static str, reason: &str| SettingError::Value { key, from: given.place(key), reason: reason.to_owned() };
    let written = given.optional("ocis.nats_password", value::parsed)?;
    let password = match (written, given.optional("ocis.nats_password_file", value::secret_file)?) {
        (Some(_), Some(_)) => return Err(refused("ocis.nats_password_file", "ocis.nats_password is set too; set one of them")),
        (written, in_file) => written.or(in_file),
    };
    let user_and_password = match (given.optional("ocis.nats_user", value::parsed::<String>)?, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            return Err(refused("ocis.nats_user", "no password is set; set ocis.nats_password or ocis.nats_password_file"));
        }
        (None, Some(_)) => return Err(refused("ocis.nats_user", "not set, but a password is")),
        (None, None) => None,
    };
    let settings = |url: &str| BusSettings::new(url, user_and_password.clone()).map_err(|error| error.to_string());
    match given.optional("ocis.nats_url", settings)? {
        None if user_and_password.is_some() => Err(refused("ocis.nats_user", "means something only together with OCIS_NATS_URL")),
        bus => Ok(bus),
    }
}

/// From the setting, or from a file: then without one final line end (log format, section 5).
fn signing_secret(given: &Given) -> Result<Option<HmacSecret>, SettingError> {
    let as_written = |text: &str| HmacSecret::new(text).map_err(|error| format!("{error}; make one with: openssl rand -hex 32"));
    let from_file = |path: &str| {
        let contents = std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
        HmacSecret::from_file_contents(contents).map_err(|error| format!("{path}: {error}"))
    };
    let written = given.optional("signing_key", as_written)?;
    let in_file = given.optional("signing_key_file", from_file)?;
    match (written, in_file) {
        (Some(_), Some(_)) => Err(SettingError::Value {
            key: "signing_key_file",
            from: given.place("signing_key_file"),
            reason: "signing_key is set too; set one of them".to_owned(),
        }),
        (written, in_file) => Ok(written.or(in_file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_resolve_and_are_those_of_the_libraries() {
        let settings = Settings::resolve(&Given::default()).unwrap();
        assert!(settings.listen.ip().is_loopback());
        assert_eq!(settings.http.limits, Limits::default());
        assert_eq!(settings.log.checkpoints, CheckpointLimits::default());
        assert!(settings.database.is_none() && settings.log.shared.is_none());
        assert_eq!(settings.log.spool, Config::in_dir("./dezky-data").spool);
        assert_eq!(settings.log.max_findings, Config::in_dir("x").max_findings);
    }

    #[test]
    fn what_is_shown_can_be_read_back_and_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        let secret = "correct horse battery staple 0123456789";
        let env = [("AUDIT_SIGNING_KEY", secret), ("AUDIT_LISTN", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut given = Given::default();
        given.environment(env);
        let settings = Settings::resolve(&given).unwrap();
        let shown = settings.shown(&given);
        assert!(!shown.contains(secret) && shown.contains("AUDIT_LISTN"));
        std::fs::write(&path, &shown).unwrap();
        let mut again = Given::default();
        again.file(&path).unwrap();
        for setting in SETTINGS.iter().filter(|setting| !setting.secret) {
            assert_eq!(given.get(setting.key), again.get(setting.key), "{}", setting.key);
        }
    }

    #[test]
    fn a_database_is_shared_with_its_keys_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        SharedKeys::make(&keys, &"audit.example.eu/main".parse().unwrap(), &dezky_audit::SystemRandomness).unwrap();
        let file = |name: &str| keys.join(name).to_str().unwrap().to_owned();
        let mut all = vec![
            ("MONGODB_URI", "mongodb://me:secret@db/audit".to_owned()),
            ("AUDIT_SHARED_LOG_KEY_FILE", file("log.key")),
            ("AUDIT_SHARED_INGEST_SECRET_FILE", file("ingest.secret")),
            ("AUDIT_SHARED_OPERATOR_TOKEN_FILE", file("operator.token")),
        ];
        let resolve = |env: &[(&str, String)]| {
            let mut given = Given::default();
            given.environment(env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Settings::resolve(&given).map(|settings| (settings.shown(&given), settings))
        };
        let (shown, settings) = resolve(&all).unwrap();
        assert_eq!(settings.log.shared.unwrap().origin().as_str(), "audit.example.eu/main");
        assert_eq!(settings.database.unwrap().place(), "db/audit");
        assert!(!shown.contains("secret@") && shown.contains("# mongodb.uri = (hidden)"), "{shown}");
        for missing in 1..4 {
            let mut some = all.clone();
            let (name, _) = some.remove(missing);
            let refused = resolve(&some).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
        assert!(matches!(resolve(&all[1..]), Err(SettingError::Alone { .. })));
        all.push(("AUDIT_LOG_ORIGIN", "audit.example.eu/other".to_owned()));
        assert!(resolve(&all).unwrap_err().to_string().contains("the log key is of the log 'audit.example.eu/main'"));
        let lost = [("MONGODB_URI", "postgres://x".to_owned())];
        assert!(resolve(&lost).unwrap_err().to_string().contains("not mongodb://"));
    }

    #[test]
    fn a_signing_key_has_one_place_and_enough_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{}\r\n", "k".repeat(32))).unwrap();
        let resolve = |env: &[(&str, &str)]| {
            let mut given = Given::default();
            given.environment(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            Settings::resolve(&given).map(|settings| settings.log.signing_secret)
        };
        let path = path.to_str().unwrap();
        let long = "k".repeat(32);
        assert!(resolve(&[]).unwrap().is_none());
        assert!(resolve(&[("AUDIT_SIGNING_KEY_FILE", path)]).unwrap().is_some());
        assert!(resolve(&[("AUDIT_SIGNING_KEY", &long)]).unwrap().is_some());
        assert!(resolve(&[("AUDIT_SIGNING_KEY", "short")]).unwrap_err().to_string().contains("at least 32"));
        assert!(resolve(&[("AUDIT_SIGNING_KEY", &long), ("AUDIT_SIGNING_KEY_FILE", path)]).is_err());
    }
}
