//! The operator's console: pages rendered here, for people.
//!
//! Each page is an askama structure beside its handler; templates bear the handlers' names. Assets are embedded, and served under
//! names with their content's hash. Nothing is inline, nothing comes from elsewhere, and reading needs no script. Everything
//! that a page shows went through the caller's scope.

pub(crate) mod activity;
mod assets;
pub(crate) mod cold;
pub(crate) mod demonstration;
pub(crate) mod event;
pub(crate) mod export;
mod fault;
mod form;
mod frame;
pub(crate) mod live;
pub(crate) mod login;
mod page;
pub(crate) mod platform;
pub(crate) mod reference;
mod row;
pub(crate) mod sources;
mod time;
pub(crate) mod timeline;
pub(crate) mod trust;
mod trust_card;
mod visitor;

pub(crate) use assets::serve as asset;
pub use demonstration::{DemonstrationError, demonstrate};
pub(crate) use fault::{explained, wants_html};
pub(crate) use page::{POLICY, to_login};
