//! Opening a log: what is checked before the first event is taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dezky_audit_core::checkpoint::Reason;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Origin;
use dezky_audit_core::note::{SigningKey, VerifyingKey};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{Identity, Store, StoreError, Swap};
use tokio::sync::{Notify, watch};

use crate::audit_log::{AuditLog, Inner, Tasks};
use crate::checkpoint::CheckpointError;
use crate::checkpointer::{self, Guard, GuardError, KnownHead, Requests, Signer};
use crate::config::{Config, KnownCheckpoint};
use crate::keys::{IngestSecret, KeyFolder, Keys, Vouched};
use crate::lane::Lane;
use crate::lane::intake::Intake;
use crate::lane::replay::Replay;
use crate::metrics::Counters;
use crate::own::OwnEvents;
use crate::queue::Queue;
use crate::record::RecordError;
use crate::recorder::Recorder;
use crate::spool::{Spool, SpoolThread};
use crate::verify::Verifier;
use crate::world::{NoRandomness, Randomness, World};

/// Which keys signed last, one a line.
pub(crate) const SIGNING_KEYS: &str = "signing-keys";
/// How often the keys that signed last are compared again, because another process has changed them.
const MAX_RACES: usize = 10;
/// No note is longer.
const MAX_NOTE: u64 = 1_000_000;

/// Why a log was not opened. Nothing was recorded or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("the store could not be opened or read")]
    Store(#[from] StoreError),
    #[error("the store holds the log '{stored}', not '{configured}'; correct AUDIT_LOG_ORIGIN, or use another store")]
    OtherOrigin { stored: String, configured: String },
    #[error("{path}: {what}")]
    Keys {
        path: PathBuf,
        what: String,
        #[source]
        source: Option<std::io::Error>,
    },
    #[error("{path}: {what}")]
    Spool {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint that is kept in the store, or elsewhere, is not one that this log's keys signed.
    #[error("the {which} does not verify under the log's keys: {why}; restore the keys folder, or what was changed")]
    BadCheckpoint { which: String, why: String },
    /// Somebody else signs for this log.
    #[error(
        "the {which} was signed by {}, this process has {}: all processes of one log sign with the same key. Give this one the key \
         of the others; if the log's key has changed, put the old one's vkey into the keys folder as a *.vkey file",
        .signers.join(", "), .ours.join(", ")
    )]
    OtherSigner { which: String, signers: Vec<String>, ours: Vec<String> },
    /// The store holds less than was signed.
    #[error(
        "the store ends at {size} events, but a checkpoint of {signed} events (root {root}) was signed ({known_from}): events are missing. \
         Restore the store's newest copy; to go on without them, start a log with a new origin",
        root = root.to_base64()
    )]
    Behind { size: u64, signed: u64, root: Hash, known_from: String },
    /// The store holds something else than was signed.
    #[error(
        "the first {size} events have root {actual}, but a checkpoint with root {signed} was signed ({known_from}): the store was \
         changed. Run a verification on a copy; to go on, start a log with a new origin",
        actual = actual.to_base64(), signed = signed.to_base64()
    )]
    Fork { size: u64, signed: Hash, actual: Hash, known_from: String },
    /// What the store says about its tree does not agree with itself.
    #[error("the store's tree of {size} events does not agree with its head")]
    Tree { size: u64 },
    #[error("the first checkpoint could not be made")]
    Checkpoint(#[source] CheckpointError),
    #[error("the change of keys could not be recorded")]
    KeyChange(#[source] RecordError),
    #[error("no key could be made")]
    Random(#[from] NoRandomness),
}

/// Opens the embedded default.
pub(crate) async fn open_in(dir: &Path, config: Config) -> Result<AuditLog, OpenError> {
    let world = World::system();
    let identity = match &config.origin {
        Some(origin) => Identity::Given(origin.clone()),
        None => Identity::Otherwise(new_origin(&*world.random)?),
    };
    let unmade = |error| StoreError::Unavailable { what: "its folder cannot be made", source: Some(Box::new(error)) };
    let mut folder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(folder.recursive(true), 0o700).create(dir).map_err(unmade)?;
    let store = SqliteStore::open(dir.join("audit.db"), identity, SqliteOptions::default()).await?;
    open(config, Arc::new(store), world).await
}

/// `localhost/` and 64 random bits.
fn new_origin(random: &dyn Randomness) -> Result<Origin, OpenError> {
    let mut bits = [0; 8];
    random.fill(&mut bits)?;
    let text = format!("localhost/{:016x}", u64::from_be_bytes(bits));
    text.parse().map_err(|_| NoRandomness.into())
}

pub(crate) async fn open(config: Config, store: Arc<dyn Store>, world: World) -> Result<AuditLog, OpenError> {
    let origin = store.origin().clone();
    if let Some(configured) = config.origin.as_ref().filter(|configured| **configured != origin) {
        return Err(OpenError::OtherOrigin { stored: origin.to_string(), configured: configured.to_string() });
    }
    let newest = store.latest_checkpoint().await?;
    let fresh = Fresh { keys: newest.is_none(), log: store.head().await?.size == 0 };
    let files = read_files(&config, &origin, &world, fresh).await?;
    let hmac = config.signing_secret.as_ref().map(|secret| (&origin, secret));
    let keys = Keys::assemble(files.signing, files.retired, hmac, &*store, world.clock.now()).await?;
    let keys = Arc::new(keys);
    let stored = newest.as_ref().map(|record| (format!("newest checkpoint in the store (size {})", record.size), &record.note));
    let given = config.known_checkpoints.iter().map(|known| (format!("checkpoint in {}", known.from), &known.note));
    let kept = files.kept.as_ref().map(|(name, note)| (name.clone(), note));
    guard(&*store, &keys, stored.into_iter().chain(kept).chain(given)).await?;

    let spool = open_spool(&config, &world).await?;
    let spool_failed = |source| OpenError::Spool { path: config.spool.dir.clone(), what: "its thread cannot be started", source };
    let (spool, spool_thread) = SpoolThread::start(spool).map_err(spool_failed)?;
    let spool_gauges = spool.gauges();

    let counters = Arc::new(Counters::default());
    let queue = Arc::new(Queue::new(config.record));
    let (size, size_seen) = watch::channel(0);
    let recorder = Recorder::new(
        Arc::clone(&store),
        Arc::clone(&world.clock),
        Arc::clone(&queue),
        Arc::clone(&counters),
        size,
        config.record,
    );
    let recorder = tokio::spawn(recorder.run());
    let own = OwnEvents { queue: Arc::clone(&queue), secret: files.ingest.clone(), world: world.clone() };

    let (newest, newest_seen) = watch::channel(newest);
    let signer = Signer {
        store: Arc::clone(&store),
        origin: origin.clone(),
        keys: Arc::clone(&keys),
        world: world.clone(),
        counters: Arc::clone(&counters),
        kept: config.kept_checkpoint.clone(),
        newest,
    };
    let signed = async {
        tell_key_change(&*store, &keys, &own).await?;
        if !config.compare_later {
            signer.checkpoint(Reason::Startup).await.map_err(OpenError::Checkpoint)?;
        }
        Ok::<_, OpenError>(())
    };
    if let Err(error) = signed.await {
        queue.close();
        return Err(error);
    }

    let lane = Arc::new(Lane::new(&config.spool, Arc::clone(&counters)));
    let spooled = Arc::new(Notify::new());
    let intake = Intake {
        lane: Arc::clone(&lane),
        queue: Arc::clone(&queue),
        spool: spool.clone(),
        counters: Arc::clone(&counters),
        spooled: Arc::clone(&spooled),
    };
    let intake = tokio::spawn(intake.run());
    let (stop_replay, replay_stops) = watch::channel(false);
    let replay = Replay {
        spool,
        queue: Arc::clone(&queue),
        secret: files.ingest.clone(),
        world: world.clone(),
        own: own.clone(),
        counters: Arc::clone(&counters),
        spooled,
        stop: replay_stops,
    };
    let replay = tokio::spawn(replay.run());
    let (requests, inbox) = Requests::new();
    let (stop_signing, signing_stops) = watch::channel(false);
    let (compared, may_sign) = watch::channel(!config.compare_later);
    let signing = checkpointer::run(signer, config.checkpoints, own, inbox, size_seen.clone(), may_sign, signing_stops);
    let checkpointer = tokio::spawn(signing);

    Ok(AuditLog::new(Inner {
        origin,
        store,
        world,
        keys,
        secret: files.ingest,
        queue,
        lane,
        counters,
        spool_gauges,
        spool_limit: config.spool.limit,
        lane_limit: config.spool.queue_events,
        record_limits: config.record,
        max_findings: config.max_findings,
        requests,
        newest: newest_seen,
        size: size_seen,
        verifier: Verifier::default(),
        compared,
        stop_replay,
        stop_signing,
        tasks: std::sync::Mutex::new(Some(Tasks { recorder, intake, replay, checkpointer, spool: spool_thread })),
    }))
}

/// What may still be made.
#[derive(Clone, Copy)]
struct Fresh {
    /// Nothing has been signed.
    keys: bool,
    /// Nothing has been recorded.
    log: bool,
}

/// What lies in files.
struct Files {
    signing: Vec<SigningKey>,
    retired: Vec<VerifyingKey>,
    ingest: IngestSecret,
    /// What it is, and the note.
    kept: Option<(String, String)>,
}

async fn read_files(config: &Config, origin: &Origin, world: &World, fresh: Fresh) -> Result<Files, OpenError> {
    let (config, origin, random) = (config.clone(), origin.clone(), Arc::clone(&world.random));
    blocking(move || {
        let folder = KeyFolder::open(&config.keys_dir, &*random)?;
        let (signing, ingest) = match (&config.shared, &config.ingest_secret) {
            (Some(shared), _) if *shared.origin() != origin => {
                return Err(OpenError::OtherOrigin { stored: origin.to_string(), configured: shared.origin().to_string() });
            }
            (Some(shared), _) => (vec![shared.signing.clone()], shared.ingest.clone()),
            (None, Some(secret)) => (folder.signing_keys(&origin, fresh.keys)?, secret.clone()),
            (None, None) => (folder.signing_keys(&origin, fresh.keys)?, folder.ingest_secret(fresh.log)?),
        };
        Ok(Files {
            signing,
            retired: folder.retired_keys()?,
            ingest,
            kept: config.kept_checkpoint.as_deref().map(read_kept).transpose()?.flatten(),
        })
    })
    .await
}

async fn open_spool(config: &Config, world: &World) -> Result<Spool, OpenError> {
    let (config, random) = (config.spool.clone(), Arc::clone(&world.random));
    blocking(move || Spool::open(&config, &*random)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, OpenError> + Send + 'static) -> Result<T, OpenError> {
    let ended = |error| StoreError::Unavailable { what: "the program is ending", source: Some(Box::new(error)) };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

fn read_kept(path: &Path) -> Result<Option<(String, String)>, OpenError> {
    let failed = |what: &str, source| OpenError::Keys { path: path.to_owned(), what: what.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("cannot be looked at", Some(error))),
        Ok(metadata) if metadata.len() > MAX_NOTE => return Err(failed("too long for a checkpoint", None)),
        Ok(_) => {}
    }
    let note = std::fs::read_to_string(path).map_err(|error| failed("cannot be read", Some(error)))?;
    Ok(Some((format!("checkpoint kept in {}", path.display()), note)))
}

/// Refuses what [`guard`] refuses, of a log that is open.
pub(crate) async fn agrees(log: &Inner, known: &KnownCheckpoint) -> Result<(), OpenError> {
    let which = format!("checkpoint in {}", known.from);
    guard(&*log.store, &log.keys, std::iter::once((which, &known.note))).await
}

/// Refuses a store that has lost or changed something that was signed.
async fn guard(store: &dyn Store, keys: &Keys, notes: impl Iterator<Item = (String, &String)>) -> Result<(), OpenError> {
    let mut known = Vec::new();
    for (which, note) in notes {
        match keys.vouch(store.origin(), note) {
            Vouched::Known(checkpoint) => known.push((KnownHead { size: checkpoint.size, root: checkpoint.root }, which)),
            Vouched::Stranger { signers } => return Err(OpenError::OtherSigner { which, signers, ours: keys.names() }),
            Vouched::Broken(why) => return Err(OpenError::BadCheckpoint { which, why }),
        }
    }
    let head = store.head().await?;
    // One by one, so that the message can name the checkpoint.
    for (known, known_from) in known {
        Guard { store }.admits(&head, &[known]).await.map_err(|error| match error {
            GuardError::Store(error) => OpenError::Store(error),
            GuardError::Behind { size, known } => OpenError::Behind { size, signed: known.size, root: known.root, known_from },
            GuardError::Fork { known, actual } => OpenError::Fork { size: known.size, signed: known.root, actual, known_from },
            GuardError::Tree { size } => OpenError::Tree { size },
        })?;
    }
    Ok(())
}

/// Records `audit.key_changed` when other keys sign than did last. Of those at least one must be known here: or a process
/// with a key of its own would begin to sign beside the others.
async fn tell_key_change(store: &dyn Store, keys: &Keys, own: &OwnEvents) -> Result<(), OpenError> {
    let mut now: Vec<_> = keys.published().iter().map(|key| key.vkey.clone()).collect();
    now.sort_unstable();
    let value = now.join("\n");
    for _ in 0..MAX_RACES {
        let before = store.bookmark(SIGNING_KEYS).await?;
        let version = before.as_ref().map_or(0, |bookmark| bookmark.version);
        if let Some(before) = before {
            if before.value == value {
                return Ok(());
            }
            let old: Vec<_> = before.value.split('\n').map(str::to_owned).collect();
            if !keys.knows_any(&old) {
                let which = "log of this store".to_owned();
                return Err(OpenError::OtherSigner { which, signers: old, ours: keys.names() });
            }
            let size = store.head().await?.size;
            match own.key_changed(&old, &now, size, &format!("key-changed-{version}")).await {
                // Refused: told before, by a start that ended before it could note that down.
                Ok(_) | Err(RecordError::Refused(_)) => {}
                Err(error) => return Err(OpenError::KeyChange(error)),
            }
        }
        if let Swap::Done { .. } = store.move_bookmark(SIGNING_KEYS, version, &value).await? {
            return Ok(());
        }
        // Another process was quicker: what it wrote is compared anew.
    }
    Err(StoreError::Unavailable { what: "other processes keep changing the log's keys", source: None }.into())
}
