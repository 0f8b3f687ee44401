//! `GET /audit`: a page of events.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use dezky_audit::{Query, Scope};
use dezky_cold::{Listed, Reach};
use http::Uri;

use super::{RawJson, write_event};
use crate::app::App;
use crate::caller::Caller;
use crate::paging::leading_on;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// A page of more than this is written on a thread of its own, so that others are answered meanwhile.
const LONG_BYTES: usize = 256 << 10;

/// The events that match, each as it is stored, and where the next page begins.
pub(crate) async fn page(State(app): State<App>, caller: Caller, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let query = parameters.into_query()?;
    let listed = listed(&app, &caller.scope, &query).await?;
    let next = listed.page.next.as_ref().map(ToString::to_string);
    let length = listed.page.events.iter().map(|event| event.line.len()).sum::<usize>();
    let written = if length > LONG_BYTES {
        let written = tokio::task::spawn_blocking(move || write(&listed, length));
        written.await.map_err(|error| Problem::internal(&error))?
    } else {
        write(&listed, length)
    };
    let page = RawJson(written).into_response();
    let Some(next) = next else { return Ok(page) };
    // Where the events of 'before' are the last ones, it bounds what follows too, as 'until' does; else the cursor takes its place.
    let until = query.filter.until.map(|until| until.to_string());
    leading_on(page, &uri, &[("before", None), ("until", until.as_deref()), ("cursor", Some(&next))])
}

/// The events that match, hot or archived.
pub(crate) async fn listed(app: &App, scope: &Scope, query: &Query) -> Result<Listed, Problem> {
    Ok(match &app.cold {
        Some(cold) => cold.timeline().page(scope, query).await?,
        None => Listed { page: app.log.list(scope, query).await?, archives: None },
    })
}

/// `{"events": [the lines as they are], "nextCursor": text or null}`, and `"archives"` where the page reached into them.
fn write(listed: &Listed, length: usize) -> Vec<u8> {
    let page = &listed.page;
    let mut out = Vec::with_capacity(length + page.events.len() + 64);
    out.extend_from_slice(b"{\"events\":[");
    for (index, event) in page.events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_event(event, &mut out);
    }
    out.extend_from_slice(b"],\"nextCursor\":");
    match &page.next {
        // A cursor is base64url: nothing in it needs an escape.
        Some(cursor) => out.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(match listed.archives {
        None => b"}",
        Some(Reach::Read) => b",\"archives\":\"read\"}",
        Some(Reach::Unavailable) => b",\"archives\":\"unavailable\"}",
        Some(Reach::Damaged) => b",\"archives\":\"damaged\"}",
    });
    out
}

#[cfg(test)]
mod tests {
    use dezky_audit::{Page, Stored};

    use super::*;

    fn written(lines: &[&[u8]]) -> String {
        let events = lines.iter().zip(1..).map(|(line, seq)| Stored { seq, line: line.to_vec() }).collect();
        let page = Page { events, next: None, visited: 0, out_of_time: false };
        let listed = Listed { page, archives: None };
        String::from_utf8(write(&listed, 0)).unwrap()
    }

    #[test]
    fn lines_stand_as_they_are_and_broken_ones_as_text() {
        assert_eq!(written(&[]), r#"{"events":[],"nextCursor":null}"#);
        assert_eq!(written(&[br#"{"a":1.0}"#, br#"{"b":2}"#]), r#"{"events":[{"a":1.0},{"b":2}],"nextCursor":null}"#);
        let broken = [&b"{\"a\":"[..], b"[1]", b"{} {}", b"", b"{\"a\":\"\xff\"}", b"7"];
        for line in broken {
            let text = written(&[line]);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["events"][0]["broken"], true, "{text}");
            assert_eq!(value["events"][0]["seq"], 1);
            assert_eq!(value["events"][0]["raw"], *String::from_utf8_lossy(line));
        }
    }
}
