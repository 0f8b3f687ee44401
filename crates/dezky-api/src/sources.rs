//! The sources that this process reads, as far as the routes know them.

use dezky_ingest::Health;
use dezky_ingest::stalwart::StalwartIntake;

/// What sources there are. None by default.
#[derive(Clone, Default)]
pub struct Sources {
    /// Takes Stalwart's webhooks.
    pub stalwart: Option<StalwartIntake>,
    /// How each fares.
    pub health: Vec<Health>,
}
