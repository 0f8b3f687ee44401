//! The problems that an operation can answer with, in one answer for each status.

use utoipa::openapi::content::Content;
use utoipa::openapi::example::Example;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Components, Ref, RefOr, Response};

use super::header;
use crate::problem::{Code, Problem};
use crate::routes::{Pace, Route, Rule};

const PROBLEM: &str = "application/problem+json";

/// What any route of this rule and pace can be answered with, by the layers around its handler.
pub(super) fn of_route(route: &Route) -> Vec<Code> {
    let mut codes = vec![Code::Internal];
    if route.rule != Rule::Public {
        codes.extend([Code::InvalidParameter, Code::Overloaded]);
    }
    if !matches!(route.rule, Rule::Public | Rule::Signed) {
        codes.extend([Code::Unauthorized, Code::Forbidden, Code::TooManyRequests]);
        codes.extend([Code::StoreUnavailable, Code::IssuerUnavailable, Code::StoreDamaged]);
    }
    if route.pace != Pace::Long {
        codes.push(Code::TimedOut);
    }
    if route.pace == Pace::Upload && route.rule != Rule::Signed {
        codes.extend([Code::BrokenBody, Code::SlowBody, Code::TooLarge, Code::UnsupportedMediaType, Code::Closing]);
    }
    codes
}

/// Adds the answers for `codes`, which go among the components; a status that a success has too tells both in one place.
pub(super) fn add(operation: &mut Operation, codes: &[Code], components: &mut Components) {
    let mut codes: Vec<_> = Code::ALL.iter().copied().filter(|code| codes.contains(code)).collect();
    while let Some(first) = codes.first() {
        let status = first.status().as_u16();
        let (of_status, others): (Vec<_>, Vec<_>) = codes.into_iter().partition(|code| code.status().as_u16() == status);
        codes = others;
        let name = of_status.iter().fold(status.to_string(), |name, code| format!("{name}.{}", code.as_str()));
        match operation.responses.responses.get_mut(&status.to_string()) {
            Some(RefOr::T(answer)) => {
                let refusal = problem(&of_status);
                answer.description = format!("{}; or: {}", answer.description, refusal.description);
                answer.content.extend(refusal.content);
                answer.headers.extend(refusal.headers);
            }
            _ => {
                components.responses.entry(name.clone()).or_insert_with(|| RefOr::T(problem(&of_status)));
                let place = RefOr::Ref(Ref::from_response_name(name));
                operation.responses.responses.insert(status.to_string(), place);
            }
        }
    }
}

/// The answer for problems of one status.
fn problem(codes: &[Code]) -> Response {
    let titles: Vec<_> = codes.iter().map(|code| format!("{} (`{}`)", code.title(), code.as_str())).collect();
    let mut response = Response::new(titles.join("; "));
    let narrowed = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.as_str())));
    let narrowed = ObjectBuilder::new().property("code", narrowed);
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let mut content = Content::new(Some(schema));
    for code in codes {
        let body = Problem::new(*code, "What was wrong, and where.").body("4be9a3f1-2c");
        let mut example = Example::new();
        example.value = serde_json::from_slice(&body).ok();
        content.examples.insert(code.as_str().to_owned(), RefOr::T(example));
    }
    response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
    response.headers.insert("X-Request-Id".to_owned(), header("X-Request-Id"));
    if codes.iter().any(|code| code.retry_after_seconds().is_some()) {
        response.headers.insert("Retry-After".to_owned(), header("Retry-After"));
    }
    if codes.contains(&Code::Unauthorized) {
        response.headers.insert("WWW-Authenticate".to_owned(), header("WWW-Authenticate"));
    }
    response
}
