//! Tenants, partners, flags and users: records with a version, and what changes them.

#![expect(dead_code, reason = "the types here say what another crate reads and writes")]

mod pages;
mod records;

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Described, operation};
use super::shape::{of, text};
use crate::problem::Code;
use pages::{FlagPage, PartnerPage, TenantPage, UserPage};
pub(crate) use records::Person;
use records::{
    Flag, FlagEdit, FlagHistory, NewFlag, NewPartner, NewTenant, NewUser, Partner, PartnerEdit, Tenant, TenantEdit, User,
    UserEdit,
};

/// Whoever changes something may say for whom.
const ON_BEHALF: [&str; 3] = ["ActorId", "ActorEmail", "ActorName"];
/// Whoever changes a record may say which version they saw.
const CHANGES: [&str; 4] = ["IfMatch", "ActorId", "ActorEmail", "ActorName"];

/// A kind of record: how it is called, and how its key is.
struct Kind {
    /// `tenant`, as in `getTenant`, after its capital.
    one: &'static str,
    path: &'static str,
    each: &'static str,
    key: &'static str,
    example: Value,
}

impl Kind {
    fn operation(&self, method: Method, path: &'static str, verb: &str, summary: &str) -> Described {
        operation(method, path, "Platform", &format!("{verb}{}", self.one), summary)
    }

    fn of_one(&self, method: Method, path: &'static str, verb: &str, summary: &str) -> Described {
        let schema = if self.key == "slug" { of("Slug").into() } else { text("Its key.").into() };
        let schema: utoipa::openapi::RefOr<utoipa::openapi::Schema> = schema;
        let key = self.example[self.key].clone();
        self.operation(method, path, verb, summary).at(self.key, schema, key, "Which one.").refuses(&[Code::NoSuchRecord])
    }

    fn list<P: ToSchema>(&self) -> Described {
        operation(Method::GET, self.path, "Platform", &format!("list{}s", self.one), &format!("The {}s", self.one.to_lowercase()))
            .about("By key; those that are gone too.")
            .shared(["After", "Limit"])
            .answers::<P>(200, "A page of them", records(self.example.clone()))
            .sends("Link")
    }

    fn read<T: ToSchema>(&self) -> Described {
        self.of_one(Method::GET, self.each, "get", &format!("One {}", self.one.to_lowercase()))
            .answers::<T>(200, "The record", self.example.clone())
            .tagged()
    }

    fn create<N: ToSchema, T: ToSchema>(&self, new: Value, about: &str) -> Described {
        self.operation(Method::POST, self.path, "create", &format!("A new {}", self.one.to_lowercase()))
            .about(about)
            .shared(ON_BEHALF)
            .takes::<N>(new)
            .answers::<T>(201, "The record", self.example.clone())
            .sends("ETag")
            .refuses(&[Code::NotPossible])
    }

    fn update<E: ToSchema, T: ToSchema>(&self, edit: Value, about: &str) -> Described {
        let summary = format!("Change a {}", self.one.to_lowercase());
        self.changed::<T>(self.of_one(Method::PATCH, self.each, "update", &summary).about(about).takes::<E>(edit))
    }

    /// A change that needs no body.
    fn turn<T: ToSchema>(&self, method: Method, path: &'static str, verb: &str, summary: &str, about: &str) -> Described {
        self.changed::<T>(self.of_one(method, path, verb, summary).about(about))
    }

    fn changed<T: ToSchema>(&self, change: Described) -> Described {
        change.shared(CHANGES).answers::<T>(200, "The record as it is now", self.example.clone()).sends("ETag").refuses(&[
            Code::InvalidBody,
            Code::NotPossible,
            Code::Stale,
        ])
    }
}

/// An example of a page with this record.
pub(super) fn records(mut record: Value) -> Value {
    record["version"] = 1.into();
    json!({"records": [record], "next": null})
}

pub(super) fn operations() -> Vec<Described> {
    [tenants(), partners(), flags(), users()].into_iter().flatten().collect()
}

fn tenants() -> Vec<Described> {
    let example = json!({
        "slug": "acme", "name": "Acme ApS", "partnerSlug": "nordic", "domains": ["acme.example.eu"], "state": "active",
        "createdAt": "2026-05-01T00:16:37.212Z", "updatedAt": "2026-05-01T00:16:37.212Z"
    });
    let kind = Kind { one: "Tenant", path: "/tenants", each: "/tenants/{slug}", key: "slug", example };
    let new = json!({"slug": "acme", "name": "Acme ApS", "domains": ["acme.example.eu"]});
    vec![
        kind.list::<TenantPage>(),
        kind.read::<Tenant>(),
        kind.create::<NewTenant, Tenant>(new, "`tenant.created`. A slug is given once for ever."),
        kind.update::<TenantEdit, Tenant>(json!({"name": "Acme A/S"}), "`tenant.updated`. What is left out stays."),
        kind.turn::<Tenant>(
            Method::DELETE,
            kind.each,
            "delete",
            "Delete a tenant",
            "`tenant.deleted`. The record stays, and says so.",
        ),
        kind.turn::<Tenant>(Method::POST, "/tenants/{slug}/suspend", "suspend", "Suspend a tenant", "`tenant.suspended`."),
        kind.turn::<Tenant>(Method::POST, "/tenants/{slug}/resume", "resume", "Resume a tenant", "`tenant.resumed`."),
    ]
}

fn partners() -> Vec<Described> {
    let example = json!({
        "slug": "nordic", "name": "Nordic Partners", "state": "active",
        "createdAt": "2026-05-01T00:16:37.212Z", "updatedAt": "2026-05-01T00:16:37.212Z"
    });
    let kind = Kind { one: "Partner", path: "/partners", each: "/partners/{slug}", key: "slug", example };
    let about = "`partner.terminated`. Its tenants stay what they are.";
    vec![
        kind.list::<PartnerPage>(),
        kind.read::<Partner>(),
        kind.create::<NewPartner, Partner>(
            json!({"slug": "nordic", "name": "Nordic Partners"}),
            "`partner.created`. A slug is given once for ever.",
        ),
        kind.update::<PartnerEdit, Partner>(json!({"name": "Nordic"}), "`partner.updated`."),
        kind.turn::<Partner>(Method::POST, "/partners/{slug}/terminate", "terminate", "Terminate a partner", about),
    ]
}

fn flags() -> Vec<Described> {
    let entry = json!({
        "at": "2026-05-01T00:16:37.212Z", "action": "flag.created", "state": "rollout", "rollout": 10, "actorType": "operator",
        "actor": {"email": "zoe@example.eu"}
    });
    let example = json!({
        "key": "oci_versioning", "state": "rollout", "rollout": 10, "removed": false, "history": [entry],
        "createdAt": "2026-05-01T00:16:37.212Z", "updatedAt": "2026-05-01T00:16:37.212Z"
    });
    let history = json!({"history": example["history"]});
    let kind = Kind { one: "Flag", path: "/flags", each: "/flags/{key}", key: "key", example };
    let killed = "`flag.updated`; `flag.killed` when it is switched off with the note `kill-switch`. What is left out stays, but for the note.";
    vec![
        kind.list::<FlagPage>(),
        kind.read::<Flag>(),
        kind.create::<NewFlag, Flag>(
            json!({"key": "oci_versioning", "state": "rollout", "rollout": 10}),
            "`flag.created`. `rollout` belongs to the state `rollout`, which needs it. A key is given once for ever.",
        ),
        kind.update::<FlagEdit, Flag>(json!({"state": "off", "note": "kill-switch"}), killed),
        kind.turn::<Flag>(Method::DELETE, kind.each, "remove", "Remove a flag", "`flag.removed`. The record stays, and says so."),
        kind.of_one(Method::GET, "/flags/{key}/history", "historyOf", "What a flag was")
            .about("The newest last; the log has them all, here are 200 at most.")
            .answers::<FlagHistory>(200, "Its history", history),
    ]
}

fn users() -> Vec<Described> {
    let example = json!({
        "id": "9f86d081884c7d659a2feaa0c55ad015", "authentikSubjectId": "37", "email": "ann@acme.example.eu", "tenants": ["acme"],
        "state": "active", "createdAt": "2026-05-01T00:16:37.212Z", "updatedAt": "2026-05-01T00:16:37.212Z"
    });
    let kind = Kind { one: "User", path: "/users", each: "/users/{id}", key: "id", example };
    let new = json!({"authentikSubjectId": "38", "email": "ann@acme.example.eu", "tenants": []});
    vec![
        kind.list::<UserPage>(),
        kind.read::<User>(),
        kind.create::<NewUser, User>(
            new,
            "`user.created`; `user.linked` where the subject is known already, with the tenants that it is to have from now on.",
        )
        .answers::<User>(200, "The record, linked", kind.example.clone())
        .sends("ETag"),
        kind.update::<UserEdit, User>(json!({"email": "ann@acme.example.eu"}), "`user.updated`. What is left out stays."),
        kind.turn::<User>(Method::POST, "/users/{id}/deactivate", "deactivate", "Deactivate a user", "`user.deactivated`."),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use utoipa::PartialSchema;

    use super::*;

    fn properties<S: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(S::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    /// What is read takes `least`, and has the members that are described, which its own refusal of any other names.
    pub(in crate::openapi) fn assert_reads<S: PartialSchema, T: DeserializeOwned>(least: &Value) {
        assert!(serde_json::from_value::<T>(least.clone()).is_ok(), "{least}");
        let mut more = least.clone();
        more["no such member"] = true.into();
        let refusal = serde_json::from_value::<T>(more).err().unwrap().to_string();
        let named: BTreeSet<_> = refusal.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert_eq!(named, properties::<S>(), "{refusal}");
    }

    fn assert_writes<S: PartialSchema, T: serde::Serialize + DeserializeOwned>(example: &Value) {
        let record: T = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), *example);
        let known = properties::<S>();
        assert!(example.as_object().unwrap().keys().all(|name| known.contains(name)), "{known:?}");
    }

    #[test]
    fn bodies_are_read_as_they_are_described() {
        use dezky_platform as platform;
        assert_reads::<NewTenant, platform::NewTenant>(&json!({"slug": "acme", "name": "Acme"}));
        assert_reads::<TenantEdit, platform::TenantEdit>(&json!({}));
        assert_reads::<NewPartner, platform::NewPartner>(&json!({"slug": "nordic", "name": "Nordic"}));
        assert_reads::<PartnerEdit, crate::handlers::partners::PartnerEdit>(&json!({"name": "Nordic"}));
        assert_reads::<NewFlag, platform::NewFlag>(&json!({"key": "f", "state": "on"}));
        assert_reads::<FlagEdit, platform::FlagEdit>(&json!({}));
        assert_reads::<NewUser, platform::NewUser>(&json!({"authentikSubjectId": "1", "email": "a@b.eu"}));
        assert_reads::<UserEdit, platform::UserEdit>(&json!({}));
    }

    #[test]
    fn records_are_written_as_they_are_described() {
        use dezky_platform as platform;
        let document = serde_json::to_value(super::super::document()).unwrap();
        let example = |path: &str| {
            let pointer = format!("/paths/{}/get/responses/200/content/application~1json/example", path.replace('/', "~1"));
            document.pointer(&pointer).unwrap().clone()
        };
        assert_writes::<Tenant, platform::Tenant>(&example("/tenants/{slug}"));
        assert_writes::<Partner, platform::Partner>(&example("/partners/{slug}"));
        assert_writes::<Flag, platform::Flag>(&example("/flags/{key}"));
        assert_writes::<User, platform::User>(&example("/users/{id}"));
    }
}
