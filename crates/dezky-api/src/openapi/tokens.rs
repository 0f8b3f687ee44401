//! The tokens of services.

#![expect(dead_code, reason = "the types here say what another crate reads and writes")]

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Described, operation};
use super::platform::records;
use super::shape::text;
use super::{Name, Role, Slug};
use crate::handlers::tokens::{Made, Shown};
use crate::problem::Code;

/// What a token begins with.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewToken {
    /// What it is for.
    name: Name,
    role: Role,
    /// Of a tenant auditor, who has at least one.
    #[schema(required = false, max_items = 100)]
    tenants: Vec<Slug>,
    /// Of a recorder: the only source that it may name.
    source: Option<Slug>,
    /// 90 where nobody says so.
    #[schema(minimum = 1, maximum = 365)]
    expires_in_days: Option<u16>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenState {
    Active,
    /// For ever.
    Revoked,
}

/// A token, and the version of its record.
#[derive(ToSchema)]
struct ListedToken {
    #[serde(flatten)]
    record: Shown<'static>,
    #[schema(minimum = 1)]
    version: u64,
}

/// A page of tokens, each with its version.
#[derive(ToSchema)]
struct TokenPage {
    records: Vec<ListedToken>,
    /// For `after`; `null` on the last page.
    #[schema(required = true)]
    next: Option<String>,
}

fn token() -> Value {
    json!({
        "id": "5d0c9a3be2f1a77e", "name": "Billing", "role": "recorder", "source": "billing", "state": "active",
        "createdBy": {"id": "operator"}, "createdAt": "2026-05-01T00:16:37.212Z", "expiresAt": "2026-07-30T00:16:37.212Z", "lastUsedAt": null
    })
}

pub(super) fn operations() -> Vec<Described> {
    let mut made = token();
    made["token"] = "dzk_5d0c9a3be2f1a77e_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE".into();
    let mut revoked = token();
    revoked["state"] = "revoked".into();
    vec![
        operation(Method::GET, "/tokens", "Tokens", "listTokens", "The tokens")
            .about("Revoked and expired ones too, by id.")
            .shared(["After", "Limit"])
            .answers::<TokenPage>(200, "A page of them", records(token()))
            .sends("Link"),
        operation(Method::POST, "/tokens", "Tokens", "createToken", "Make a token")
            .about("The token itself is in this answer, and never again.")
            .shared(["ActorId", "ActorEmail", "ActorName"])
            .takes::<NewToken>(json!({"name": "Billing", "role": "recorder", "source": "billing", "expiresInDays": 30}))
            .answers::<Made<'static>>(201, "Its record, and the token", made)
            .refuses(&[Code::NotPossible]),
        operation(Method::DELETE, "/tokens/{id}", "Tokens", "revokeToken", "Revoke a token")
            .about("In this process at once, in others within 30 seconds.")
            .at("id", text("16 hex digits."), "5d0c9a3be2f1a77e", "Which one.")
            .shared(["ActorId", "ActorEmail", "ActorName"])
            .answers::<Shown<'static>>(200, "Its record", revoked)
            .sends("ETag")
            .refuses(&[Code::NoSuchRecord, Code::NotPossible, Code::InvalidBody]),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::platform::tests::assert_reads;
    use super::*;

    #[test]
    fn a_new_token_is_read_as_it_is_described() {
        assert_reads::<NewToken, dezky_platform::NewToken>(&json!({"name": "Billing", "role": "recorder"}));
    }
}
