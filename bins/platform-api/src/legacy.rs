//! `migrate legacy`: an older, unchained collection of audit events goes into the log, oldest first.
//!
//! Each document gets an `externalId` that depends on nothing but itself, so whatever is sent twice is known; a bookmark in the
//! store only saves the time. What cannot be an event is counted by reason, and stays where it was.

mod document;
mod extended;
mod file;
mod tally;

use std::path::PathBuf;

use anyhow::Context as _;
use dezky_audit::{AuditLog, Draft, RecordError, RefusalReason};
use dezky_store::Swap;
use dezky_store::mongo::legacy::LegacyCollection;
use serde_json::Value as Json;

use crate::bar::Bar;
use document::Refused;
use file::LegacyFile;
pub(crate) use tally::Tally;

/// The most documents, and bytes of them, that are recorded at once.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 8 << 20;
/// Batches between two bookmarks.
const BOOKMARK_EVERY: u32 = 10;

/// Where the old events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A collection of a database.
    Collection { uri: String, collection: String },
    /// What `mongoexport` writes: one document a line.
    File(PathBuf),
}

/// A document, or the text that is none, and its length.
struct Found {
    document: Result<Json, Refused>,
    name: String,
    bytes: usize,
}

enum Source {
    File(LegacyFile),
    Collection(Box<LegacyCollection>),
}

impl Source {
    async fn open(origin: &Origin) -> anyhow::Result<Self> {
        match origin {
            Origin::File(path) => {
                let path = path.clone();
                let file = tokio::task::spawn_blocking(move || LegacyFile::open(&path)).await.context("the program is ending")?;
                Ok(Self::File(file?))
            }
            Origin::Collection { uri, collection } => {
                let opened = LegacyCollection::open(uri, collection).await.context("the old collection could not be opened")?;
                Ok(Self::Collection(Box::new(opened)))
            }
        }
    }

    /// What it is, wherever it lies: the bookmark's name depends on it.
    fn identity(&self) -> String {
        match self {
            Self::File(file) => format!("migrate-legacy/file-{}", file.digest()),
            Self::Collection(collection) => format!("migrate-legacy/collection-{}", collection.digest()),
        }
    }

    fn total(&self) -> u64 {
        match self {
            Self::File(file) => file.total(),
            Self::Collection(collection) => collection.total(),
        }
    }

    /// Behind `position`, which [`Source::position`] gave.
    fn go_on(&mut self, position: &Json) {
        match self {
            Self::File(file) => file.go_on(position.as_u64().unwrap_or(0)),
            Self::Collection(collection) => collection.go_on(position),
        }
    }

    /// How far it is: everything up to there has been given out.
    fn position(&self) -> Json {
        match self {
            Self::File(file) => Json::from(file.position()),
            Self::Collection(collection) => collection.position(),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Found>> {
        match self {
            Self::File(file) => file.next().context("the old file could not be read"),
            Self::Collection(collection) => {
                let next = collection.next().await.context("the old collection could not be read")?;
                Ok(next.map(|(document, bytes)| Found { name: document::name(&document), document: Ok(document), bytes }))
            }
        }
    }
}

/// Records everything, from the bookmark on unless `again`; says what came of it.
pub(crate) async fn migrate(log: &AuditLog, origin: &Origin, again: bool, bar: &Bar) -> anyhow::Result<Tally> {
    let mut source = Source::open(origin).await?;
    let name = source.identity();
    let bookmark = log.store().bookmark(&name).await.context("the bookmark could not be read")?;
    let mut version = bookmark.as_ref().map_or(0, |bookmark| bookmark.version);
    let mut tally = Tally::default();
    if let Some(bookmark) = bookmark.filter(|_| !again)
        && let Some((position, known)) = Tally::from_bookmark(&bookmark.value)
    {
        source.go_on(&position);
        tally = known;
    }
    let (total, mut batches) = (source.total(), 0);
    loop {
        bar.at(tally.read(), total.max(tally.read()));
        let done = record(log, &mut source, &mut tally).await?;
        batches += 1;
        if done || batches % BOOKMARK_EVERY == 0 {
            let value = tally.to_bookmark(&source.position());
            match log.store().move_bookmark(&name, version, &value).await.context("the bookmark could not be written")? {
                Swap::Done { version: now } => version = now,
                Swap::Conflict { .. } => anyhow::bail!("another process migrates the same events; end one of them"),
            }
        }
        if done {
            return Ok(tally);
        }
    }
}

/// Records one batch; whether it was the last.
async fn record(log: &AuditLog, source: &mut Source, tally: &mut Tally) -> anyhow::Result<bool> {
    let (mut drafts, mut names, mut bytes, mut done) = (Vec::<Draft>::new(), Vec::new(), 0, false);
    while drafts.len() < BATCH && bytes < BATCH_BYTES {
        let Some(found) = source.next().await? else {
            done = true;
            break;
        };
        bytes += found.bytes;
        match found.document.and_then(|document| document::draft(&document)) {
            Ok(draft) => {
                drafts.push(draft);
                names.push(found.name);
            }
            Err(refused) => tally.refuse(refused.reason, &found.name, &refused.detail),
        }
    }
    let answers = patiently(log, drafts).await?;
    for (answer, name) in answers.into_iter().zip(names) {
        match answer {
            Ok(receipt) => tally.record(receipt.duplicate),
            Err(reason) => tally.refuse(reason_of(&reason), &name, &reason.to_string()),
        }
    }
    Ok(done)
}

async fn patiently(log: &AuditLog, drafts: Vec<Draft>) -> anyhow::Result<Vec<Result<dezky_audit::Receipt, RefusalReason>>> {
    match log.record_adapted(drafts).await {
        Ok(answers) => Ok(answers),
        Err(error @ RecordError::Unavailable(_)) => {
            Err(error).context("the log could not take more events; the same command goes on where it was")
        }
        Err(error) => Err(error).context("the log could not take more events"),
    }
}

const fn reason_of(reason: &RefusalReason) -> &'static str {
    match reason {
        RefusalReason::ConflictingContent { .. } | RefusalReason::ConflictingInCall { .. } => "external-id-taken",
        RefusalReason::Prepare(_) => "not-an-event",
        _ => "refused-by-the-log",
    }
}
