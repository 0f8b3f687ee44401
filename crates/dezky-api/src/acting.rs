//! On whose behalf a request changes something.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use dezky_audit_core::event::{Actor, Client, PartText};
use dezky_audit_core::ids::ActorType;
use dezky_platform::{Acting, Role};
use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::caller::Caller;
use crate::layers::ClientAddress;
use crate::problem::{Code, Problem};

const ACTOR_ID: &str = "dezky-actor-id";
const ACTOR_EMAIL: &str = "dezky-actor-email";
const ACTOR_NAME: &str = "dezky-actor-name";

/// Who acts, and from where. A person acts in their own name. Whoever holds the operator's token, or a service's token with the
/// operator's role, may say for which person it is used, by the headers `Dezky-Actor-Id`, `Dezky-Actor-Email` and
/// `Dezky-Actor-Name` (UTF-8, percent-encoded); else it is the token's holder.
pub(crate) struct OnBehalf(pub(crate) Acting);

impl OnBehalf {
    /// The caller by itself, whoever it says that it acts for.
    pub(crate) fn itself(caller: &Caller, headers: &HeaderMap, ip: Option<IpAddr>) -> Result<Acting, Problem> {
        let actor = actor(&HeaderMap::new(), caller)?;
        let actor_type = ActorType::new(match caller.role {
            _ if caller.is_service() => "service",
            Role::Operator => "operator",
            _ => "user",
        });
        let actor_type = actor_type.map_err(|error| Problem::internal(&error))?;
        Ok(Acting { actor_type, actor, client: Client { ip, user_agent: user_agent(headers) } })
    }
}

fn user_agent(headers: &HeaderMap) -> Option<PartText> {
    headers.get(USER_AGENT).and_then(|value| PartText::new(value.to_str().ok()?).ok())
}

impl<S: Sync> FromRequestParts<S> for OnBehalf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let actor = actor(&parts.headers, &caller)?;
        let by_itself = caller.is_service() && actor.id.as_ref().is_some_and(|id| id.as_str() == &*caller.id);
        let actor_type = ActorType::new(if by_itself { "service" } else { "operator" });
        let actor_type = actor_type.map_err(|error| Problem::internal(&error))?;
        let ip = parts.extensions.get().map(|ClientAddress(address)| *address);
        let user_agent = user_agent(&parts.headers);
        Ok(Self(Acting { actor_type, actor, client: Client { ip, user_agent } }))
    }
}

fn actor(headers: &HeaderMap, caller: &Caller) -> Result<Actor, Problem> {
    let (id, email, name) = (said(headers, ACTOR_ID)?, said(headers, ACTOR_EMAIL)?, said(headers, ACTOR_NAME)?);
    let nobody = id.is_none() && email.is_none() && name.is_none();
    if !nobody && !caller.may_name_actors() {
        return Err(Problem::new(
            Code::Forbidden,
            "the headers 'Dezky-Actor-…' are for services; a person acts in their own name",
        ));
    }
    let text = |text: &str| PartText::new(text).ok();
    match &caller.person {
        Some(person) => Ok(Actor {
            id: text(&person.id),
            email: person.email.as_deref().and_then(text),
            name: person.name.as_deref().and_then(text),
        }),
        None => Ok(Actor { id: if nobody { text(&caller.id) } else { id }, email, name }),
    }
}

fn said(headers: &HeaderMap, name: &'static str) -> Result<Option<PartText>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = |reason: &str| Problem::new(Code::InvalidParameter, format!("the header '{name}': {reason}"));
    if values.next().is_some() {
        return Err(invalid("given twice"));
    }
    let text = percent_decode_str(value.to_str().map_err(|_| invalid("not ASCII; percent-encode it"))?).decode_utf8();
    let text = text.map_err(|_| invalid("not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(invalid("it has a control character"));
    }
    PartText::new(text.as_ref()).map(Some).map_err(|error| invalid(&format!("it is not {error}")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::caller::{Person, Principal};

    #[test]
    fn a_person_is_named_once_and_readably() {
        let caller = Caller::try_from(Principal::operator()).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(actor(&headers, &caller).unwrap().id.unwrap().as_str(), "operator");
        headers.insert(ACTOR_EMAIL, HeaderValue::from_static("zo%C3%AB@example.eu"));
        let named = actor(&headers, &caller).unwrap();
        assert_eq!((named.email.unwrap().as_str(), named.id), ("zoë@example.eu", None));
        headers.append(ACTOR_EMAIL, HeaderValue::from_static("x@example.eu"));
        assert!(actor(&headers, &caller).is_err());
        for bad in ["", "%0A", "%ff"] {
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(ACTOR_ID), HeaderValue::from_static(bad))]);
            assert!(actor(&headers, &caller).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_person_acts_in_their_own_name() {
        let person = Person { id: "37".to_owned(), email: Some("ann@acme.dk".to_owned()), name: None };
        let caller = Caller::try_from(Principal { person: Some(person), ..Principal::operator() }).unwrap();
        let mut headers = HeaderMap::new();
        let ann = actor(&headers, &caller).unwrap();
        assert_eq!((ann.id.unwrap().as_str(), ann.email.unwrap().as_str(), ann.name), ("37", "ann@acme.dk", None));
        headers.insert(ACTOR_ID, HeaderValue::from_static("38"));
        assert_eq!(actor(&headers, &caller).unwrap_err().code(), Code::Forbidden);
    }
}
