//! Who is let in, how many at once, and for how long.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Peer;
use crate::app::App;
use crate::authentication;
use crate::problem::{Code, Problem};
use crate::routes::{Pace, Rule};

/// What one route asks of its requests.
#[derive(Clone)]
pub(super) struct Admission {
    pub(super) app: App,
    pub(super) rule: Rule,
    pub(super) pace: Pace,
}

pub(super) async fn admitted(
    State(Admission { app, rule, pace }): State<Admission>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let limits = &app.config.limits;
    let _place = match rule {
        // Whether the server lives must be told under load too.
        Rule::Public => None,
        // The handler checks the signature over the body as it comes.
        Rule::Signed => Some(app.requests.try_acquire().map_err(|_| full(limits.requests))?),
        Rule::Recorder | Rule::Reader | Rule::Auditor | Rule::Operator => {
            let peer = request.extensions().get().map(|Peer(address)| *address);
            let caller = authentication::caller(&app, request.headers(), peer).await?;
            if !rule.admits(caller.role) {
                return Err(Problem::new(Code::Forbidden, format!("the role {} may not do this", caller.role.as_str())));
            }
            request.extensions_mut().insert(caller);
            Some(app.requests.try_acquire().map_err(|_| full(limits.requests))?)
        }
    };
    let time = match pace {
        Pace::Prompt => limits.answer_time,
        Pace::Upload => limits.body_time + limits.answer_time,
        Pace::Long => return Ok(next.run(request).await),
    };
    let late = |_| Problem::new(Code::TimedOut, format!("there was no answer after {} s", time.as_secs()));
    tokio::time::timeout(time, next.run(request)).await.map_err(late)
}

fn full(requests: usize) -> Problem {
    Problem::new(Code::Overloaded, format!("{requests} requests are being answered"))
}
