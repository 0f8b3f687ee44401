//! The sources' numbers, as they are when somebody asks.

use std::fmt;

use dezky_audit::{Clock as _, SystemClock};
use dezky_audit_core::time::Timestamp;
use dezky_ingest::{SourceHealth, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::sources::Sources;

pub(super) struct SourceNumbers(Sources);

impl SourceNumbers {
    pub(super) const fn new(sources: Sources) -> Self {
        Self(sources)
    }
}

impl fmt::Debug for SourceNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceNumbers")
    }
}

impl Collector for SourceNumbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sources = self.0.health.iter().map(dezky_ingest::Health::now).collect();
        let mut out = Writer { encoder, sources };
        out.events()?;
        out.states()?;
        out.gauge("source_lag_seconds", "How long ago a source had nothing more to give", |health| {
            health.lag_ms(SystemClock.now()).map(|ms| ms as f64 / 1e3)
        })?;
        out.gauge("source_last_success_timestamp_seconds", "When a source last answered as it should", |health| {
            health.last_success.map(seconds)
        })?;
        out.gauge("source_last_event_timestamp_seconds", "The latest time that an event of it bore", |health| {
            health.last_event.map(seconds)
        })?;
        out.gauge("source_waiting", "How many things are known to wait at a source", |health| {
            health.waiting.map(|waiting| waiting as f64)
        })?;
        out.errors()?;
        let inboxes: Vec<_> = self.0.intakes.iter().map(|(name, intake)| (name.as_str(), intake.inbox())).collect();
        out.inboxes(
            "source_inbox_bodies",
            "Bodies that wait to be mapped",
            inboxes.iter().map(|(n, inbox)| (*n, inbox.bodies())),
        )?;
        let bytes = inboxes.iter().map(|(name, inbox)| (*name, inbox.fullness().0));
        out.inboxes("source_inbox_bytes", "Bytes of bodies that wait to be mapped, or arrive", bytes)?;
        let limits = inboxes.iter().map(|(name, inbox)| (*name, inbox.fullness().1));
        out.inboxes("source_inbox_bytes_limit", "How many may", limits)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.unix_ms() as f64 / 1e3
}

struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
    sources: Vec<SourceHealth>,
}

impl Writer<'_> {
    fn events(&mut self) -> fmt::Result {
        let help = "Events of a source, by what became of them";
        let mut family = self.encoder.encode_descriptor("source_events", help, None, MetricType::Counter)?;
        for health in &self.sources {
            for (kind, count) in health.counts.named() {
                let labels = [("source", &*health.source), ("kind", kind)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn errors(&mut self) -> fmt::Result {
        let mut family =
            self.encoder.encode_descriptor("source_errors", "How often a source failed", None, MetricType::Counter)?;
        for health in &self.sources {
            ConstCounter::new(health.errors).encode(family.encode_family(&[("source", &*health.source)])?)?;
        }
        Ok(())
    }

    fn states(&mut self) -> fmt::Result {
        let mut family =
            self.encoder.encode_descriptor("source_state", "1 for the state that a source is in", None, MetricType::Gauge)?;
        for health in &self.sources {
            for state in State::ALL {
                let labels = [("source", &*health.source), ("state", state.as_str())];
                ConstGauge::new(i64::from(state == health.state)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, of: impl Fn(&SourceHealth) -> Option<f64>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for health in &self.sources {
            if let Some(value) = of(health) {
                ConstGauge::new(value).encode(family.encode_family(&[("source", &*health.source)])?)?;
            }
        }
        Ok(())
    }

    fn inboxes<'n>(&mut self, name: &str, help: &str, values: impl Iterator<Item = (&'n str, u64)>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (source, value) in values {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&[("source", source)])?)?;
        }
        Ok(())
    }
}
