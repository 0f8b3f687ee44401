//! What many operations have in common: names and numbers, parameters, headers.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Components, Ref, RefOr, Required, Response};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Code, Document};

/// The greatest integer that a JSON number carries exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

macro_rules! named {
    ($($name:ident: $schema:expr;)*) => {$(
        /// A schema by this name.
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

named! {
    Slug: text("Names a tenant, a partner or a source: letters, digits, and hyphens inside.")
        .pattern(Some("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"));
    Seq: whole("A position in the log, without gaps.", 1, MAX_SAFE);
    Hash: text("SHA-256, as 64 hex digits.").pattern(Some("^[0-9a-f]{64}$"));
    Time: text("UTC, to the millisecond.").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-05-01T00:16:37.212Z"]);
    Name: printable("For people: no control characters, and not only spaces.", 200);
    Role: text("What somebody may do.").enum_values(Some(dezky_platform::Role::ALL.map(dezky_platform::Role::as_str)));
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = Self::ALL.iter().map(|code| code.as_str());
        text("What went wrong, for programs. Stable; new ones may be added.").examples(codes).into()
    }
}

impl ToSchema for Code {}

/// A text.
pub(super) fn text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about))
}

/// A text of so many characters.
pub(super) fn words(about: &str, most: usize) -> ObjectBuilder {
    text(about).min_length(Some(1)).max_length(Some(most))
}

/// A text of so many characters, none of them a control character, and not only spaces.
pub(super) fn printable(about: &str, most: usize) -> ObjectBuilder {
    words(about, most).pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))
}

/// A time as it may be sent.
pub(super) fn when(about: &str) -> ObjectBuilder {
    text(about).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// An integer between these.
pub(super) fn whole(about: &str, least: u64, most: u64) -> ObjectBuilder {
    let format = Some(SchemaFormat::KnownFormat(KnownFormat::Int64));
    let number = ObjectBuilder::new().schema_type(Type::Integer).format(format).description(Some(about));
    number.minimum(Some(least)).maximum(Some(most))
}

/// One of these.
pub(super) fn one_of(about: &str, values: &[&str]) -> ObjectBuilder {
    text(about).enum_values(Some(values.iter().copied()))
}

/// A reference to a schema among the components.
pub(super) fn of(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// The answer to a request whose head is too large, by its name among the components.
pub(super) const HEAD: &str = "431";

/// What every document has among its components.
pub(super) fn components() -> Components {
    let mut components = Components::new();
    let mut schemas = Vec::new();
    Document::schemas(&mut schemas);
    schemas.push((Document::name().into_owned(), Document::schema()));
    for (name, schema) in [("Slug", Slug::schema()), ("Seq", Seq::schema()), ("Hash", Hash::schema()), ("Time", Time::schema())] {
        schemas.push((name.to_owned(), schema));
    }
    components.schemas.extend(schemas);
    let parameters = filters().into_iter().chain(conditions());
    components.parameters.extend(parameters.map(|(name, parameter)| (name, RefOr::T(parameter.build()))));
    let head = Response::new(
        "The request's head has more than 32 KiB, or more than 64 headers. There is no body, and the connection ends.",
    );
    components.responses.insert(HEAD.to_owned(), RefOr::T(head));
    components.headers.extend(headers().map(|(name, header)| (name.to_owned(), RefOr::T(header))));
    components
}

/// The parameters by which events are chosen, by their names here.
pub(super) const FILTERS: [&str; 26] = [
    "since",
    "until",
    "action",
    "action.not",
    "tenantSlug",
    "tenantSlug.not",
    "partnerSlug",
    "partnerSlug.not",
    "actorEmail",
    "actorEmail.not",
    "actorId",
    "actorId.not",
    "resourceType",
    "resourceType.not",
    "resourceId",
    "resourceId.not",
    "outcome",
    "outcome.not",
    "source",
    "source.not",
    "actorType",
    "actorType.not",
    "clientIp",
    "clientIp.not",
    "q",
    "q.not",
];

fn filters() -> Vec<(String, ParameterBuilder)> {
    let word = |about: &str| RefOr::<Schema>::from(text(about).pattern(Some("^[a-z][a-z0-9_-]{0,31}$")));
    let value = |about: &str| RefOr::<Schema>::from(words(about, dezky_store::query::MAX_VALUE_BYTES / 4));
    let slug = || RefOr::<Schema>::from(of("Slug"));
    let action = text("Exact, or a prefix: `tenant.` or `tenant.*`.").pattern(Some(r"^[a-z][a-z0-9_.-]{0,126}(\.\*)?$"));
    let noun = text("A dotted noun.").pattern(Some("^[a-z][a-z0-9_.-]{0,63}$"));
    let ip = [KnownFormat::Ipv4, KnownFormat::Ipv6].into_iter().fold(AnyOfBuilder::new(), |any, format| {
        any.item(text("").description(None::<&str>).format(Some(SchemaFormat::KnownFormat(format))))
    });
    let fields: [(&str, RefOr<Schema>); 12] = [
        ("action", action.into()),
        ("tenantSlug", slug()),
        ("partnerSlug", slug()),
        ("actorEmail", value("Exact.")),
        ("actorId", value("Exact.")),
        ("resourceType", noun.into()),
        ("resourceId", value("Exact.")),
        ("outcome", word("`success`, `failure`, `denied`.")),
        ("source", slug()),
        ("actorType", word("`user`, `operator`, `service`, `system`, `anonymous`.")),
        ("clientIp", ip.into()),
        (
            "q",
            words(
                "Part of the action, resource name, actor e-mail or tenant slug, in any case.",
                dezky_store::query::MAX_TEXT_CHARS,
            )
            .into(),
        ),
    ];
    let mut all = vec![
        ("since".to_owned(), query("since").schema(Some(when("Not before this time, by `at`; years 1970 to 9999.")))),
        ("until".to_owned(), query("until").schema(Some(when("Before this time, by `at`.")))),
    ];
    for (name, schema) in fields {
        let several = |about: &str| {
            let values =
                ArrayBuilder::new().items(schema.clone()).min_items(Some(1)).max_items(Some(dezky_store::query::MAX_CLAUSES));
            (values, about.to_owned())
        };
        let (values, about) = several("Repeated: one of them.");
        all.push((name.to_owned(), query(name).schema(Some(values)).explode(Some(true)).description(Some(about))));
        let (values, about) = several("Repeated: none of them.");
        all.push((
            format!("{name}.not"),
            query(&format!("{name}!")).schema(Some(values)).explode(Some(true)).description(Some(about)),
        ));
    }
    all
}

fn query(name: &str) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False)
}

/// Headers of requests, and the parameters of lists by key.
fn conditions() -> impl Iterator<Item = (String, ParameterBuilder)> {
    let header = |name: &str, schema: ObjectBuilder| {
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False).schema(Some(schema))
    };
    let part = "UTF-8, percent-encoded. For services with the role `operator`; a person acts in their own name.";
    let most = u64::try_from(dezky_platform::MAX_LISTED).unwrap_or(u64::MAX);
    [
        (
            "IfMatch",
            header(
                "If-Match",
                text("The `ETag` of the record as it was read: refused with 412 when it has changed since.")
                    .pattern(Some(r#"^(\*|"[0-9]{1,18}")$"#)),
            ),
        ),
        (
            "IfNoneMatch",
            header("If-None-Match", text("The `ETag` of what the caller has: answered with 304 when it is still that.")),
        ),
        ("ActorId", header("Dezky-Actor-Id", text(&format!("For whom the caller acts: their id. {part}")).min_length(Some(1)))),
        ("ActorEmail", header("Dezky-Actor-Email", text(&format!("Their e-mail address. {part}")).min_length(Some(1)))),
        ("ActorName", header("Dezky-Actor-Name", text(&format!("Their name. {part}")).min_length(Some(1)))),
        ("After", query("after").schema(Some(text("`next` of the page before.")))),
        ("Limit", query("limit").schema(Some(whole("The most records on a page.", 1, most).default(Some(json!(100)))))),
    ]
    .into_iter()
    .map(|(name, parameter)| (name.to_owned(), parameter))
}

fn headers() -> impl Iterator<Item = (&'static str, Header)> {
    let header = |schema: ObjectBuilder, about: &str| HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build();
    let plain = || ObjectBuilder::new().schema_type(Type::String);
    [
        ("X-Request-Id", header(plain(), "The request's name in the server's log: the caller's own where it was plain, 1 to 64 of `[A-Za-z0-9-_.]`.")),
        ("ETag", header(plain(), "What was sent, as a name: for `If-None-Match`, and of a record for `If-Match`.")),
        ("Link", header(plain(), "RFC 8288: `rel=\"next\"` leads to the next page, as the cursor in the body does; there is none on the last page. Of an export, `rel=\"checkpoint\"` names the checkpoint that it ends at.")),
        ("Vary", header(plain(), "`accept`.")),
        ("Content-Disposition", header(plain(), "A file name that says which log it is of, and how long that was.")),
        ("Retry-After", header(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)), "Seconds after which the same request may succeed.")),
        ("WWW-Authenticate", header(plain(), "RFC 6750: `Bearer`, with `error=\"invalid_token\"` where a token was sent.")),
    ]
    .into_iter()
}
