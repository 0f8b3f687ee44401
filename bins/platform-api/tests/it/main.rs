//! The program as its operator meets it: flags, files, signals, and what it prints.

#![expect(clippy::unwrap_used, reason = "a test may fail like that")]

// The program, running or run.
mod program;

// --help, check-config, and settings that cannot be understood.
mod configuring;

// Samples of sources, mapped and shown.
mod sampling;

// What is done once: keys, an older collection, another store.
mod moving;

// Starting, the way in, one process a folder, stopping in order, and starting again.
mod serving;
