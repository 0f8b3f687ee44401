//! The interface as a document (OpenAPI 3.1), for programs that read one, and for the page at `/docs/api`.
//!
//! [`ROUTES`] is the one list of what there is: each route is looked up among what the modules below say of it, and what follows from
//! its rule and its pace (who may use it, which problems it can answer with) is not said again there but derived. A route
//! that nobody describes, and a description without a route, fail a test.

mod archives;
mod events;
mod evidence;
mod health;
mod operation;
mod platform;
mod shape;
mod sources;
mod tokens;
mod tree;

use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{Components, Info, OpenApi, Paths};

use crate::routes::{ROUTES, Route};
pub(crate) use archives::LastRun;
use operation::Described;
pub(crate) use platform::Person;
pub(crate) use shape::{Hash, Name, Role, Seq, Slug, Time};
pub(crate) use tokens::TokenState;

/// The groups of operations, in the order in which one reads them.
const TAGS: [(&str, &str); 9] = [
    ("Recording", "Events come in. None is ever updated or deleted."),
    ("Finding", "Lists, and single events, hot or archived."),
    ("Proving", "What somebody takes away who does not trust this server: exports, checkpoints, proofs, keys, the verdict."),
    ("Tree", "The log's tree as C2SP `tlog-tiles` has it: hashes only."),
    ("Archives", "What has left hot storage, and the way back."),
    ("Sources", "What other systems send, and how they fare."),
    ("Platform", "Tenants, partners, flags and users; each change is an event, written together with the record."),
    ("Tokens", "The tokens of services."),
    ("Running", "Health, numbers, and this document."),
];

const ABOUT: &str = "An audit log whose users can prove it. \
Errors are problem documents (RFC 9457) with a stable `code`; any other path is answered with 404 `no-such-route`, and any other method with 405 \
`method-not-allowed` and `Allow`. A browser's page elsewhere cannot read any answer: there are no CORS headers. \
Codes and members may be added; skip what you do not know.";

/// The document as it is served.
pub(crate) fn json() -> Bytes {
    static JSON: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default().into());
    JSON.clone()
}

/// The document: an operation for each route that is described.
pub(crate) fn document() -> OpenApi {
    let mut described = descriptions();
    let (mut paths, mut components) = (Paths::new(), shape::components());
    for route in ROUTES {
        let Some(at) = described.iter().position(|described| described.is_of(route)) else { continue };
        let described = described.swap_remove(at);
        let Some(method) = operation::http_method(&route.method) else { continue };
        let operation = described.complete(route, &mut components);
        let path = shown(route.path);
        match paths.paths.get_mut(&path) {
            Some(item) => item.merge_operations(PathItem::new(method, operation)),
            None => drop(paths.paths.insert(path, PathItem::new(method, operation))),
        }
    }
    secure(&mut components);
    let mut info = Info::new("Dezky Audit", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut document = OpenApi::new(info, paths);
    document.components = Some(components);
    document.tags = Some(TAGS.iter().map(|(name, about)| tag(name, about)).collect());
    document
}

/// A route's path as the document has it: a parameter that takes the rest of the path is one like any other there.
pub(crate) fn shown(path: &str) -> String {
    path.replace("{*", "{")
}

fn descriptions() -> Vec<Described> {
    let subjects = [
        events::operations(),
        evidence::operations(),
        tree::operations(),
        archives::operations(),
        sources::operations(),
        platform::operations(),
        tokens::operations(),
        health::operations(),
    ];
    subjects.into_iter().flatten().collect()
}

fn secure(components: &mut Components) {
    let about = "The operator's token, a service's (`dzk_…`), or one that the configured OpenID Connect issuer has signed.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
    components.add_security_scheme(operation::BEARER, SecurityScheme::Http(bearer));
}

fn tag(name: &str, about: &str) -> Tag {
    let mut tag = Tag::new(name);
    tag.description = Some(about.to_owned());
    tag
}

/// Who may use a route, in a sentence.
pub(crate) fn admitted(route: &Route) -> String {
    use crate::routes::Rule;
    match route.rule {
        Rule::Public => "For everybody, without a token.".to_owned(),
        Rule::Signed => "For whoever has the source's key or token; without either, for this machine only.".to_owned(),
        rule => {
            let roles = dezky_platform::Role::ALL.into_iter().filter(|role| rule.admits(*role));
            let roles: Vec<_> = roles.map(|role| format!("`{}`", role.as_str())).collect();
            format!("Roles: {}.", roles.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let described = descriptions();
        for route in ROUTES {
            let count = described.iter().filter(|described| described.is_of(route)).count();
            assert_eq!(count, 1, "{} {} is described {count} times", route.method, route.path);
        }
        for described in &described {
            let name = described.to_string();
            assert!(ROUTES.iter().any(|route| described.is_of(route)), "{name} is no route");
        }
    }

    #[test]
    fn names_are_distinct_and_references_lead_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let mut names = BTreeSet::new();
        for operation in document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values()) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(names.insert(id), "{id} twice");
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(TAGS.iter().any(|(name, _)| *name == tag), "{tag}");
        }
        assert_eq!(names.len(), ROUTES.len());
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} is nowhere");
        }
    }
}
