//! The suite that holds every backend to the contract: the same questions to each, through the traits alone.
//!
//! A backend's tests say `dezky_store::conformance_suite!(fresh);` with an `async fn fresh() -> Fixture` that makes an empty
//! store of the origin [`origin`].

mod log;
mod records;
mod retention;
pub mod scribe;
mod search;

use std::any::Any;
use std::sync::Arc;

use dezky_audit_core::ids::Origin;
use dezky_audit_core::time::Timestamp;

use crate::query::{Order, Query};
use crate::search::{Scope, Search};
use crate::{Fence, Lease, Store};

pub use log::*;
pub use records::*;
pub use retention::*;
pub use search::*;

/// A store, and what must stay as long as it is used.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    pub guard: Box<dyn Any>,
}

/// The origin that every store of the suite is opened under.
pub fn origin() -> Origin {
    Origin::new("test.example/log").unwrap()
}

/// Makes a test of every promise.
#[macro_export]
macro_rules! conformance_suite {
    ($fresh:path) => {
        $crate::conformance_suite!(
            $fresh:
            an_empty_log_ends_at_genesis
            appended_events_are_there
            another_writer_gets_in_between
            two_writers_leave_no_gap
            a_known_key_is_a_conflict
            a_known_key_that_stands_alone_stops_at_most_what_follows
            bad_batches_are_refused
            receipts_are_found_by_key
            tenant_heads_follow_their_streams
            tiles_are_those_of_the_tree
            reads_keep_to_their_limits
            filters_agree_with_the_samples
            free_text_is_folded
            pages_neither_skip_nor_repeat
            pages_stay_whole_while_events_arrive
            a_page_of_long_lines_is_short
            no_time_still_gets_to_the_end
            a_plain_time_begins_a_page
            scopes_hide_foreign_events
            broken_lines_are_listed
            counts_by_the_hour
            an_intact_copy_has_no_differences
            deleting_a_prefix_keeps_what_must_last
            deleting_needs_a_batch_and_a_fence
            restored_events_come_and_go
            the_last_old_event_is_found
            a_withheld_part_is_gone
            a_log_moves_to_another_store
            checkpoints_are_only_added
            bookmarks_are_swapped
            batches_do_not_cross
            leases_fence
            runs_are_listed_newest_first
            documents_and_outbox_change_together
            settings_are_made_once
            a_closed_store_is_unavailable
        );
    };
    ($fresh:path: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::conformance::$name(async || $fresh().await).await;
            }
        )*
    };
}

fn time(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms).unwrap()
}

/// The seqs of all pages, one after another.
async fn all_pages(store: &(impl Search + ?Sized), scope: &Scope, query: &Query) -> Vec<u64> {
    let mut query = query.clone();
    let mut seqs = Vec::new();
    // Each page makes progress, so there cannot be more pages than this.
    for _ in 0..20_000 {
        let page = store.list(scope, &query).await.unwrap();
        assert!(page.events.len() <= query.limit);
        seqs.extend(page.events.iter().map(|stored| stored.seq));
        match page.next {
            Some(next) => query.after = Some(next.to_string().parse().unwrap()),
            None => return seqs,
        }
    }
    panic!("paging does not come to an end");
}

/// A query with parameters as callers write them, and time enough.
fn query(parameters: &[(&str, &str)]) -> Query {
    let mut query = Query::parse(parameters.iter().copied()).unwrap();
    query.budget = std::time::Duration::from_secs(60);
    query
}

fn ordered(mut places: Vec<(u64, u64)>, order: Order) -> Vec<u64> {
    places.sort_unstable();
    if order == Order::Descending {
        places.reverse();
    }
    places.into_iter().map(|(_, seq)| seq).collect()
}

async fn held(store: &(impl crate::Leases + ?Sized), name: &str) -> Fence {
    let lease = store.lease(name, "suite", std::time::Duration::from_secs(60), time(1_000)).await.unwrap();
    match lease {
        Lease::Held { fence, .. } => fence,
        Lease::Taken { holder, .. } => panic!("the lease is held by {holder}"),
    }
}
