//! `recover`: a new log after one that has lost events for good. It begins by quoting the last known checkpoint of its predecessor.
//!
//! The predecessor stays as it is: to be read, verified, and compared with what others hold of it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dezky_audit::{Clock as _, KeyRing, Reason, SystemClock, folder_keys};
use dezky_audit_core::checkpoint::{self, Checkpoint, Opened};
use dezky_audit_core::note::VerifyingKey;
use dezky_cold::depot::BucketSettings;
use dezky_cold::{Depot, FolderDepot, S3Depot, newest_checkpoint};

use crate::cold::{self, Place};
use crate::data_dir::DataDir;
use crate::settings::Settings;
use crate::wire;

/// What is known of the predecessor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Predecessor {
    /// Its data folder, with its keys and archives.
    pub(crate) dir: Option<PathBuf>,
    /// Its archives, where they are not in that folder: another one, or `s3://BUCKET/PREFIX`.
    pub(crate) archives: Option<PathBuf>,
    /// Notes that were kept elsewhere.
    pub(crate) checkpoints: Vec<PathBuf>,
    /// Its keys, where they are not in that folder.
    pub(crate) keys: Vec<String>,
}

/// A checkpoint of the predecessor.
struct Known {
    from: String,
    note: String,
    checkpoint: Checkpoint,
}

/// Starts the new log, and says what it quotes.
pub(crate) async fn run(predecessor: &Predecessor, settings: Settings) -> anyhow::Result<String> {
    let last = last_known(predecessor, &settings).await?;
    let dir = DataDir::claim(&settings.data_dir).context("the data folder of the new log cannot be used")?;
    let old = predecessor.dir.as_deref().and_then(|dir| std::fs::canonicalize(dir).ok());
    anyhow::ensure!(
        old.as_deref() != Some(dir.path()),
        "{} is the data folder of the old log: name another one for the new log with --data-dir, and keep the old",
        dir.path().display()
    );
    let depot = cold::depot(&settings).await.context("the archives of the new log")?;
    if let Some(depot) = &depot {
        let taken = newest_checkpoint(&**depot, SystemClock.now()).await.context("the archives of the new log")?;
        if let Some(taken) = taken.filter(|taken| !taken.note.starts_with(&own_beginning(&settings))) {
            anyhow::bail!(
                "{} holds archives of another log already ({}): give the new log another folder or prefix",
                depot.place(),
                taken.key
            );
        }
    }
    let drain_time = settings.http.limits.drain_time;
    let log = wire::open_log(settings, &dir, depot.as_ref()).await?;
    let continued = async {
        let receipt = log.continue_from(&last.note, &last.checkpoint).await.context("the new log could not be begun")?;
        anyhow::ensure!(
            receipt.seq.get() == 1,
            "{} holds events already: a log that continues another begins with it",
            log.origin()
        );
        log.checkpoint(Reason::Manual).await.context("the new log could not be signed")?;
        let keys: Vec<_> = log.keys().iter().map(|key| key.vkey.clone()).collect();
        Ok(format!(
            "old log    {}\nlast known {} events, root {} ({})\nnew log    {}\nkeys       {}\n\n\
             Its first event, audit.log_continued, quotes that checkpoint. Start it with: platform-api serve --data-dir {}\n",
            last.checkpoint.origin,
            last.checkpoint.size,
            last.checkpoint.root.to_base64(),
            last.from,
            log.origin(),
            keys.join(" "),
            dir.path().display(),
        ))
    };
    let said = continued.await;
    let drained = log.shutdown(drain_time).await;
    anyhow::ensure!(drained.complete || said.is_err(), "the new log could not be closed in time");
    said
}

/// How the notes of a log with a configured origin begin.
fn own_beginning(settings: &Settings) -> String {
    let configured = settings.log.shared.as_ref().map(dezky_audit::SharedKeys::origin).or(settings.log.origin.as_ref());
    configured.map_or_else(|| "\n".to_owned(), |origin| format!("{origin}\n"))
}

/// The newest checkpoint of the predecessor that can be found, under its keys.
async fn last_known(predecessor: &Predecessor, settings: &Settings) -> anyhow::Result<Known> {
    let ring = ring(predecessor)?;
    let mut notes = Vec::new();
    let kept = predecessor.dir.as_ref().map(|dir| dir.join("keys").join("checkpoint.note"));
    for path in kept.iter().chain(&predecessor.checkpoints) {
        match std::fs::read_to_string(path) {
            Ok(note) => notes.push((path.display().to_string(), note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && Some(path) == kept.as_ref() => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    if let Some(depot) = archives(predecessor, settings).await.context("the archives of the old log")? {
        let newest = newest_checkpoint(&*depot, SystemClock.now()).await.context("the archives of the old log")?;
        notes.extend(newest.map(|newest| (format!("{}/{}", depot.place(), newest.key), newest.note)));
    }
    let known: Vec<_> = notes.into_iter().map(|(from, note)| opened(&ring, from, note)).collect::<anyhow::Result<_>>()?;
    for pair in known.windows(2) {
        let (one, other) = (&pair[0].checkpoint, &pair[1].checkpoint);
        anyhow::ensure!(one.origin == other.origin, "{} and {} are of two logs", pair[0].from, pair[1].from);
        anyhow::ensure!(
            one.size != other.size || one.root == other.root,
            "{} and {} are of one size and have two roots: the old log has signed two histories. Keep both notes",
            pair[0].from,
            pair[1].from
        );
    }
    known.into_iter().max_by_key(|known| known.checkpoint.size).context(
        "no checkpoint of the old log was found: name its data folder with --from, its archives with --archives, or a note with --checkpoint",
    )
}

/// The depot of the predecessor, to be read: a bucket is asked with the server and the credentials of the new log's settings, where
/// those name a bucket too, else as the usual AWS environment says.
async fn archives(predecessor: &Predecessor, settings: &Settings) -> anyhow::Result<Option<Box<dyn Depot>>> {
    let named = predecessor.archives.as_deref().and_then(Path::to_str);
    if let Some(named) = named.and_then(|named| named.strip_prefix("s3://")) {
        let (bucket, prefix) = named.split_once('/').unwrap_or((named, ""));
        let own = match &settings.cold.place {
            Some(Place::Bucket(own)) => own.bucket.clone(),
            _ => BucketSettings::new("", ""),
        };
        let bucket = BucketSettings { bucket: bucket.to_owned(), prefix: prefix.to_owned(), encrypt: false, lock: None, ..own };
        return Ok(Some(Box::new(S3Depot::open_to_read(bucket).await?)));
    }
    let folder = predecessor.archives.clone().or_else(|| predecessor.dir.as_ref().map(|dir| dir.join("cold")));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else { return Ok(None) };
    Ok(Some(Box::new(FolderDepot::open(folder).await?)))
}

/// The keys that the predecessor's checkpoints verify under.
fn ring(predecessor: &Predecessor) -> anyhow::Result<KeyRing> {
    let folder = predecessor.dir.as_ref().map(|dir| dir.join("keys")).filter(|folder| folder.is_dir());
    let mut ring = folder.map(|folder| folder_keys(&folder)).transpose()?.unwrap_or_default();
    for key in &predecessor.keys {
        let key: VerifyingKey = key.parse().map_err(|error| anyhow::anyhow!("--key {key}: {error}"))?;
        ring.add(key).context("--key")?;
    }
    anyhow::ensure!(
        !ring.keys().is_empty(),
        "no key of the old log is known: name its data folder with --from, or its vkey with --key"
    );
    Ok(ring)
}

fn opened(ring: &KeyRing, from: String, note: String) -> anyhow::Result<Known> {
    let origin = note.lines().next().unwrap_or_default().to_owned();
    match checkpoint::open(note.as_bytes(), &origin, ring) {
        Opened::Verified(verified) => Ok(Known { from, note, checkpoint: verified.checkpoint }),
        _ => anyhow::bail!("{from} is no checkpoint that a known key of the old log has signed"),
    }
}
