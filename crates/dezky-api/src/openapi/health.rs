//! Health, numbers, and the document itself.

use http::Method;
use serde_json::json;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::operation::{Described, operation};
use super::shape::text;
use crate::handlers::health::{Alive, Readiness};

pub(super) fn operations() -> Vec<Described> {
    let numbers = "# TYPE dezky_audit_head_seq gauge\ndezky_audit_head_seq 17\n# EOF\n";
    let document = ObjectBuilder::new().schema_type(Type::Object).description(Some("OpenAPI 3.1."));
    vec![
        operation(Method::GET, "/healthz", "Running", "alive", "Whether the process lives")
            .answers::<Alive>(200, "It does", json!({"status": "alive"})),
        operation(Method::GET, "/readyz", "Running", "ready", "Whether the store can be written to")
            .about("At most one look a second, whoever asks.")
            .answers::<Readiness<'static>>(200, "It can", json!({"status": "ready", "checks": [{"name": "store", "ok": true}]}))
            .answers::<Readiness<'static>>(
                503,
                "It cannot, and why",
                json!({"status": "not-ready", "checks": [{"name": "store", "ok": false, "reason": "the store did not answer within 3 s"}]}),
            )
            .sends("Retry-After"),
        operation(Method::GET, "/metrics", "Running", "metrics", "Numbers for Prometheus")
            .answers_as(200, "The numbers", "application/openmetrics-text", text("OpenMetrics 1.0."), numbers.into()),
        operation(Method::GET, "/openapi.json", "Running", "openapi", "This document")
            .answers_as(200, "The document", "application/json", document, json!({"openapi": "3.1.0"}))
            .tagged(),
    ]
}
