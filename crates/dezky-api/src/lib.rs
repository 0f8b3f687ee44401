//! The log over HTTP.
//!
//! [`ROUTES`] and [`PAGES`] are the whole of the outside: every path and method, who may use it, and how long it may take. No route updates
//! or deletes an event. Errors are problem documents (RFC 9457) with a stable `code`.
//!
//! ```no_run
//! # use dezky_api::{App, Credentials, HttpConfig, serve};
//! # async fn run(log: dezky_audit::AuditLog) -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::load_or_create("./data".as_ref())?;
//! let app = App::new(log, credentials, HttpConfig::default());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! serve(listener, app, std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! The caller owns the socket, the log and the stop signal; this crate reads no environment and binds nothing. It names no
//! database.

mod acting;
mod app;
mod authentication;
mod caller;
mod client_address;
mod conditional;
mod config;
mod console;
mod credentials;
mod denials;
mod file_error;
mod handlers;
mod idempotency;
mod layers;
mod metrics;
mod nearest;
mod oidc;
mod openapi;
mod outgoing;
mod paging;
mod parameters;
mod posted;
mod problem;
mod rates;
mod refusals;
mod routes;
mod secret_file;
mod server;
mod session;
mod sources;

// The public interface is:
pub use app::App;
pub use client_address::{Forwarding, UnclearAddress, client_address};
pub use config::{BootstrapToken, HttpConfig, Limits, RateLimits};
pub use console::{DemonstrationError, demonstrate};
pub use credentials::{Credentials, OperatorToken};
pub use file_error::FileError;
pub use nearest::nearest;
pub use oidc::{InvalidIssuer, InvalidRoles, LoginConfig, Oidc, OidcConfig, RoleMap};
pub use outgoing::{Outgoing, OutgoingError};
pub use problem::Code;
pub use routes::{PAGES, Pace, ROUTES, Route, Rule, router};
pub use secret_file::SecretFileError;
pub use server::{Stopped, Tls, TlsError, serve};
pub use sources::Sources;

/// Doors for benches: the same server with another handler. Not part of the interface.
#[doc(hidden)]
pub mod internal {
    pub use crate::layers::{Audience, admit, around};
    pub use crate::posted::Posted;
    pub use crate::server::serve_router;
}
