//! A secret text in a file of its own: made with mode 0600 where there is none, refused where others can read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::file_error::FileError;

/// The least and the most characters of a secret text.
const LENGTH: std::ops::RangeInclusive<usize> = 32..=1_024;

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("others can read {path} (mode {mode:03o}); run: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{path} holds no secret: one line of {least} to {most} printable characters without a space; delete the file to have a new one made",
        least = LENGTH.start(), most = LENGTH.end()
    )]
    Malformed { path: PathBuf },
    #[error("the system's random number generator does not answer")]
    Random,
}

/// The text in `path`, without its line feed. Where there is no file, 256 random bits in base64url are written first.
///
/// Two processes must not do this at once.
///
/// # Errors
/// When the file cannot be read or written, is readable by others, or holds something else.
pub(crate) fn load_or_create(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    match File::open(path) {
        Ok(file) => load(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut()).map_err(|_| SecretFileError::Random)?;
            let secret = Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_ref()));
            create(path, &secret).map_err(FileError::of(path, "written"))?;
            Ok(secret)
        }
        Err(error) => Err(FileError::of(path, "opened")(error).into()),
    }
}

/// The text in a file that must be there.
///
/// # Errors
/// As [`load_or_create`], and when there is no file.
pub(crate) fn load_existing(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    load(path, File::open(path).map_err(FileError::of(path, "opened"))?)
}

fn load(path: &Path, file: File) -> Result<Zeroizing<String>, SecretFileError> {
    let mode = file.metadata().map_err(FileError::of(path, "read"))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(2 * LENGTH.end()));
    file.take(2 * *LENGTH.end() as u64).read_to_end(&mut text).map_err(FileError::of(path, "read"))?;
    let line = text.trim_ascii_end();
    if !LENGTH.contains(&line.len()) || !line.iter().all(u8::is_ascii_graphic) {
        return Err(SecretFileError::Malformed { path: path.to_owned() });
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(line).into_owned()))
}

/// All or nothing: a crash leaves no file with half a secret.
fn create(path: &Path, secret: &str) -> io::Result<()> {
    let begun = path.with_extension("begun");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&begun, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.token");
        let made = load_or_create(&path).unwrap();
        assert_eq!(made.len(), 43);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&path).unwrap(), made);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_can_read_or_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.token");
        create(&path, &"x".repeat(43)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_create(&path), Err(SecretFileError::Exposed { mode: 0o640, .. })));
        for bad in ["", "short", &"x".repeat(1_025), &format!("{} {}", "x".repeat(20), "x".repeat(20)), &"ä".repeat(40)] {
            create(&path, bad).unwrap();
            assert!(matches!(load_or_create(&path), Err(SecretFileError::Malformed { .. })), "{bad}");
        }
    }
}
