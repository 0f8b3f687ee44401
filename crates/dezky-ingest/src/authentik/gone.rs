//! Events that are in the log and not at Authentik any more: made sure of, and reported.

use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::source::Mapped;
use dezky_audit_core::source::authentik::gone_or_changed;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::{Answer, Client};
use crate::delivery::Delivery;
use crate::problem::Problem;

/// The most ids that one report names; more are in more reports.
const MAX_NAMED: usize = 100;
/// The most missing events that are asked for one by one.
const MAX_ASKED: usize = 500;

/// The verb of a report that names events.
pub(super) const DISAPPEARED: &str = "events_disappeared";
/// The verb of the summary of a user's events that are gone.
pub(super) const USER_DELETED: &str = "user_events_deleted";
/// The verb of the summary of events whose time was over.
pub(super) const EXPIRED: &str = "events_expired";

/// Those of `missing` that Authentik does not have, sorted. Each is asked for by itself: a list that moved may have hidden it.
/// Beyond a number the list is believed.
pub(super) async fn confirmed(client: &Client, mut missing: Vec<String>) -> Result<Vec<String>, Problem> {
    missing.sort();
    let mut gone = Vec::new();
    for (asked, pk) in missing.into_iter().enumerate() {
        let path = || format!("/api/v3/events/events/{}/", utf8_percent_encode(&pk, NON_ALPHANUMERIC));
        if asked >= MAX_ASKED || matches!(client.get(&path()).await?, Answer::NotFound) {
            gone.push(pk);
        }
    }
    Ok(gone)
}

/// Reports events by their ids, so that it is known of each that it was reported.
pub(super) async fn report(delivery: &Delivery, gone: &[String]) -> Result<(), Problem> {
    for some in gone.chunks(MAX_NAMED) {
        let named = some.iter().map(|pk| Value::from(pk.as_str())).collect();
        let data = vec![("count".to_owned(), number(some.len())), ("externalIds".to_owned(), Value::Array(named))];
        let id: Vec<_> = some.iter().map(String::as_bytes).collect();
        summarise(delivery, DISAPPEARED, &id, data).await?;
        tracing::warn!(count = some.len(), "events have disappeared from Authentik; the log keeps them");
    }
    Ok(())
}

/// One event of ours, known by `id` when it is delivered again.
pub(super) async fn summarise(delivery: &Delivery, verb: &str, id: &[&[u8]], data: Members) -> Result<(), Problem> {
    let id = format!("gone-{}", delivery.key().name(&format!("authentik-{verb}"), id));
    // Made once: after a crash it may be counted anew, a little later.
    let delivery = delivery.clone().with_ids_of_contents();
    delivery.deliver([Mapped::Event(Box::new(gone_or_changed(verb, &id, data)))]).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(super) fn number(count: usize) -> Value {
    Value::Number(count as f64)
}
