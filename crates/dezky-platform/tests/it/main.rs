//! Mutations and their events, over real stores.
#![expect(clippy::unwrap_used, reason = "a test may end where it fails")]

// A platform on a store of its own, and what its log says.
mod scratch;

// Each mutation: its verb, its changes, its refusals, its versions.
mod mutations;

// A change and its event: a process that ends between them, two processes.
mod outbox;

// Services' tokens: what a process remembers of them, and for how long.
mod tokens;
