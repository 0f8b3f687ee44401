//! The events of the overlap that were seen lately: what need not be delivered again, and what is missing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

/// The most events that are remembered; more are read and recorded all the same.
const MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Seen>>);

struct Seen {
    at: Timestamp,
    mac: Hash,
    /// In the scan that runs now.
    again: bool,
}

impl Known {
    /// Whether exactly this was seen. It counts as seen again, also when it says something else now.
    pub(super) fn is_known(&self, pk: &str, at: Timestamp, mac: Hash) -> bool {
        self.held().get_mut(pk).is_some_and(|seen| {
            seen.again = true;
            seen.at == at && seen.mac == mac
        })
    }

    pub(super) fn keep(&self, pk: String, at: Timestamp, mac: Hash) {
        let mut seen = self.held();
        if seen.len() < MAX || seen.contains_key(&pk) {
            seen.insert(pk, Seen { at, mac, again: true });
        }
    }

    /// What lies between two times, and was not seen again.
    pub(super) fn missing(&self, from: Timestamp, until: Timestamp) -> Vec<String> {
        let seen = self.held();
        let missing = seen.iter().filter(|(_, seen)| !seen.again && seen.at >= from && seen.at <= until);
        missing.map(|(pk, _)| pk.clone()).collect()
    }

    pub(super) fn forget(&self, pks: &[String]) {
        let mut seen = self.held();
        for pk in pks {
            seen.remove(pk);
        }
    }

    /// A new scan begins: nothing was seen in it, and what is older is not looked for.
    pub(super) fn let_go_before(&self, floor: Timestamp) {
        let mut seen = self.held();
        seen.retain(|_, seen| seen.at >= floor);
        seen.values_mut().for_each(|seen| seen.again = false);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
