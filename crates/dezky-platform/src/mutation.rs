//! One change of one record: compare-and-swap, with its event beside it.

use dezky_store::{Change, Swap};

use crate::acting::Acting;
use crate::changes::between;
use crate::error::PlatformError;
use crate::event::{Subject, made};
use crate::outbox::RELAY_TIME;
use crate::platform::Platform;
use crate::record::{Record, Shelf, Versioned};

/// Changes that are given up because others always come first.
const MAX_RACES: usize = 100;

/// What is to be changed, by whom.
pub(crate) struct Mutation<'a> {
    pub(crate) acting: &'a Acting,
    pub(crate) key: &'a str,
    /// The version that the caller has seen; `None` for any.
    pub(crate) expected: Option<u64>,
    /// What it is called when it is refused before it is known what it would have been.
    pub(crate) action: &'static str,
}

/// What became of a record.
pub(crate) enum Edited<T> {
    Changed {
        value: T,
        action: &'static str,
    },
    /// It is as it should be already: nothing happens, and nothing is told.
    Same,
}

impl Platform {
    /// Edits a record as it is now; again when somebody else came first.
    pub(crate) async fn mutate<T: Record>(
        &self,
        mutation: Mutation<'_>,
        mut edit: impl FnMut(Option<&T>) -> Result<Edited<T>, PlatformError>,
    ) -> Result<Versioned<T>, PlatformError> {
        let Mutation { acting, key, expected, action } = mutation;
        for _ in 0..MAX_RACES {
            let known = Shelf::<T>::new(self).find(key).await?;
            let version = known.as_ref().map_or(0, |known| known.version);
            let edited = match expected {
                Some(expected) if known.is_some() && expected != version => Err(PlatformError::Stale { version }),
                _ => edit(known.as_ref().map(|known| &known.value)),
            };
            let (value, action) = match (edited, known.as_ref()) {
                (Ok(Edited::Changed { value, action }), _) => (value, action),
                (Ok(Edited::Same), Some(known)) => return Ok(known.clone()),
                (Ok(Edited::Same), None) => return Err(PlatformError::NotFound { what: T::RESOURCE, key: key.to_owned() }),
                (Err(error), known) => {
                    let subject = known.map_or_else(|| Subject::unknown::<T>(key), |known| Subject::of(&known.value));
                    self.tell_refusal(acting, action, subject, &error);
                    return Err(error);
                }
            };
            let body = |value: &T| serde_json::to_value(value).map_err(|source| damaged::<T>(key, source));
            let (before, after) = (known.map(|known| body(&known.value)).transpose()?, body(&value)?);
            let changes = between(before.as_ref(), &after);
            let event = made(acting, action, self.clock().now(), &value, version + 1, changes)?;
            let event = String::from_utf8(event.content()).map_err(|error| PlatformError::Event { reason: error.to_string() })?;
            let change =
                Change { collection: T::COLLECTION.to_owned(), key: key.to_owned(), expected: version, body: after.to_string() };
            match self.store().change_document(&change, &[event]).await? {
                Swap::Done { version } => {
                    self.changed(&value, version);
                    // Whether its event is in the log by now is no matter of the change.
                    drop(tokio::time::timeout(RELAY_TIME, self.relay().drain()).await);
                    return Ok(Versioned { value, version });
                }
                Swap::Conflict { .. } => {}
            }
        }
        Err(PlatformError::conflict("others change it all the time; try again"))
    }
}

fn damaged<T: Record>(key: &str, source: serde_json::Error) -> PlatformError {
    PlatformError::Damaged { what: T::RESOURCE, key: key.to_owned(), source }
}
