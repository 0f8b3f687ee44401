//! Where a source has got to: a bookmark of the store.

use std::sync::Arc;

use dezky_audit::Store;
use dezky_store::Swap;

use crate::problem::Problem;

/// A named cursor. Only its holder moves it: when somebody else did, moving it fails, and the worker begins anew.
pub(crate) struct Cursor {
    store: Arc<dyn Store>,
    name: String,
    version: u64,
    value: Option<String>,
}

impl Cursor {
    pub(crate) async fn load(store: Arc<dyn Store>, name: &str) -> Result<Self, Problem> {
        let bookmark = store.bookmark(name).await?;
        let (version, value) = bookmark.map_or((0, None), |bookmark| (bookmark.version, Some(bookmark.value)));
        Ok(Self { store, name: name.to_owned(), version, value })
    }

    pub(crate) fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Durable on return. Everything before the new place must be durable already.
    pub(crate) async fn move_to(&mut self, value: String) -> Result<(), Problem> {
        if self.value.as_ref() == Some(&value) {
            return Ok(());
        }
        match self.store.move_bookmark(&self.name, self.version, &value).await? {
            Swap::Done { version } => {
                self.version = version;
                self.value = Some(value);
                Ok(())
            }
            Swap::Conflict { .. } => Err(Problem::new(
                format!("another process moved the cursor {}", self.name),
                "one process reads a source at a time; this one begins anew from there",
            )),
        }
    }
}
