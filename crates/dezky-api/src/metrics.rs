//! Numbers for Prometheus: the server's own, kept here, and those of the log and of the sources, asked for at each scrape.

mod cold_numbers;
mod log_numbers;
mod source_numbers;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dezky_audit::AuditLog;
use dezky_cold::Cold;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::config::Limits;
use crate::sources::Sources;
use cold_numbers::ColdNumbers;
use log_numbers::LogNumbers;
use source_numbers::SourceNumbers;

/// The server's numbers.
pub(crate) struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    body_bytes: Counter<u64, AtomicU64>,
    bodies_in_memory: Gauge,
    exports: Gauge,
    registry: Registry,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

impl HttpMetrics {
    pub(crate) fn new(log: AuditLog, sources: Sources, cold: Option<Cold>, limits: &Limits) -> Self {
        let mut registry = Registry::with_prefix("dezky_audit");
        let requests = Family::default();
        // 0.5 ms, doubling to 16 s.
        let seconds = Family::new_with_constructor((|| Histogram::new(exponential_buckets(5e-4, 2.0, 16))) as fn() -> Histogram);
        let (in_flight, connections, body_bytes) = (Gauge::default(), Gauge::default(), Counter::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "From a request's head to its answer's head", seconds.clone());
        registry.register("http_requests_in_flight", "Requests that are being answered", in_flight.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("http_posted_bytes", "Bytes of posted bodies", body_bytes.clone());
        let (bodies_in_memory, exports) = (Gauge::default(), Gauge::default());
        registry.register("http_bodies_bytes", "Bytes reserved for posted bodies in memory", bodies_in_memory.clone());
        registry.register("http_exports", "Exports that are being streamed", exports.clone());
        for (name, help, limit) in [
            ("http_requests_in_flight_limit", "How many requests may be answered at once", limits.requests),
            ("http_connections_limit", "How many connections may be open", limits.connections),
            ("http_bodies_bytes_limit", "How many bytes of posted bodies may be in memory", limits.bodies_bytes),
            ("http_exports_limit", "How many exports may be streamed at once", limits.exports),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(whole(limit));
            registry.register(name, help, gauge);
        }
        registry.register_collector(Box::new(LogNumbers::new(log)));
        registry.register_collector(Box::new(SourceNumbers::new(sources)));
        if let Some(cold) = cold {
            registry.register_collector(Box::new(ColdNumbers::new(cold)));
        }
        Self { requests, seconds, in_flight, connections, body_bytes, bodies_in_memory, exports, registry }
    }

    /// A request, until what is returned is dropped.
    pub(crate) fn begin(&self) -> Held {
        Held::new(&self.in_flight)
    }

    /// A connection, until what is returned is dropped.
    pub(crate) fn connect(&self) -> Held {
        Held::new(&self.connections)
    }

    pub(crate) fn answered(&self, method: &'static str, route: &str, status: StatusCode, took: Duration) {
        let route = route.to_owned();
        self.seconds.get_or_create(&RouteLabels { method, route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }

    pub(crate) fn body_received(&self, bytes: usize) {
        self.body_bytes.inc_by(bytes as u64);
    }

    /// All numbers, as OpenMetrics text, with these bytes of bodies in memory and these exports being streamed.
    pub(crate) fn text(&self, bodies_bytes: usize, exports: usize) -> Result<String, fmt::Error> {
        self.bodies_in_memory.set(whole(bodies_bytes));
        self.exports.set(whole(exports));
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One more on a gauge, until it is dropped.
pub(crate) struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
