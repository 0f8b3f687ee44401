//! A depot in a local folder.
//!
//! An object is written to a file beside the archive, synced, and given its name by a hard link, which fails where the name is
//! taken; then the folder is synced. So an object is there whole or not at all, whatever happens when. Files have mode 0600,
//! folders 0700.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use sha2::{Digest, Sha256};

use super::{Body, Content, Depot, DepotError, Entry, ObjectKey, Put};

/// Where objects are before they have their names; no object's name begins with a dot.
const INCOMING: &str = ".incoming";
/// What lies there for so long belongs to a process that died.
const ABANDONED: Duration = Duration::from_secs(24 * 3_600);
const BUFFER: usize = 256 << 10;

/// A depot in a folder of its own, on a file system that knows hard links.
#[derive(Debug, Clone)]
pub struct FolderDepot {
    root: Arc<Path>,
}

impl FolderDepot {
    /// Opens the depot, and makes its folder where there is none.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, DepotError> {
        let root: Arc<Path> = root.into().into();
        let place = root.display().to_string();
        let failed = move |source: Option<io::Error>| DepotError::Open {
            hint: source.as_ref().map_or("the program is ending", hint).to_owned(),
            place,
            away: false,
            source: source.map(Into::into),
        };
        let depot = Self { root };
        let prepared = depot.clone();
        match tokio::task::spawn_blocking(move || prepared.prepare()).await {
            Ok(Ok(())) => Ok(depot),
            Ok(Err(error)) => Err(failed(Some(error))),
            Err(_) => Err(failed(None)),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        let incoming = self.root.join(INCOMING);
        make_folder(&incoming)?;
        for entry in fs::read_dir(&incoming)? {
            let entry = entry?;
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| SystemTime::now().duration_since(at));
            if matches!(age, Ok(Ok(age)) if age > ABANDONED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn put_now(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, PutFault> {
        let path = self.path(key);
        if path.try_exists()? {
            // Durable also when whoever put it died before that.
            sync_folder(path.parent().unwrap_or(&self.root))?;
            return Ok(Put::Exists);
        }
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let temporary = self.root.join(INCOMING).join(format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(bits)));
        let put = self.put_through(&temporary, &path, content, sha256);
        // Its name is the other link; without one it is of no use.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, path = %temporary.display(), "a temporary file stays behind");
            }
            _ => {}
        }
        put
    }

    fn put_through(&self, temporary: &Path, path: &Path, content: Content, sha256: Hash) -> Result<Put, PutFault> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let actual = match content {
            Content::Bytes(bytes) => copy(&mut &bytes[..], &mut file)?,
            Content::File(mut from) => {
                from.seek(SeekFrom::Start(0))?;
                copy(&mut from, &mut file)?
            }
        };
        if actual != sha256 {
            return Err(PutFault::Checksum(actual));
        }
        file.sync_all()?;
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        match fs::hard_link(temporary, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                sync_folder(folder)?;
                return Ok(Put::Exists);
            }
            Err(error) => return Err(error.into()),
        }
        sync_folder(folder)?;
        Ok(Put::Created)
    }

    fn open_now(&self, key: &ObjectKey) -> io::Result<File> {
        File::open(self.path(key)).map_err(|error| self.or_away(error))
    }

    fn look_now(&self, key: &ObjectKey) -> io::Result<fs::Metadata> {
        fs::metadata(self.path(key)).map_err(|error| self.or_away(error))
    }

    /// An object that is not there is one thing, a folder that is not there another: what lies in it is not gone.
    fn or_away(&self, error: io::Error) -> io::Error {
        let away = error.kind() == ErrorKind::NotFound && !self.root.is_dir();
        if away { io::Error::new(ErrorKind::NotConnected, error) } else { error }
    }

    fn list_now(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> io::Result<Vec<Entry>> {
        // Everything that the prefix names lies in the folder that it names, or below.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = Vec::new();
        if folder.is_empty() || ObjectKey::new(folder).is_ok() {
            self.list_below(folder, &Wanted { prefix, after: after.map_or("", ObjectKey::as_str), limit }, &mut found)?;
        }
        Ok(found)
    }

    /// In the order of names, as far as is wanted. What is no object's name, such as the folder of temporary files, is left out.
    fn list_below(&self, folder: &str, wanted: &Wanted<'_>, found: &mut Vec<Entry>) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(folder)).map_err(|error| self.or_away(error)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let Ok(key) = ObjectKey::new(name) else { continue };
            if entry.file_type()?.is_dir() {
                let inside = format!("{key}/");
                if wanted.may_lie_in(&inside) {
                    names.push((inside, key, None));
                }
            } else if wanted.admits(key.as_str()) {
                names.push((key.to_string(), key, Some(entry)));
            }
        }
        // What lies in a folder begins with its name and a slash, and so sorts among its neighbours.
        names.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        for (_, key, entry) in names {
            if found.len() >= wanted.limit {
                break;
            }
            match entry {
                None => self.list_below(key.as_str(), wanted, found)?,
                Some(entry) => {
                    let metadata = entry.metadata()?;
                    if metadata.is_file() {
                        found.push(Entry { key, size: metadata.len() });
                    }
                }
            }
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Option<T> {
        let depot = self.clone();
        tokio::task::spawn_blocking(move || work(&depot)).await.ok()
    }
}

#[async_trait]
impl Depot for FolderDepot {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        let wanted = key.clone();
        let put = self.blocking(move |depot| depot.put_now(&wanted, content, sha256)).await;
        put.unwrap_or_else(|| Err(ending().into())).map_err(|fault| match fault {
            PutFault::Checksum(actual) => DepotError::Checksum { key: key.to_string(), expected: sha256, actual },
            PutFault::Io(error) => DepotError::Put {
                key: key.to_string(),
                place: self.place(),
                hint: hint(&error).to_owned(),
                source: Some(error.into()),
            },
        })
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        let wanted = key.clone();
        let opened = self.blocking(move |depot| depot.open_now(&wanted)).await;
        match opened.unwrap_or_else(|| Err(ending())) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(key, error)),
        }
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        let wanted = key.clone();
        let looked = self.blocking(move |depot| depot.look_now(&wanted)).await;
        match looked.unwrap_or_else(|| Err(ending())) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unread(key, error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        let (wanted, after) = (prefix.to_owned(), after.cloned());
        let listed = self.blocking(move |depot| depot.list_now(&wanted, after.as_ref(), limit)).await;
        listed.unwrap_or_else(|| Err(ending())).map_err(|error| DepotError::List {
            prefix: prefix.to_owned(),
            place: self.place(),
            hint: hint(&error).to_owned(),
            source: Some(error.into()),
        })
    }
}

impl FolderDepot {
    fn unread(&self, key: &ObjectKey, error: io::Error) -> DepotError {
        DepotError::Get { key: key.to_string(), place: self.place(), hint: hint(&error).to_owned(), source: Some(error.into()) }
    }
}

/// What is asked of a listing.
struct Wanted<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
}

impl Wanted<'_> {
    fn admits(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && key > self.after
    }

    /// Whether a folder, named with its slash, may hold what is wanted.
    fn may_lie_in(&self, inside: &str) -> bool {
        let named = inside.starts_with(self.prefix) || self.prefix.starts_with(inside);
        named && (self.after < inside || self.after.starts_with(inside))
    }
}

enum PutFault {
    Io(io::Error),
    Checksum(Hash),
}

impl From<io::Error> for PutFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "give the service's user the right to read and write in this folder",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on that disk",
        ErrorKind::NotConnected => "the folder is not there: mount it, or put it back",
        ErrorKind::ReadOnlyFilesystem => "mount that file system for writing",
        ErrorKind::Unsupported => "use a file system that knows hard links",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a file is where a folder should be: move it away",
        _ => "see the cause, and try again",
    }
}

fn ending() -> io::Error {
    io::Error::other("the program is ending")
}

/// Copies everything and returns its SHA-256.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<Hash> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(Hash::new(sha256.finalize().into())),
            Ok(length) => {
                sha256.update(&buffer[..length]);
                to.write_all(&buffer[..length])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder and those above it, each durable in its parent.
fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).ok_or(error)?;
            make_folder(parent)?;
            make_folder(path)
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
