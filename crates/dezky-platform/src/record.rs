//! What a collection keeps, and how it is read.

use std::marker::PhantomData;

use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use dezky_store::directory::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::acting::Acting;
use crate::error::PlatformError;
use crate::mutation::{Edited, Mutation};
use crate::platform::Platform;

/// The most records of one listing.
pub const MAX_LISTED: usize = 500;

/// One kind of document.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where they are kept.
    const COLLECTION: &'static str;
    /// `resourceType` of their events.
    const RESOURCE: &'static str;

    /// Names it for ever.
    fn key(&self) -> &str;

    /// What people call it.
    fn name(&self) -> Option<&str>;

    /// Whose it is.
    fn tenant(&self) -> Option<TenantSlug>;

    fn partner(&self) -> Option<PartnerSlug>;

    /// Notes when it was changed.
    fn touch(&mut self, at: String);
}

/// A record, and the version that a change of it may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    /// From 1; rises with every change.
    pub version: u64,
}

/// A page of records in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    pub records: Vec<Versioned<T>>,
    /// The key behind which the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// The records of one kind, to be read and changed.
pub(crate) struct Shelf<'p, T> {
    platform: &'p Platform,
    kind: PhantomData<T>,
}

impl<'p, T: Record> Shelf<'p, T> {
    pub(crate) const fn new(platform: &'p Platform) -> Self {
        Self { platform, kind: PhantomData }
    }

    pub(crate) async fn find(&self, key: &str) -> Result<Option<Versioned<T>>, PlatformError> {
        self.platform.store().document(T::COLLECTION, key).await?.map(parsed).transpose()
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Versioned<T>, PlatformError> {
        self.find(key).await?.ok_or_else(|| PlatformError::NotFound { what: T::RESOURCE, key: key.to_owned() })
    }

    pub(crate) async fn list(&self, after: Option<&str>, limit: usize) -> Result<Listing<T>, PlatformError> {
        let limit = limit.clamp(1, MAX_LISTED);
        let documents = self.platform.store().documents(T::COLLECTION, after, limit + 1).await?;
        let more = documents.len() > limit;
        let records = documents.into_iter().take(limit).map(parsed).collect::<Result<Vec<Versioned<T>>, _>>()?;
        let next = records.last().filter(|_| more).map(|last| last.value.key().to_owned());
        Ok(Listing { records, next })
    }
}

impl<T: Record> Shelf<'_, T> {
    /// Edits the record of that key as it is now.
    pub(crate) async fn change(
        &self,
        acting: &Acting,
        key: &str,
        expected: Option<u64>,
        action: &'static str,
        edit: impl FnMut(Option<&T>) -> Result<Edited<T>, PlatformError>,
    ) -> Result<Versioned<T>, PlatformError> {
        self.platform.mutate(Mutation { acting, key, expected, action }, edit).await
    }

    /// The edited record as changed now, unless it is as it was.
    pub(crate) fn touched(&self, before: &T, mut next: T, action: &'static str) -> Edited<T>
    where
        T: PartialEq,
    {
        if next == *before {
            return Edited::Same;
        }
        next.touch(self.platform.clock().now().to_string());
        Edited::Changed { value: next, action }
    }
}

pub(crate) fn parsed<T: Record>(document: Document) -> Result<Versioned<T>, PlatformError> {
    let Document { key, version, body } = document;
    match serde_json::from_str(&body) {
        Ok(value) => Ok(Versioned { value, version }),
        Err(source) => Err(PlatformError::Damaged { what: T::RESOURCE, key, source }),
    }
}
