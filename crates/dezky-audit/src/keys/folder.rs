//! The folder of the keys: what is in it is safe, or it is refused; what is missing is made once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dezky_audit_core::ids::Origin;
use dezky_audit_core::note::{KeyName, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::IngestSecret;
use crate::open::OpenError;
use crate::world::Randomness;

/// No key file is longer.
const MAX_KEY_FILE: u64 = 4_096;
pub(super) const INGEST_SECRET: &str = "ingest.secret";
pub(super) const FIRST_KEY: &str = "log.key";

/// The keys folder, there with mode 0700.
pub(crate) struct KeyFolder<'a> {
    dir: &'a Path,
    random: &'a dyn Randomness,
}

impl<'a> KeyFolder<'a> {
    pub(crate) fn open(dir: &'a Path, random: &'a dyn Randomness) -> Result<Self, OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| failed(dir, "the keys folder cannot be made", source))?;
        Ok(Self { dir, random })
    }

    /// The signing keys (`*.key`) in the order of their names; without any, a first one is made if it may be.
    pub(crate) fn signing_keys(&self, origin: &Origin, may_make: bool) -> Result<Vec<SigningKey>, OpenError> {
        let mut paths = files(self.dir, ".key")?;
        if paths.is_empty() {
            let path = self.dir.join(FIRST_KEY);
            if !may_make {
                let what = "there is no signing key, though the log has checkpoints; restore the keys folder";
                return Err(refused(&path, what));
            }
            self.make_key(&path, origin)?;
            paths.push(path);
        }
        paths.iter().map(|path| signing_key(path, origin)).collect()
    }

    /// Public keys that sign no more (`*.vkey`).
    pub(crate) fn retired_keys(&self) -> Result<Vec<VerifyingKey>, OpenError> {
        retired_keys(self.dir)
    }

    /// The ingest secret; made if it may be.
    pub(crate) fn ingest_secret(&self, may_make: bool) -> Result<IngestSecret, OpenError> {
        let path = self.dir.join(INGEST_SECRET);
        if !path.try_exists().map_err(|source| failed(&path, "cannot be looked for", source))? {
            if !may_make {
                return Err(refused(
                    &path,
                    "missing, though the log has events; restore it, or make a new one (head -c 32 /dev/urandom) and accept \
                     that what sources send again counts as conflicting",
                ));
            }
            let mut bytes = Zeroizing::new([0; 32]);
            self.random.fill(bytes.as_mut_slice())?;
            self.make(&path, bytes.as_slice())?;
        }
        read_ingest_secret(&path)
    }

    pub(super) fn make_key(&self, path: &Path, origin: &Origin) -> Result<(), OpenError> {
        let mut seed = Zeroizing::new([0; 32]);
        self.random.fill(seed.as_mut_slice())?;
        let key = SigningKey::ed25519(KeyName::from(origin), &seed);
        let Some(text) = key.private_text() else { return Err(refused(path, "an Ed25519 key without a text")) };
        self.make(path, format!("{}\n", *text).as_bytes())?;
        let vkey = key.verifying_key().vkey().unwrap_or_default();
        tracing::info!(path = %path.display(), vkey, "made the log's signing key; hand the vkey to whoever verifies the log");
        Ok(())
    }

    /// Makes a file with mode 0600, whole or not at all; another process may have been quicker.
    fn make(&self, path: &Path, contents: &[u8]) -> Result<(), OpenError> {
        let mut id = [0; 8];
        self.random.fill(&mut id)?;
        let made = write_temporary(path, contents, u64::from_ne_bytes(id)).and_then(|temporary| {
            let linked = match fs::hard_link(&temporary, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            };
            fs::remove_file(&temporary)?;
            linked?;
            File::open(self.dir)?.sync_all()
        });
        made.map_err(|source| failed(path, "cannot be made", source))
    }
}

/// The private key in a file that only its owner can read.
pub(super) fn read_signing_key(path: &Path) -> Result<SigningKey, OpenError> {
    check_private(path)?;
    let text = read_file(path)?;
    let text = std::str::from_utf8(&text).map_err(|_| refused(path, "not a private key: no UTF-8"))?;
    SigningKey::from_private_text(text.trim_end_matches(['\r', '\n']))
        .map_err(|error| refused(path, format!("not a private key: {error}")))
}

fn signing_key(path: &Path, origin: &Origin) -> Result<SigningKey, OpenError> {
    let key = read_signing_key(path)?;
    if key.name().as_str() == origin.as_str() {
        Ok(key)
    } else {
        Err(refused(path, format!("a key of the log '{}', not of '{origin}'", key.name())))
    }
}

/// The ingest secret in a file that only its owner can read.
pub(super) fn read_ingest_secret(path: &Path) -> Result<IngestSecret, OpenError> {
    check_private(path)?;
    let bytes = read_file(path)?;
    let bytes: [u8; 32] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| refused(path, format!("an ingest secret is 32 bytes, this file has {}", bytes.len())))?;
    Ok(IngestSecret::new(bytes))
}

/// The public keys in a folder that sign no more (`*.vkey`).
pub(super) fn retired_keys(dir: &Path) -> Result<Vec<VerifyingKey>, OpenError> {
    let read = |path: PathBuf| {
        let text = read_file(&path)?;
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().map_err(|error| refused(&path, format!("not a public key: {error}")))
    };
    files(dir, ".vkey")?.into_iter().map(read).collect()
}

/// The files of a folder with this ending, in the order of their names.
pub(super) fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, OpenError> {
    let unreadable = |source| failed(dir, "the keys folder cannot be read", source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(ending) && !name.starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Replaces a file, whole or not at all; durable on return.
pub(crate) fn write_whole(path: &Path, contents: &[u8], random: &dyn Randomness) -> io::Result<()> {
    let mut id = [0; 8];
    random.fill(&mut id).map_err(io::Error::other)?;
    let temporary = write_temporary(path, contents, u64::from_ne_bytes(id))?;
    fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write_temporary(path: &Path, contents: &[u8], id: u64) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{id:016x}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    Ok(temporary)
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut contents = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|source| failed(path, "cannot be read", source))?;
    file.take(MAX_KEY_FILE + 1).read_to_end(&mut contents).map_err(|source| failed(path, "cannot be read", source))?;
    if u64::try_from(contents.len()).is_ok_and(|len| len <= MAX_KEY_FILE) {
        Ok(contents)
    } else {
        Err(refused(path, format!("not a key: longer than {MAX_KEY_FILE} bytes")))
    }
}

fn check_private(path: &Path) -> Result<(), OpenError> {
    let metadata = fs::metadata(path).map_err(|source| failed(path, "cannot be looked at", source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(refused(path, format!("has mode {mode:04o}, so others can read it; run: chmod 600 {}", path.display())))
    }
}

pub(super) fn refused(path: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Keys { path: path.to_owned(), what: what.into(), source: None }
}

fn failed(path: &Path, what: &str, source: io::Error) -> OpenError {
    OpenError::Keys { path: path.to_owned(), what: what.to_owned(), source: Some(source) }
}
