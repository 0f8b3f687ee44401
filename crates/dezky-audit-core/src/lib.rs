//! The audit log's format, whole and pure: `docs/format.md` in code.
//!
//! This crate does no I/O and knows no clock, environment, thread or source of randomness: bytes, times and salts
//! come in as arguments, bytes and findings go out.

pub mod archive;
mod base64;
pub mod checkpoint;
pub mod event;
pub mod hash;
pub mod ids;
pub mod json;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod seal;
pub mod source;
pub mod time;
pub mod verify;
