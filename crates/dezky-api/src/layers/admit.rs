//! Who is let in, how many at once, and for how long.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::caller::Caller;
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
        Rule::Operator => {
            let caller = Caller::operator(request.headers(), &app.credentials)?;
            request.extensions_mut().insert(caller);
            let full = |_| Problem::new(Code::Overloaded, format!("{} requests are being answered", limits.requests));
            Some(app.requests.try_acquire().map_err(full)?)
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
