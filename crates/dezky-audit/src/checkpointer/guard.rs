//! What must hold before anything is signed: the store has not lost or changed what was signed before.

use dezky_audit_core::hash::Hash;
use dezky_store::{Head, Store, StoreError};

use super::own_root;
use crate::checkpoint::CheckpointError;
use crate::tree;

/// A head that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownHead {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

pub(crate) struct Guard<'a> {
    pub(crate) store: &'a dyn Store,
}

/// Why a head must not be signed.
#[derive(Debug)]
pub(crate) enum GuardError {
    Store(StoreError),
    /// The store holds less than `known`.
    Behind {
        size: u64,
        known: KnownHead,
    },
    /// The store's first events have another root than `known`.
    Fork {
        known: KnownHead,
        actual: Hash,
    },
    /// Head and tiles do not agree.
    Tree {
        size: u64,
    },
}

impl Guard<'_> {
    /// The root of `head`, if the store's tree agrees with itself and extends all known heads. The root of each is computed
    /// anew from the tiles.
    pub(crate) async fn admits(&self, head: &Head, known: &[KnownHead]) -> Result<Hash, GuardError> {
        let broken = GuardError::Tree { size: head.size };
        if let Some(known) = known.iter().find(|known| known.size > head.size) {
            return Err(GuardError::Behind { size: head.size, known: *known });
        }
        let Some(root) = own_root(self.store, head).await.map_err(GuardError::Store)? else { return Err(broken) };
        for known in known {
            let actual = tree::root_at(self.store, known.size).await.map_err(GuardError::Store)?;
            let Ok(actual) = actual else { return Err(broken) };
            if actual != known.root {
                return Err(GuardError::Fork { known: *known, actual });
            }
        }
        Ok(root)
    }
}

impl From<GuardError> for CheckpointError {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Store(error) => Self::Store(error),
            GuardError::Behind { size, known } => Self::Behind { size, signed: known.size },
            GuardError::Fork { known, actual } => Self::Fork { size: known.size, signed: known.root, actual },
            GuardError::Tree { size } => Self::Tree { size },
        }
    }
}
