//! What lies where, as it was when somebody last asked.

use std::fmt;

use dezky_cold::{Cold, Figures};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::log_numbers::Writer;

pub(super) struct ColdNumbers(Cold);

impl ColdNumbers {
    pub(super) const fn new(cold: Cold) -> Self {
        Self(cold)
    }
}

impl fmt::Debug for ColdNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ColdNumbers")
    }
}

impl Collector for ColdNumbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.known_figures().map_or(Ok(()), |figures| write(&figures, &mut Writer(encoder)))
    }
}

fn write(now: &Figures, out: &mut Writer<'_>) -> fmt::Result {
    out.gauge("hot_events", "Events in hot storage", now.hot_events)?;
    out.gauge("restored_events", "Archived events that are back in hot storage for a while", now.restored_events)?;
    out.gauge("archived_batches", "Batches in the archive", now.archived_batches)?;
    out.gauge("archived_events", "Events in the archive", now.archived_events)?;
    out.gauge("archived_bytes", "Bytes of archived lines", now.archived_bytes)?;
    out.gauge("archived_gzip_bytes", "Bytes of their objects", now.archived_gzip_bytes)?;
    let Some((ended, done)) = now.last_run else { return Ok(()) };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay below 2^53")]
    out.seconds(
        "last_archiving_timestamp_seconds",
        "When the last run of the archiver ended",
        Some(ended.unix_ms() as f64 / 1e3),
    )?;
    out.gauge("last_archiving_failed", "Whether it was ended by an error", u64::from(!done))
}
