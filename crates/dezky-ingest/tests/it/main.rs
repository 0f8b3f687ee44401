//! Sources, end to end into a log that verifies.
#![expect(clippy::unwrap_used, reason = "a test may fail like that")]

// A log in a folder of its own, and what it holds in the end.
mod scratch;

// Delivering: tenants, duplicates, what changed at the source, what is refused.
mod deliveries;

// Workers: rest, back-off, panics, stopping, two at once, on a simulated clock.
mod workers;

// The OCIS file: every kind of rotation, on real files.
mod tails;

// Stalwart's webhook: signatures, the inbox, a sender that retries, batches and discards.
mod webhooks;

// Anything that can POST: signatures, tokens, forms of bodies, ids.
mod generic;

// Authentik: a fake server that behaves as the contract says, its traps included.
mod authentik;

// Authentik once a day: what was changed or deleted there; and who joined or left a group.
mod sweeps;

// OCIS's bus: a real nats-server.
mod bus;

// An hour of all of them, with kills, outages, duplicates and rotation.
mod hour;
