//! Objects in a bucket: created once, read, listed. The only crate that names the `aws-*` ones.
//!
//! What it promises:
//!
//! * An object is put whole or not at all, and only where none of its name is (`If-None-Match: *`). When no answer came it is
//!   looked whether the object lies there. A server that would overwrite is found out by [`Bucket::check_create_only`].
//! * Content goes out under its SHA-256, which the server checks; what the server says of it is compared.
//! * Reading takes a few megabytes for an object of any size, goes on where a connection broke off, and ends with an error
//!   unless as many bytes came as were announced.
//! * Nothing here deletes, and nothing overwrites: neither permission is needed.
//! * Every request has a time limit and a bounded number of repetitions.
//! * An error says which permission or setting is missing. No secret is shown, neither in errors nor by `Debug`.
//!
//! It is for S3 itself and for whatever speaks its protocol, in path style; signatures are version 4. It needs a tokio runtime
//! with its clock and its input and output; what it returns for reading is read on a thread that may block.

mod bucket;
mod check;
mod connect;
mod error;
mod object;
mod settings;
mod upload;

// The public interface is:
pub use bucket::{Bucket, Content, Entry, Head, Held, Put};
pub use check::Locking;
pub use error::{BucketError, Cause, Fault};
pub use object::Object;
pub use settings::{Credentials, Lock, LockMode, Settings};
