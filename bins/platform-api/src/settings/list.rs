//! The list of settings.

/// A setting, by the path of its key in the TOML file.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    /// As `--help` writes its value.
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) default: Option<&'static str>,
    /// Never shown, and no flag: whoever lists processes could read it.
    pub(crate) secret: bool,
    /// The variable's name, where operators know it by another than the key gives.
    known_as: Option<&'static str>,
}

impl Setting {
    /// `AUDIT_` and the path of the key in capitals, but for those that have had another name for long.
    pub(crate) fn variable(&self) -> String {
        if let Some(name) = self.known_as {
            return name.to_owned();
        }
        format!("AUDIT_{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// `data_dir` is `--data-dir`, `http.requests` is `--http-requests`.
    pub(crate) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

const fn setting(key: &'static str, value: &'static str, default: Option<&'static str>, help: &'static str) -> Setting {
    Setting { key, value, help, default, secret: false, known_as: None }
}

const fn secret(key: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { key, value, help, default: None, secret: true, known_as: None }
}

/// All of them.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("data_dir", "DIR", Some("./dezky-data"), "Where everything lies: audit.db, keys/, operator.token, spool/"),
    setting(
        "listen",
        "ADDRESS:PORT",
        Some("127.0.0.1:8787"),
        "Where to listen; beyond loopback with TLS (http.tls_certificate), or behind a proxy that has it",
    ),
    setting("log.origin", "NAME", None, "The log's name, for ever, such as audit.example.eu/main; made once where none is given"),
    setting(
        "log.known_checkpoints",
        "FILES",
        None,
        "Checkpoints that were kept elsewhere, as files with a note each, commas between; a store behind one of them is refused",
    ),
    Setting {
        known_as: Some("MONGODB_URI"),
        ..secret(
            "mongodb.uri",
            "URI",
            "The database that holds the log, for several processes; without it the log is in the data folder",
        )
    },
    setting(
        "shared.log_key_file",
        "FILE",
        None,
        "With a database: the key that signs, the same for all processes (platform-api make-keys)",
    ),
    setting(
        "shared.ingest_secret_file",
        "FILE",
        None,
        "With a database: the secret that contents are compared under, the same for all",
    ),
    setting("shared.operator_token_file", "FILE", None, "With a database: the operator's token, the same for all"),
    secret("signing_key", "SECRET", "A shared secret of at least 32 bytes: checkpoints then carry an HMAC-SHA-256 signature too"),
    setting(
        "signing_key_file",
        "FILE",
        None,
        "A file with a shared secret of at least 32 bytes: checkpoints then carry an HMAC-SHA-256 signature too",
    ),
    setting("checkpoint.interval", "TIME", Some("5m"), "Sign at least so often, if something is new"),
    setting("checkpoint.events", "N", Some("100"), "Sign after so many new events, at most once a second"),
    setting(
        "checkpoint.lease",
        "TIME",
        Some("30s"),
        "Of several processes one signs by the clock; another takes over after so long",
    ),
    setting("checkpoint.heartbeat", "TIME", Some("1h"), "Record that the log lives after so long without an event"),
    setting("hot.retention_days", "N", Some("90"), "What was recorded longer ago than so many days may be archived; 0 means all"),
    Setting {
        known_as: Some("ARCHIVE_ENABLED"),
        ..setting("archive.enabled", "BOOL", Some("false"), "Whether the archiver runs by itself, once a day")
    },
    setting("archive.hour", "HOUR", Some("3"), "From which hour of the day on it runs, UTC"),
    setting("archive.batch_events", "N", Some("50000"), "The most events in one batch, which ends at 32 MiB in any case"),
    setting(
        "cold.dir",
        "DIR",
        None,
        "The folder of the archives; without it and without a bucket, cold/ in the data folder of an embedded log",
    ),
    setting("cold.bucket", "NAME", None, "The bucket of the archives, on any server that speaks S3"),
    setting("cold.endpoint", "URL", None, "Where that server is, such as https://s3.example.eu; without it, Amazon's"),
    setting("cold.region", "NAME", None, "The bucket's region"),
    secret("cold.access_key", "KEY", "The access key; without it and its secret key, what the usual AWS environment gives"),
    secret("cold.secret_key", "SECRET", "The secret key that belongs to it"),
    setting("cold.prefix", "PREFIX", None, "What the names of all objects begin with, such as audit/main; another for each log"),
    setting("cold.sse", "BOOL", Some("false"), "Whether the server has to encrypt what it stores (SSE-S3)"),
    setting("cold.lock_days", "N", None, "For how many days each object is locked; the bucket must have Object Lock"),
    setting("cold.lock_mode", "MODE", Some("compliance"), "How firmly: compliance, which nobody can lift, or governance"),
    setting(
        "cold.lock_parts",
        "FORM",
        None,
        "In a locked bucket nothing can be erased, so parts go there withheld only: say withheld",
    ),
    setting("spool.limit", "BYTES", Some("64MiB"), "How much disk best-effort events may fill while the store is away"),
    setting("verify.max_findings", "N", Some("1000"), "How many findings one verification names"),
    setting("ingest.enabled", "BOOL", Some("true"), "Whether anything is taken from other systems: false turns all sources off"),
    Setting {
        known_as: Some("AUTHENTIK_URL"),
        ..setting("authentik.url", "URL", None, "Where Authentik is, such as https://sso.example.eu; it is asked for its events")
    },
    Setting {
        known_as: Some("AUTHENTIK_TOKEN"),
        ..secret("authentik.token", "TOKEN", "An API token of Authentik that may view events")
    },
    setting("authentik.interval", "TIME", Some("60s"), "How often Authentik is asked"),
    setting(
        "authentik.sweep_days",
        "DAYS",
        Some("7"),
        "How many days back Authentik is compared with the log once a day, to tell what was changed or deleted there; 0: never",
    ),
    setting(
        "authentik.groups_interval",
        "TIME",
        None,
        "How often Authentik is asked for its groups, to tell who joined or left them; not at all where it is not set",
    ),
    Setting {
        known_as: Some("OCIS_NATS_URL"),
        ..secret("ocis.nats_url", "URL", "The event bus of OCIS, such as nats://127.0.0.1:9233; its audit file is not read then")
    },
    setting("ocis.nats_user", "NAME", None, "Who we are on the event bus of OCIS, where it asks"),
    secret("ocis.nats_password", "SECRET", "The password on the event bus of OCIS"),
    setting("ocis.nats_password_file", "FILE", None, "A file with the password on the event bus of OCIS"),
    Setting {
        known_as: Some("OCIS_AUDIT_LOG_PATH"),
        ..setting("ocis.audit_log_path", "FILE", None, "The audit file of OCIS, followed through every rotation")
    },
    setting("ocis.interval", "TIME", Some("5s"), "How often the audit file of OCIS is looked at"),
    Setting {
        known_as: Some("STALWART_WEBHOOK_KEY"),
        ..secret(
            "stalwart.webhook_key",
            "SECRET",
            "The signature key of Stalwart's webhook; without it, webhooks are taken from this machine only",
        )
    },
    setting(
        "stalwart.also",
        "KINDS",
        None,
        "Kinds of Stalwart's events to record beyond the usual ones, such as queue.*, commas between",
    ),
    setting(
        "http.trusted_proxies",
        "NETWORKS",
        None,
        "Peers whose X-Forwarded-For and Forwarded are believed, such as 10.0.0.0/8, commas between",
    ),
    setting(
        "http.bootstrap_token",
        "WHERE",
        None,
        "From where the operator's token is taken, by the socket's address: loopback (the default), anywhere (the default with a database), off",
    ),
    setting(
        "oidc.issuer",
        "URL",
        None,
        "Whose signed tokens name people, exactly as the issuer writes itself, such as https://sso.example.eu/application/o/dezky/",
    ),
    setting("oidc.audience", "TEXT", None, "The audience that those tokens are for: with Authentik, the provider's client id"),
    setting("oidc.roles_claim", "NAME", Some("groups"), "The claim that lists a person's groups"),
    setting(
        "oidc.roles",
        "ROLES",
        Some("dezky-operator=operator,dezky-auditor=auditor,tenant:{slug}:auditor=tenant-auditor"),
        "What groups may do: GROUP=ROLE, commas between; {slug} stands for a tenant",
    ),
    setting(
        "oidc.client_id",
        "TEXT",
        None,
        "What this service is called by the issuer: with it people log in to the console there (docs/access.md)",
    ),
    secret("oidc.client_secret", "SECRET", "What the issuer knows this service by; without it, PKCE alone protects a login"),
    setting("oidc.client_secret_file", "FILE", None, "A file with what the issuer knows this service by"),
    setting("oidc.scopes", "SCOPES", Some("profile,email"), "What is asked of the issuer beside openid, commas between"),
    setting(
        "http.public_url",
        "URL",
        None,
        "Where browsers find this service, such as https://audit.example.eu; without it, where it listens on this machine",
    ),
    setting("oidc.clock_skew", "TIME", Some("30s"), "How far the issuer's clock may be off"),
    setting("http.caller_rate", "N", Some("2000"), "The most requests a second of one caller; recording is not counted"),
    setting("http.address_rate", "N", Some("5000"), "The most requests a second from one address; recording is not counted"),
    setting(
        "http.failure_rate",
        "N",
        Some("120"),
        "Tokens a minute from one address that are not accepted before they are answered with 429",
    ),
    setting(
        "http.tls_certificate",
        "FILE",
        None,
        "A certificate in PEM, with those that lead to its authority behind it; read again when it changes",
    ),
    setting("http.tls_key", "FILE", None, "The certificate's key in PEM"),
    setting(
        "audit.record_views",
        "BOOL",
        Some("false"),
        "Whether it is recorded that a person looked at events, or exported them",
    ),
    setting("http.connections", "N", Some("1024"), "The most open connections"),
    setting("http.requests", "N", Some("512"), "The most requests answered at once"),
    setting("http.answer_time", "TIME", Some("30s"), "How long an answer may take; exports and verifications may take longer"),
    setting("http.body_time", "TIME", Some("60s"), "How long a posted body may take to arrive"),
    setting(
        "http.session_time",
        "TIME",
        Some("8h"),
        "How long somebody stays signed in to the console, with the role that they had when they came: 1m to 24h",
    ),
    setting("http.drain_time", "TIME", Some("20s"), "How long open requests are waited for when stopping"),
    setting(
        "trace.filter",
        "FILTER",
        Some("info"),
        "What to write to stderr, as in RUST_LOG: error, warn, info, debug, dezky_api=debug, …",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_that_operators_know_stay() {
        let variables: BTreeSet<_> = SETTINGS.iter().map(Setting::variable).collect();
        assert_eq!(variables.len(), SETTINGS.len());
        for known in
            ["AUDIT_HOT_RETENTION_DAYS", "ARCHIVE_ENABLED", "AUDIT_COLD_BUCKET", "AUDIT_COLD_ACCESS_KEY", "AUDIT_COLD_SSE"]
        {
            assert!(variables.contains(known), "{known}");
        }
        for known in ["AUDIT_SIGNING_KEY", "AUDIT_LOG_ORIGIN", "AUDIT_DATA_DIR", "AUDIT_HTTP_TRUSTED_PROXIES", "MONGODB_URI"] {
            assert!(variables.contains(known), "{known}");
        }
    }
}
