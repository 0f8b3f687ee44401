//! One operation: what a subject says of it, completed by what follows from its route.

mod problems;

use std::fmt;

use http::Method;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::content::Content;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, Ref, RefOr, Required, Response};

use super::{admitted, shape, shown};
use crate::problem::Code;
use crate::routes::{Route, Rule};

pub(super) const BEARER: &str = "bearer";

/// What is said of one method of one path.
pub(super) struct Described {
    method: Method,
    path: &'static str,
    operation: Operation,
    answers: Vec<(u16, Response)>,
    codes: Vec<Code>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// An operation that is named `id`, in the group `tag`.
pub(super) fn operation(method: Method, path: &'static str, tag: &str, id: &str, summary: &str) -> Described {
    let mut operation = Operation::new();
    operation.tags = Some(vec![tag.to_owned()]);
    operation.operation_id = Some(id.to_owned());
    operation.summary = Some(summary.to_owned());
    Described { method, path, operation, answers: Vec::new(), codes: Vec::new(), schemas: Vec::new() }
}

impl Described {
    pub(super) fn is_of(&self, route: &Route) -> bool {
        self.method == route.method && self.path == route.path
    }

    pub(super) fn about(mut self, text: &str) -> Self {
        self.operation.description = Some(text.to_owned());
        self
    }

    /// A segment of the path.
    pub(super) fn at(self, name: &str, schema: impl Into<RefOr<Schema>>, example: impl Into<Value>, about: &str) -> Self {
        self.parameter(ParameterIn::Path, name, schema, Some(example.into()), about)
    }

    pub(super) fn query(self, name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Self {
        self.parameter(ParameterIn::Query, name, schema, None, about)
    }

    pub(super) fn header(self, name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Self {
        self.parameter(ParameterIn::Header, name, schema, None, about)
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Option<Value>,
        about: &str,
    ) -> Self {
        let required = if place == ParameterIn::Path { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
        let parameter: Parameter = parameter.schema(Some(schema)).description(Some(about)).example(example).build();
        self.operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
        self
    }

    /// Parameters that several operations have, by their names among the components.
    pub(super) fn shared<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let places = names.into_iter().map(|name| RefOr::Ref(Ref::new(format!("#/components/parameters/{name}"))));
        self.operation.parameters.get_or_insert_default().extend(places);
        self
    }

    /// A body of JSON of the form of `T`.
    pub(super) fn takes<T: ToSchema>(mut self, example: Value) -> Self {
        let schema = self.refer::<T>();
        self.takes_as("application/json", schema, example).refuses(&[Code::InvalidBody])
    }

    /// A body of this media type.
    pub(super) fn takes_as(mut self, media_type: &str, schema: impl Into<RefOr<Schema>>, example: Value) -> Self {
        let mut body = match self.operation.request_body.take() {
            Some(RefOr::T(body)) => body,
            _ => RequestBody::new(),
        };
        body.required = Some(Required::True);
        body.content.insert(media_type.to_owned(), RefOr::T(content(schema, example)));
        self.operation.request_body = Some(RefOr::T(body));
        self
    }

    /// The body named last may be left out.
    pub(super) fn may_be_empty(mut self) -> Self {
        if let Some(RefOr::T(body)) = &mut self.operation.request_body {
            body.required = Some(Required::False);
        }
        self
    }

    /// An answer of JSON of the form of `T`.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16, about: &str, example: Value) -> Self {
        let schema = self.refer::<T>();
        self.answers_as(status, about, "application/json", schema, example)
    }

    /// An answer of this media type; beside another one where the status is the same.
    pub(super) fn answers_as(
        mut self,
        status: u16,
        about: &str,
        media_type: &str,
        schema: impl Into<RefOr<Schema>>,
        example: Value,
    ) -> Self {
        if self.answers.last().is_none_or(|(last, _)| *last != status) {
            self = self.answers_nothing(status, about);
        }
        if let Some((_, answer)) = self.answers.last_mut() {
            answer.content.insert(media_type.to_owned(), RefOr::T(content(schema, example)));
        }
        self
    }

    /// An answer without a body.
    pub(super) fn answers_nothing(mut self, status: u16, about: &str) -> Self {
        self.answers.push((status, Response::new(about)));
        self.sends("X-Request-Id")
    }

    /// The answer named last has this header.
    pub(super) fn sends(mut self, name: &str) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            answer.headers.insert(name.to_owned(), header(name));
        }
        self
    }

    /// The answer named last has an `ETag`, and is not sent again to whoever has it.
    pub(super) fn tagged(self) -> Self {
        let about = "As in `If-None-Match`; there is no body.";
        self.sends("ETag").answers_nothing(304, about).sends("ETag").shared(["IfNoneMatch"])
    }

    /// Problems beside those that follow from the route.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// A reference to the schema of `T`, which goes among the components with all that it refers to.
    pub(super) fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }

    /// A schema that another one of this operation names by hand.
    pub(super) fn knows<T: ToSchema>(mut self) -> Self {
        drop(self.refer::<T>());
        self
    }

    /// The whole operation: with who may use it, and each problem that it can answer with.
    pub(super) fn complete(mut self, route: &Route, components: &mut Components) -> Operation {
        components.schemas.extend(self.schemas);
        let said = self.operation.description.take().unwrap_or_default();
        self.operation.description = Some(format!("{said} {}", admitted(route)).trim_start().to_owned());
        self.operation.security = Some(match route.rule {
            Rule::Public => Vec::new(),
            Rule::Signed => vec![SecurityRequirement::default(), bearer()],
            Rule::Recorder | Rule::Reader | Rule::Auditor | Rule::Operator => vec![bearer()],
        });
        for (status, answer) in self.answers {
            self.operation.responses.responses.insert(status.to_string(), RefOr::T(answer));
        }
        self.codes.extend(problems::of_route(route));
        problems::add(&mut self.operation, &self.codes, components);
        // Told by the server's outermost part, which has not read the request yet.
        let head = RefOr::Ref(Ref::from_response_name(shape::HEAD));
        self.operation.responses.responses.insert("431".to_owned(), head);
        self.operation
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, shown(self.path))
    }
}

fn content(schema: impl Into<RefOr<Schema>>, example: Value) -> Content {
    let mut content = Content::new(Some(schema));
    content.example = Some(example).filter(|example| !example.is_null());
    content
}

fn header(name: &str) -> RefOr<utoipa::openapi::Header> {
    RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))
}

fn bearer() -> SecurityRequirement {
    SecurityRequirement::new(BEARER, [""; 0])
}

pub(super) fn http_method(method: &Method) -> Option<HttpMethod> {
    Some(match *method {
        Method::GET => HttpMethod::Get,
        Method::POST => HttpMethod::Post,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => return None,
    })
}
