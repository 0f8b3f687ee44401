//! The verifier: every broken place, and four answers that are never one (section 8).
//!
//! A [`Stepper`] checks lines by themselves, in parallel if one likes; a [`Walk`] takes the steps in order, together
//! with the heads that known keys signed, and [`Walk::finish`] answers. A finding is data: nothing that is wrong with a
//! log is an error of its verifier.

mod archive;
mod conclusion;
mod finding;
mod heads;
mod proof;
mod report;
mod step;
mod trust;
mod walk;

pub use archive::{ArchiveWalk, BatchEvents, BatchSteps};
pub use conclusion::Conclude;
pub use finding::{At, Finding, Findings, Kind, Weight};
pub use heads::TrustedHead;
pub use proof::{verify_checkpoint, verify_proof};
pub use report::{Completeness, Freshness, FreshnessBy, FreshnessState, HeadSource, Integrity, Mode, Report, ReportHead};
pub use step::{EventStep, Notice, PartSet, ShortSlug, Step, Stepper, TenantStep};
pub use trust::{OpenedHead, Trust, TrustError};
pub use walk::{Start, Subject, Walk};
