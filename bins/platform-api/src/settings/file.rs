//! The TOML file, flattened to paths of keys; whatever is not a setting is refused with the nearest one that is.

use std::path::Path;

use dezky_api::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingError;
use super::list::SETTINGS;

/// No configuration file is longer.
const MAX_BYTES: u64 = 1 << 20;

/// Every setting in the file, as text.
pub(super) fn read(path: &Path) -> Result<Vec<(&'static str, String)>, SettingError> {
    let refused = |reason: String| SettingError::File { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {error}")))?.len();
    if length > MAX_BYTES {
        return Err(refused(format!("longer than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let table = DeTable::parse(&text).map_err(|error| refused(error.to_string().trim_end().replace('\n', "\n  ")))?;
    let mut reader = Reader { path, text: &text, settings: Vec::new() };
    reader.table("", table.get_ref())?;
    Ok(reader.settings)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    settings: Vec<(&'static str, String)>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), SettingError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&key) => self.table(&format!("{key}."), inner)?,
                leaf => {
                    let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                        return Err(self.unknown(key, name.span().start));
                    };
                    let text = text_of(leaf).ok_or_else(|| SettingError::Value {
                        key: setting.key,
                        from: self.path.display().to_string(),
                        reason: format!(
                            "line {}: not a text, number, truth value, or a list of them",
                            self.line(name.span().start)
                        ),
                    })?;
                    self.settings.push((setting.key, text));
                }
            }
        }
        Ok(())
    }

    fn unknown(&self, key: String, offset: usize) -> SettingError {
        let hint = match nearest(&key, SETTINGS.iter().map(|setting| setting.key)) {
            Some(known) => format!("did you mean '{known}'?"),
            None => "all of them: platform-api check-config".to_owned(),
        };
        SettingError::UnknownKey { path: self.path.to_owned(), line: self.line(offset), key, hint }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text[..offset].matches('\n').count()
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// A leaf as one would type it for a flag; a list with commas between.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(Spanned::get_ref).map(text_of).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "a.toml"))
    }

    #[test]
    fn keys_become_paths_and_leaves_text() {
        let text = "log.origin = 'a/b'\n[http]\nrequests = 7\ntrusted_proxies = ['10.0.0.0/8', '::1/128']\n";
        let mut settings = of(text).unwrap();
        settings.sort();
        let expected = [("http.requests", "7"), ("http.trusted_proxies", "10.0.0.0/8,::1/128"), ("log.origin", "a/b")];
        assert_eq!(settings, expected.map(|(key, text)| (key, text.to_owned())));
    }

    #[test]
    fn what_is_no_setting_is_refused_with_the_nearest_that_is() {
        assert_eq!(
            of("\n[http]\nrequest = 7").unwrap_err(),
            "a.toml: line 3: unknown key 'http.request'; did you mean 'http.requests'?"
        );
        assert_eq!(of("datadir = 'x'").unwrap_err(), "a.toml: line 1: unknown key 'datadir'; did you mean 'data_dir'?");
        assert!(of("[colours]\nred = 1").unwrap_err().contains("unknown key 'colours'; all of them"));
        assert!(of("listen = 1.5").unwrap_err().contains("line 1"));
        assert!(of("[listen]\nport = 1").unwrap_err().contains("line 1"));
        assert!(of("listen = ").unwrap_err().contains("line 1"));
    }
}
