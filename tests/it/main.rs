//! The binaries as their users run them. Every test that records ends with the standalone verifier over what it wrote.
//!
//! They need the binaries (`cargo build --workspace --bins --examples`), `sqlite3`, `strace`, `curl`, `node`, Chromium with its driver, and what `scripts/test-servers` installs: `scripts/test` sees to it all.
#![expect(clippy::unwrap_used, reason = "a test may end where it fails")]

// A `platform-api` process on a data folder of its own, and the verifier over its export.
mod server;

// The example of a service that embeds the log, as a process.
mod notes;

// A real Chromium, and axe-core in it.
mod browser;

// The console as people use it.
mod console;

// People who log in to the console at an identity provider, and what a tenant auditor then sees.
mod login;

// What a newcomer does: serve, post, list, export, verify; tenants and single proofs.
mod first_run;

// Changes behind the server's back, found by both verifiers, gone when undone.
mod tampering;

// kill -9 in the middle of recording.
mod killing;

// kill -9 between a change and its event.
mod mutations;

// What other systems did, through the service: webhooks, files, Authentik, the event bus, and anything that can POST.
mod sources;

// Events that leave for the archive, are read there, come back; kill -9 in the middle; the command line; old backups.
mod archives;

// The same with a bucket: SeaweedFS, its locks, a network that goes away; what another client finds there.
mod bucket;

// The store away for a while: locked, and a full disk.
mod outages;

// The document of the interface against the service: schemathesis asks whatever it can think of.
mod contract;

// The programs of docs/api.md, run as they stand there.
mod api_guide;

// System calls: an fsync before every acknowledgement, and each of them failing in turn.
mod syscalls;

// Several processes and one database: one chain, through kills and outages; copying, migrating, and who is let in.
mod replicas;

// Several processes, one database and one bucket that is away when they start: who signs when it is back.
mod shared_bucket;

// Which crate may know which.
mod walls;
