//! Which log a store is opened as.

use dezky_audit_core::ids::Origin;

use crate::error::StoreError;

/// The origin that a store is opened under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The configured one: a store that holds another is refused.
    Given(Origin),
    /// Whatever the store holds; a fresh store takes this one.
    Otherwise(Origin),
}

impl Identity {
    /// The origin to go by, given what the store holds.
    pub(crate) fn settle(self, stored: Option<Origin>) -> Result<Origin, StoreError> {
        match (self, stored) {
            (Self::Given(given), Some(stored)) if given != stored => {
                Err(StoreError::OtherOrigin { stored: stored.to_string(), given: given.to_string() })
            }
            (_, Some(stored)) => Ok(stored),
            (Self::Given(origin) | Self::Otherwise(origin), None) => Ok(origin),
        }
    }
}
