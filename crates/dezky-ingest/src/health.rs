//! How a source fares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dezky_audit_core::source::{Kind, MappedEvent};
use dezky_audit_core::time::Timestamp;

use crate::problem::Problem;

/// What became of everything that a source said, since this process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Recorded under a verb of the tables.
    pub mapped: u64,
    /// Recorded under the source's own name.
    pub unmapped: u64,
    /// Reads and noise: not recorded.
    pub skipped: u64,
    /// Recorded before.
    pub duplicate: u64,
    /// Recorded as something that could not be read.
    pub unreadable: u64,
    /// Something else was recorded under its id before, and that was reported.
    pub changed: u64,
}

impl Counts {
    /// Each with its name.
    pub const fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("mapped", self.mapped),
            ("unmapped", self.unmapped),
            ("skipped", self.skipped),
            ("duplicate", self.duplicate),
            ("unreadable", self.unreadable),
            ("changed", self.changed),
        ]
    }
}

/// What a source's worker does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Starting,
    /// It works, or waits for more.
    Running,
    /// Another process reads this source.
    Standby,
    /// It failed, and tries again later.
    Failing,
    Stopped,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Starting, Self::Running, Self::Standby, Self::Failing, Self::Stopped];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Failing => "failing",
            Self::Stopped => "stopped",
        }
    }
}

/// How a source fares, as it was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceHealth {
    pub source: String,
    pub state: State,
    /// The latest time that an event of it bore.
    pub last_event: Option<Timestamp>,
    /// When it last had nothing more to give.
    pub caught_up: Option<Timestamp>,
    /// When it last answered as it should, with news or without.
    pub last_success: Option<Timestamp>,
    /// How many things are known to wait at the source.
    pub waiting: Option<u64>,
    pub counts: Counts,
    /// How often it failed, since this process began.
    pub errors: u64,
    /// What failed last, when; it stays after things went well again.
    pub last_error: Option<(Timestamp, Problem)>,
    /// Something that works but should be put right.
    pub warning: Option<String>,
    /// Where it has got to.
    pub cursor: String,
}

impl SourceHealth {
    /// For how long the source has had more to give than was taken, in milliseconds; `None` before the first time it was
    /// read to its end.
    pub fn lag_ms(&self, now: Timestamp) -> Option<u64> {
        self.caught_up.map(|at| now.unix_ms().saturating_sub(at.unix_ms()))
    }
}

/// A source's health, shared by its worker and whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<SourceHealth>>);

impl Health {
    pub fn new(source: &str) -> Self {
        Self(Arc::new(Mutex::new(SourceHealth { source: source.to_owned(), ..SourceHealth::default() })))
    }

    /// As it is now.
    pub fn now(&self) -> SourceHealth {
        self.held().clone()
    }

    /// Something that works but should be put right.
    pub fn warn(&self, warning: &str) {
        self.held().warning = Some(warning.to_owned());
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, SourceHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn failed(&self, at: Timestamp, problem: Problem) {
        let mut health = self.held();
        health.state = State::Failing;
        health.errors += 1;
        health.last_error = Some((at, problem));
    }
}

impl SourceHealth {
    pub(crate) fn count(&mut self, event: &MappedEvent) {
        match event.kind {
            Kind::Known => self.counts.mapped += 1,
            Kind::Unknown => self.counts.unmapped += 1,
            Kind::Unreadable => self.counts.unreadable += 1,
        }
        self.last_event = self.last_event.max(event.draft.at);
    }
}
