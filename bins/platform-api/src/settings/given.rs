//! What was typed, and where: nothing is understood yet.

use std::collections::BTreeMap;
use std::path::Path;

use super::generic::Table;
use super::list::{SETTINGS, Setting};
use super::{SettingError, file};

/// Settings as text. What is added later goes before what was there.
#[derive(Debug, Default)]
pub(crate) struct Given {
    values: BTreeMap<&'static str, Value>,
    strangers: Vec<String>,
    generic: Vec<Table>,
}

#[derive(Debug)]
struct Value {
    text: String,
    place: String,
}

impl Given {
    /// Adds the settings in a TOML file.
    ///
    /// # Errors
    /// When it cannot be read, or has a key that is no setting.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), SettingError> {
        let read = file::read(path)?;
        for (key, text) in read.settings {
            self.add(key, text, path.display().to_string());
        }
        self.generic = read.generic;
        Ok(())
    }

    /// Adds the settings among these names and values; an empty value counts as none.
    pub(crate) fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in variables {
            match SETTINGS.iter().find(|setting| setting.variable() == name) {
                Some(_) if text.is_empty() => {}
                Some(setting) => self.add(setting.key, text, name),
                None if name == super::super::cli::CONFIG_VARIABLE || !name.starts_with("AUDIT_") => {}
                None => self.strangers.push(name),
            }
        }
    }

    /// Adds the value of one flag.
    pub(crate) fn flag(&mut self, setting: &Setting, text: String) {
        self.add(setting.key, text, format!("--{}", setting.flag()));
    }

    /// The demonstration's own folder, so that nothing invented comes into a log that is meant.
    ///
    /// # Errors
    /// Where a database or an origin is configured: those are of a log that is meant.
    pub(crate) fn for_demonstration(&mut self) -> Result<(), SettingError> {
        for key in ["mongodb.uri", "log.origin"] {
            if self.values.contains_key(key) {
                let reason = "a demonstration has a log of its own; start it without this setting".to_owned();
                return Err(SettingError::Value { key, from: self.place(key), reason });
            }
        }
        let dir = format!("{}-demo", self.get("data_dir").unwrap_or_default().trim_end_matches('/'));
        self.add("data_dir", dir, "--demo".to_owned());
        Ok(())
    }

    fn add(&mut self, key: &'static str, text: String, place: String) {
        self.values.insert(key, Value { text, place });
    }

    /// The text of a setting, or its default.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let default = || SETTINGS.iter().find(|setting| setting.key == key)?.default;
        self.values.get(key).map(|value| &*value.text).or_else(default)
    }

    /// Where it was given.
    pub(crate) fn place(&self, key: &str) -> String {
        self.values.get(key).map_or("default", |value| &*value.place).to_owned()
    }

    /// Names of variables that look like settings and are none.
    pub(crate) fn strangers(&self) -> &[String] {
        &self.strangers
    }

    /// Sources of any kind, which only the file can name.
    pub(crate) fn generic(&self) -> &[Table] {
        &self.generic
    }

    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let refused = |reason| SettingError::Value { key, from: self.place(key), reason };
        self.get(key).map(|text| read(text).map_err(refused)).transpose()
    }

    pub(crate) fn required<T>(&self, key: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, SettingError> {
        let missing = || SettingError::Value { key, from: self.place(key), reason: "not set".to_owned() };
        self.optional(key, read)?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "listen = '127.0.0.1:1'\n[http]\nrequests = 7\nconnections = 8\n").unwrap();
        let mut given = Given::default();
        given.file(&path).unwrap();
        given.environment(
            [("AUDIT_LISTEN", "127.0.0.1:2"), ("AUDIT_HTTP_REQUESTS", "9"), ("AUDIT_HTTP_CONNECTIONS", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        given.flag(&SETTINGS[1], "127.0.0.1:3".to_owned());
        assert_eq!((given.get("listen"), given.place("listen").as_str()), (Some("127.0.0.1:3"), "--listen"));
        assert_eq!((given.get("http.requests"), given.place("http.requests").as_str()), (Some("9"), "AUDIT_HTTP_REQUESTS"));
        assert_eq!(given.get("http.connections"), Some("8"));
        assert_eq!((given.get("data_dir"), given.place("data_dir").as_str()), (Some("./dezky-data"), "default"));
        assert_eq!(given.get("log.origin"), None);
    }
}
