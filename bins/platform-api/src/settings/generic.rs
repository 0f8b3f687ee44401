//! Sources of any kind: the tables `[[generic]]` of the TOML file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use dezky_api::nearest;
use dezky_audit_core::source::generic::{Fields, Mapping};
use dezky_ingest::webhook::{BearerToken, Encoding, Proof, SignatureKey};
use http::HeaderName;

use super::{SettingError, value};

/// The name of the tables.
pub(super) const TABLES: &str = "generic";
/// The most of them.
const MOST: usize = 64;

/// What may stand in one, those of `fields` among it.
const KEYS: [&str; 24] = [
    "name",
    "hmac_header",
    "hmac_key",
    "hmac_key_file",
    "hmac_encoding",
    "hmac_prefix",
    "token",
    "token_file",
    "events",
    "secrets",
    "fields",
    "fields.action",
    "fields.external_id",
    "fields.at",
    "fields.outcome",
    "fields.actor_id",
    "fields.actor_email",
    "fields.actor_name",
    "fields.ip",
    "fields.user_agent",
    "fields.resource_type",
    "fields.resource_id",
    "fields.resource_name",
    "fields.group",
];
const SECRET: [&str; 2] = ["hmac_key", "token"];

/// One table, as it was typed.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// The file, and the line on which it begins.
    place: String,
    values: BTreeMap<&'static str, Vec<String>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.place)
    }
}

/// The key of a table that is called so, or the nearest one.
pub(super) fn key(name: &str) -> Result<&'static str, Option<&'static str>> {
    KEYS.into_iter().find(|key| *key == name && *key != "fields").ok_or_else(|| nearest(name, KEYS))
}

impl Table {
    pub(super) fn at(place: String) -> Self {
        Self { place, values: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, key: &'static str, values: Vec<String>) {
        self.values.insert(key, values);
    }

    fn refused(&self, key: &'static str, reason: impl ToString) -> SettingError {
        SettingError::Value { key, from: self.place.clone(), reason: reason.to_string() }
    }

    fn one(&self, key: &'static str) -> Result<Option<&str>, SettingError> {
        match self.values.get(key).map(Vec::as_slice) {
            None => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(self.refused(key, "one text was expected")),
        }
    }

    fn needed(&self, key: &'static str) -> Result<&str, SettingError> {
        self.one(key)?.ok_or_else(|| self.refused(key, "not set; every [[generic]] needs it"))
    }

    /// What its source is called.
    pub(crate) fn name(&self) -> Result<&str, SettingError> {
        self.needed("name")
    }

    /// How what it sends becomes events.
    pub(crate) fn mapping(&self) -> Result<Mapping, SettingError> {
        let text = |key| self.one(key).map(|text| text.map(str::to_owned));
        let fields = Fields {
            events: text("events")?,
            action: self.needed("fields.action")?.to_owned(),
            external_id: text("fields.external_id")?,
            at: text("fields.at")?,
            outcome: text("fields.outcome")?,
            actor_id: text("fields.actor_id")?,
            actor_email: text("fields.actor_email")?,
            actor_name: text("fields.actor_name")?,
            ip: text("fields.ip")?,
            user_agent: text("fields.user_agent")?,
            resource_type: text("fields.resource_type")?,
            resource_id: text("fields.resource_id")?,
            resource_name: text("fields.resource_name")?,
            group: text("fields.group")?,
            secrets: self.values.get("secrets").cloned().unwrap_or_default(),
        };
        Mapping::new(self.name()?, fields).map_err(|error| self.refused(TABLES, error))
    }

    /// How it proves that it may send: by a signature or a token, or by where it is.
    pub(crate) fn proof(&self) -> Result<Proof, SettingError> {
        let key = self.secret("hmac_key", "hmac_key_file")?;
        let token = self.secret("token", "token_file")?;
        match (key, token) {
            (Some(_), Some(_)) => Err(self.refused("token", "hmac_key is set too; set one of them")),
            (None, Some(token)) => {
                self.alone()?;
                BearerToken::new(&token).map(Proof::Bearer).map_err(|error| self.refused("token", error))
            }
            (None, None) => self.alone().map(|()| Proof::Place),
            (Some(key), None) => {
                let header = self.one("hmac_header")?.ok_or_else(|| {
                    self.refused("hmac_header", "not set; it names the header with the signature, such as X-Hub-Signature-256")
                })?;
                let header: HeaderName = header.parse().map_err(|_| self.refused("hmac_header", "no name of a header"))?;
                let encoding = match self.one("hmac_encoding")? {
                    None | Some("hex") => Encoding::Hex,
                    Some("base64") => Encoding::Base64,
                    Some(_) => return Err(self.refused("hmac_encoding", "neither hex nor base64")),
                };
                let prefix = self.one("hmac_prefix")?.unwrap_or_default();
                let key = SignatureKey::new(&key, header, encoding, prefix);
                key.map(Proof::Signature).map_err(|error| self.refused("hmac_key", error))
            }
        }
    }

    /// Nothing says how a signature looks where there is no key for one.
    fn alone(&self) -> Result<(), SettingError> {
        match ["hmac_header", "hmac_encoding", "hmac_prefix"].into_iter().find(|key| self.values.contains_key(key)) {
            Some(key) => Err(self.refused(key, "means something only together with hmac_key or hmac_key_file")),
            None => Ok(()),
        }
    }

    fn secret(&self, written: &'static str, in_file: &'static str) -> Result<Option<String>, SettingError> {
        match (self.one(written)?, self.one(in_file)?) {
            (Some(_), Some(_)) => Err(self.refused(in_file, format!("{written} is set too; set one of them"))),
            (Some(text), None) => Ok(Some(text.to_owned())),
            (None, Some(path)) => value::secret_file(path).map(Some).map_err(|reason| self.refused(in_file, reason)),
            (None, None) => Ok(None),
        }
    }

    /// A TOML table that means the same, secrets hidden.
    pub(super) fn shown(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[{TABLES}]]  # {}", self.place);
        for (key, values) in &self.values {
            let _ = match values.as_slice() {
                _ if SECRET.contains(key) => writeln!(text, "# {key} = (hidden)"),
                [value] if *key != "secrets" => writeln!(text, "{key} = {value:?}"),
                values => writeln!(text, "{key} = {values:?}"),
            };
        }
    }
}

/// A source that posts.
pub(crate) struct GenericSource {
    pub(crate) mapping: Mapping,
    pub(crate) proof: Proof,
}

/// All of them, each with a name of its own.
pub(super) fn resolve(tables: &[Table]) -> Result<Vec<GenericSource>, SettingError> {
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for table in tables {
        let name = table.name()?;
        if !names.insert(name) {
            return Err(table.refused("name", format!("there is another [[generic]] that is called {name:?}")));
        }
        if names.len() > MOST {
            return Err(table.refused(TABLES, format!("there are more than {MOST}")));
        }
        sources.push(GenericSource { mapping: table.mapping()?, proof: table.proof()? });
    }
    Ok(sources)
}
