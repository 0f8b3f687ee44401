//! The audit file of OCIS, followed through every kind of rotation.
//!
//! The cursor is `<inode>:<position>:<generation>:<head length>:<head fingerprint>:<skipping>`. The generation rises with every
//! new file, truncation and changed head, so that an event's `externalId`, `<generation>:<position>`, is never given twice.

mod file;
mod place;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::source::{Mapped, SourceKey, ocis};
use tokio::task::JoinHandle;

use self::file::{Look, TailFile};
use self::place::Place;
use crate::cursor::Cursor;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The cursor's name in the store.
pub const CURSOR: &str = "ingest/ocis-file";

/// What OCIS must be told for its file to be there (contracts, section 3.1).
const SETTINGS: &str = "OCIS writes it only with OCIS_ADD_RUN_SERVICES=audit, AUDIT_LOG_TO_FILE=true, AUDIT_FILEPATH=<this path> and \
                        AUDIT_FORMAT=json, in a folder that uid 1000 may write to";

/// Follows one file.
pub struct FileTail {
    delivery: Delivery,
    cursor: Cursor,
    /// Lent to the thread that reads.
    file: Option<TailFile>,
    path: PathBuf,
    /// While there is more in the file, the next piece is read and mapped when one is recorded.
    ahead: Option<Looking>,
}

/// A look on a thread of its own.
type Looking = JoinHandle<(TailFile, io::Result<Look>)>;

impl FileTail {
    /// Goes on where the cursor stands, or begins at the start of the file.
    ///
    /// # Errors
    /// When the store does not answer, or the cursor cannot be read.
    pub async fn resume(delivery: Delivery, path: PathBuf) -> Result<Self, Problem> {
        let cursor = Cursor::load(Arc::clone(delivery.log.store()), CURSOR).await?;
        let place = match cursor.value() {
            None => None,
            Some(text) => Some(text.parse::<Place>().map_err(|()| {
                Problem::new(format!("the cursor {CURSOR} cannot be read"), "it was written by a later version, or by hand")
            })?),
        };
        let file = TailFile::new(path.clone(), place, delivery.key().clone());
        Ok(Self { delivery, cursor, file: Some(file), path, ahead: None })
    }

    /// `None` where the file got lost with a look that was broken off.
    fn start_looking(&mut self) -> Option<Looking> {
        let mut file = self.file.take()?;
        let key = self.delivery.key().clone();
        Some(tokio::task::spawn_blocking(move || {
            let look = file.look();
            (file, look.map(|look| look.mapped(&key)))
        }))
    }

    async fn look(&mut self) -> Result<Look, Problem> {
        let Some(looking) = self.ahead.take().or_else(|| self.start_looking()) else {
            return Err(Problem::new("reading the file was broken off", ""));
        };
        let (file, look) = looking.await.map_err(|_| Problem::new("reading the file failed", "please report it"))?;
        self.file = Some(file);
        let path = self.path.display();
        look.map_err(|error| Problem::new(format!("{path}: {error}"), "it must be a file that this process may read"))
    }
}

#[async_trait]
impl Work for FileTail {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let look = self.look().await?;
        let mut warning = None;
        let progress = match look {
            Look::NoFile => {
                warning = Some(format!("there is no file {} yet; {SETTINGS}", self.path.display()));
                Progress::CaughtUp
            }
            Look::Nothing { waiting } => {
                self.delivery.health.held().waiting = Some(waiting);
                Progress::CaughtUp
            }
            Look::Moved { place, lost } => {
                if lost {
                    let path = self.path.display();
                    let message =
                        format!("the rest of the former {path} could not be found; keep it uncompressed for one rotation");
                    tracing::warn!("{message}");
                    warning = Some(message);
                }
                self.cursor.move_to(place.to_string()).await?;
                Progress::More
            }
            Look::Mapped { mapped, place, waiting } => {
                if waiting > 0 {
                    self.ahead = self.start_looking();
                }
                self.delivery.deliver(mapped).await?;
                self.cursor.move_to(place.to_string()).await?;
                self.delivery.health.held().waiting = Some(waiting);
                Progress::More
            }
            Look::Lines { .. } => Progress::More,
        };
        let mut health = self.delivery.health.held();
        if warning.is_some() || progress == Progress::CaughtUp {
            health.warning = warning;
        }
        self.cursor.value().unwrap_or_default().clone_into(&mut health.cursor);
        Ok(progress)
    }
}

impl Look {
    /// Lines become drafts on the thread that read them.
    fn mapped(self, key: &SourceKey) -> Self {
        let Self::Lines { bytes, from, place, waiting } = self else { return self };
        let mut position = from.position;
        let mut mapped: Vec<Mapped> = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty() {
                mapped.extend(ocis::map_line(text, from.generation, position, key));
            }
            position += line.len() as u64;
        }
        Self::Mapped { mapped, place, waiting }
    }
}
