//! `/platform/…`: tenants, partners, flags, users and tokens: lists, single records, and every change by a plain form.
//!
//! A form carries the version that it was made from, so that nobody overwrites what they have not seen. What becomes of a
//! change is on the record's own timeline.

mod flags;
mod kinds;
mod partners;
mod record;
mod tenants;
mod tokens;
mod users;

pub(crate) use kinds::{change, create, list, show};
