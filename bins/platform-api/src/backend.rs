//! Which store: a file of SQLite, or a database that several processes share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use dezky_audit::{Store, StoreError};
use dezky_store::Identity;
use dezky_store::mongo::{MongoOptions, MongoStore};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};

/// A place for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite(PathBuf),
    Database(DatabaseUri),
}

/// `mongodb://…` or `mongodb+srv://…`, which may hold a password: shown without it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUri(String);

impl DatabaseUri {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let known = ["mongodb://", "mongodb+srv://"].iter().any(|scheme| text.starts_with(scheme));
        if known { Ok(Self(text.to_owned())) } else { Err("not mongodb://… or mongodb+srv://…".to_owned()) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The hosts and the database, without user, password and options.
    pub(crate) fn place(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split('?').next().unwrap_or_default();
        // A password may hold no slash or @ unless it is percent-encoded; one that does all the same is not shown either.
        rest.rsplit_once('@').map_or(rest, |(_, place)| place)
    }
}

impl fmt::Display for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place())
    }
}

impl fmt::Debug for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUri({})", self.place())
    }
}

/// The database could not be opened; the cause says why.
#[derive(Debug, thiserror::Error)]
#[error("the database at {place} could not be opened")]
pub(crate) struct DatabaseError {
    place: String,
    #[source]
    source: StoreError,
}

impl Backend {
    /// `sqlite:PATH`, a path, or a database's URI; `env:NAME` stands for what the variable of that name holds, so that a
    /// password need not be typed where others can read it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env:") {
            let held = std::env::var(name).map_err(|_| format!("the variable {name} is not set, or no UTF-8"))?;
            return Self::parse_plain(&held).map_err(|reason| format!("{name}: {reason}"));
        }
        Self::parse_plain(text)
    }

    fn parse_plain(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:").or_else(|| (!text.contains("://")).then_some(text)) {
            Some("") => Err("empty".to_owned()),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => DatabaseUri::new(text).map(Self::Database).map_err(|reason| format!("{reason}, nor a file")),
        }
    }

    /// Opens the store; a new one is made where there is none.
    pub(crate) async fn open(&self, identity: Identity) -> anyhow::Result<Arc<dyn Store>> {
        match self {
            Self::Sqlite(path) => {
                let store = SqliteStore::open(path.clone(), identity, SqliteOptions::default()).await;
                Ok(Arc::new(store.with_context(|| format!("{} could not be opened", path.display()))?))
            }
            Self::Database(uri) => Ok(Arc::new(open_database(uri, identity).await?)),
        }
    }

    /// The folder of a file.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let Self::Sqlite(path) = self else { return None };
        Some(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Database(uri) => uri.fmt(f),
        }
    }
}

/// Opens the database, or says what stands in the way: it cannot be reached, is too old, or its user may not do something.
pub(crate) async fn open_database(uri: &DatabaseUri, identity: Identity) -> Result<MongoStore, DatabaseError> {
    let opened = MongoStore::open(uri.text(), identity, MongoOptions::default()).await;
    opened.map_err(|source| DatabaseError { place: uri.to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_and_passwords_are_not_shown() {
        assert_eq!(Backend::parse("sqlite:a/b.db"), Ok(Backend::Sqlite("a/b.db".into())));
        assert_eq!(Backend::parse("a/b.db"), Ok(Backend::Sqlite("a/b.db".into())));
        let uri = Backend::parse("mongodb://user:p%40ss@db1:27017,db2/audit?replicaSet=rs0").unwrap();
        assert_eq!(
            (uri.to_string(), format!("{uri:?}")),
            ("db1:27017,db2/audit".to_owned(), "Database(DatabaseUri(db1:27017,db2/audit))".to_owned())
        );
        assert_eq!(Backend::parse("mongodb://user:a@b/c@db/x").unwrap().to_string(), "db/x");
        for bad in ["", "sqlite:", "postgres://x", "env:DEZKY_NO_SUCH_VARIABLE"] {
            assert!(Backend::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Backend::parse("x.db").unwrap().folder(), Some(Path::new(".")));
    }
}
