//! `/docs/api`: the interface for programs, for people: what `/openapi.json` says, readable without a script.

use std::sync::LazyLock;

use askama::Template;
use axum::response::Response;
use serde_json::Value;

use super::assets;
use super::page::page;
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::routes::ROUTES;

#[derive(Template)]
#[template(path = "reference.html")]
struct Reference {
    version: &'static str,
    about: Text,
    groups: Vec<Group>,
    codes: Vec<(u16, &'static str, &'static str)>,
}

struct Group {
    name: String,
    about: Text,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Text,
    parameters: Vec<Parameter>,
    /// Media type and example.
    bodies: Vec<(String, String)>,
    answers: Vec<Answer>,
    /// `400 invalid-parameter`, …
    problems: Vec<(String, Vec<String>)>,
}

struct Parameter {
    name: String,
    place: String,
    form: String,
    about: Text,
}

struct Answer {
    status: String,
    about: Text,
    headers: String,
    example: Option<String>,
}

/// A text with pieces of code in it, which stand between backticks.
struct Text(Vec<(bool, String)>);

impl Text {
    fn of(value: &Value) -> Self {
        let pieces = value.as_str().unwrap_or_default().split('`').enumerate();
        Self(pieces.filter(|(_, piece)| !piece.is_empty()).map(|(at, piece)| (at % 2 == 1, piece.to_owned())).collect())
    }
}

pub(crate) async fn show() -> Result<Response, Problem> {
    static REFERENCE: LazyLock<Reference> = LazyLock::new(|| read(&serde_json::from_slice(&openapi::json()).unwrap_or_default()));
    page(&*REFERENCE)
}

fn read(document: &Value) -> Reference {
    let groups = items(&document["tags"]).map(|tag| Group {
        name: text(&tag["name"]),
        about: Text::of(&tag["description"]),
        operations: ROUTES.iter().filter_map(|route| operation(document, route, &tag["name"])).collect(),
    });
    let code = |code: &Code| (code.status().as_u16(), code.as_str(), code.title());
    Reference {
        version: env!("CARGO_PKG_VERSION"),
        about: Text::of(&document["info"]["description"]),
        groups: groups.collect(),
        codes: Code::ALL.iter().map(code).collect(),
    }
}

fn operation(document: &Value, route: &crate::routes::Route, tag: &Value) -> Option<Operation> {
    let path = openapi::shown(route.path);
    let said = &document["paths"][&path][route.method.as_str().to_lowercase()];
    if said["tags"][0] != *tag {
        return None;
    }
    let parameters = items(&said["parameters"]).map(|parameter| resolved(document, parameter)).filter(|parameter| {
        // Said once, of the name without the mark.
        !text(&parameter["name"]).ends_with('!')
    });
    let parameters = parameters.map(|parameter| Parameter {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        form: form(document, &parameter["schema"]),
        about: Text::of(&parameter["description"]),
    });
    let bodies = members(&said["requestBody"]["content"]).map(|(media, content)| (media.clone(), pretty(&content["example"])));
    let responses: Vec<_> =
        members(&said["responses"]).map(|(status, answer)| (status.clone(), resolved(document, answer))).collect();
    let of_problem = |answer: &Value| answer["content"].get("application/problem+json").is_some();
    let answers = responses.iter().filter(|(status, _)| status.as_str() < "400" || status == "503" && path == "/readyz");
    let answers = answers.map(|(status, answer)| {
        let example = members(&answer["content"]).find_map(|(_, content)| content.get("example"));
        let headers = members(&answer["headers"]).map(|(name, _)| name.as_str()).filter(|name| *name != "X-Request-Id");
        Answer {
            status: status.clone(),
            about: Text::of(&answer["description"]),
            headers: headers.collect::<Vec<_>>().join(", "),
            example: example.map(pretty),
        }
    });
    let problems = responses.iter().filter(|(_, answer)| of_problem(answer)).map(|(status, answer)| {
        let examples = &answer["content"]["application/problem+json"]["examples"];
        (status.clone(), members(examples).map(|(code, _)| code.clone()).collect())
    });
    Some(Operation {
        id: text(&said["operationId"]),
        method: route.method.to_string(),
        summary: text(&said["summary"]),
        about: Text::of(&said["description"]),
        parameters: parameters.collect(),
        bodies: bodies.collect(),
        answers: answers.collect(),
        problems: problems.collect(),
        path,
    })
}

/// What a value may be, in a few words.
fn form(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    if let Some(item) = schema.get("items") {
        return format!("{}, repeatable", form(document, item));
    }
    let mut words = vec![match (&schema["format"], &schema["type"]) {
        (Value::String(format), _) if format != "int64" => format.clone(),
        (_, Value::String(kind)) => kind.clone(),
        _ => "string".to_owned(),
    }];
    if let Some(values) = schema["enum"].as_array() {
        words = vec![values.iter().map(text).collect::<Vec<_>>().join(" | ")];
    }
    words.extend(schema.get("pattern").map(text));
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        words.push(format!("{least} to {most}"));
    }
    words.extend(schema.get("maxLength").map(|most| format!("at most {most} characters")));
    words.extend(schema.get("default").map(|default| format!("else {}", text(default))));
    words.join(", ")
}

/// What a reference leads to.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text as it is, anything else as JSON.
fn pretty(value: &Value) -> String {
    value.as_str().map_or_else(|| serde_json::to_string_pretty(value).unwrap_or_default(), |text| text.trim_end().to_owned())
}
