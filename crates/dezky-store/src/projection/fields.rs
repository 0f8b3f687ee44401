//! Reading a line for its copy: borrowed where possible, blind to whatever has an unexpected type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use dezky_audit_core::time::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Column;

type Values = [Option<Box<str>>; Column::ALL.len()];

/// `at` and the values in the order of the columns; `None` when the line is no JSON object.
pub(super) fn read(line: &[u8]) -> Option<(Option<Timestamp>, Values)> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let at = line.at.0.and_then(|text| Timestamp::parse_canonical(text.as_bytes()));
    let values = [
        line.action,
        line.outcome,
        line.source,
        line.actor_type,
        line.actor.0.id,
        line.actor.0.email,
        line.resource_type,
        line.resource.0.id,
        line.resource.0.name,
        line.tenant_slug,
        line.partner_slug,
        line.client.0.ip,
    ];
    Some((at, values.map(|text| text.0.map(Into::into))))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Line<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    actor: Part<'a>,
    #[serde(borrow)]
    actor_type: Text<'a>,
    #[serde(borrow)]
    at: Text<'a>,
    #[serde(borrow)]
    client: Part<'a>,
    #[serde(borrow)]
    outcome: Text<'a>,
    #[serde(borrow)]
    partner_slug: Text<'a>,
    #[serde(borrow)]
    resource: Part<'a>,
    #[serde(borrow)]
    resource_type: Text<'a>,
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    tenant_slug: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Members<'a> {
    #[serde(borrow)]
    email: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    ip: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

/// A string, or nothing.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

/// An object's members, or nothing.
#[derive(Default)]
struct Part<'a>(Members<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(PhantomData))
    }
}

/// What a value of the expected type becomes; every other type becomes the default.
trait Wanted<'de>: Default {
    fn text(_text: Cow<'de, str>) -> Self {
        Self::default()
    }

    fn object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'de: 'a, 'a> Wanted<'de> for Text<'a> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(Some(text))
    }
}

impl<'de: 'a, 'a> Wanted<'de> for Part<'a> {
    fn object<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Members::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Self)
    }
}

struct Lenient<T>(PhantomData<T>);

impl<'de, T: Wanted<'de>> Visitor<'de> for Lenient<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
}
