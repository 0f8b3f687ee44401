//! What stands around the handlers: one list.

mod admit;
mod observe;
mod panic;
mod present;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::routes::{Pace, Rule};

pub use admit::Audience;
pub(crate) use observe::{ClientAddress, Peer};

/// Around everything, the outermost last: panics become problems, problems become documents, and all of it is observed. The
/// limits on connections, heads and stalled clients lie further out, in the server.
pub fn around(router: Router<App>, app: App) -> Router {
    router
        .fallback(|| async { Problem::new(Code::NoSuchRoute, "there is nothing here").hint("the log is at /audit") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "this method is not one of those in 'Allow'")
                .hint("events are only ever added: POST /audit/events")
        })
        .layer(from_fn(panic::caught))
        .layer(from_fn(present::presented))
        .layer(from_fn_with_state(app.clone(), observe::observed))
        .with_state(app)
}

/// Around one route: its rule, a place among the requests that are answered at once, and its deadline.
pub fn admit(handler: MethodRouter<App>, app: &App, audience: Audience, rule: Rule, pace: Pace) -> MethodRouter<App> {
    let admission = admit::Admission { app: app.clone(), audience, rule, pace };
    handler.route_layer(from_fn_with_state(admission, admit::admitted))
}
