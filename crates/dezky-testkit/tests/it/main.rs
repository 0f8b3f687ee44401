//! The servers that tests run beside, as tests ask for them. They need what `scripts/test-servers` installs.
#![expect(clippy::unwrap_used, reason = "a test may end where it fails")]

// Servers as processes and in containers: that they answer, stop, come back, and are gone afterwards; and what is said without Docker.
mod servers;

// As much of Docker as a container of ours needs, with a process instead of the container.
mod docker;
