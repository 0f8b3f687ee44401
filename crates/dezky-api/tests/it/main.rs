//! The server as clients meet it: real sockets, a real log on SQLite in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail like that")]

// A server of its own for each test, and a client that knows the way in.
mod served;

// Every route asks for what the list says; what is not on the list is not there.
mod routes;

// The interface as a document: all of it, its examples, links from page to page, what is not sent again, no CORS.
mod openapi;

// Each role against each route, and what exists for a tenant auditor.
mod roles;

// Services' tokens: made, used, revoked, expired.
mod tokens;

// People by their tokens: what is accepted, what is not, and an issuer in trouble.
mod oidc;

// People log in to the console at their identity provider, or are told why not.
mod login;

// What is recorded of those who use the log: denied, refused, seen, taken away.
mod acts;

// 429, and who is never turned away.
mod rates;

// A certificate, and what cannot be one.
mod tls;

// POST /audit/events: shapes, receipts, duplicates, conflicts, keys, limits.
mod posting;

// GET /audit: filters, pages, broken rows; single events.
mod listing;

// What an auditor takes away: exports, checkpoints, proofs, keys, the verdict.
mod evidence;

// Tenants, partners, flags, users: changes and what the log says of them.
mod platform;

// A browser as far as it matters to the console.
mod browser;

// The console: who gets in, what pages let in, what forms change, what a tenant auditor sees.
mod pages;

// The console on a log whose events were archived, and when the archive is away.
mod archived_pages;

// Following live: what comes too fast is counted.
mod live;

// Errors, each as it is sent.
mod problems;

// Health, metrics, and what becomes of requests when the store or the server goes away.
mod running;
