//! The sources that this process reads, as far as the routes know them.

use std::collections::BTreeMap;

use dezky_ingest::Health;
use dezky_ingest::webhook::Intake;

/// What sources there are. None by default.
#[derive(Clone, Default)]
pub struct Sources {
    /// Take what is posted to `/ingest/{name}`.
    pub intakes: BTreeMap<String, Intake>,
    /// How each fares.
    pub health: Vec<Health>,
}
