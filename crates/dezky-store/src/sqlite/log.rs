//! The log itself.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Source, TenantSlug};

use super::SqliteStore;
use super::append::{read_head, read_tenant_head, read_tile};
use super::value::{bounds, bytes, hash, number, optional_hash, seq};
use crate::batch::check;
use crate::error::StoreError;
use crate::log::{Append, EventLog, Head, MAX_SEEN_KEYS, NewEvent, ReadLimit, Receipt, Stored, TenantHead, Tip};
use crate::tiles::Tiles;

#[async_trait]
impl EventLog for SqliteStore {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read_side(read_head).await
    }

    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        let tenant = tenant.clone();
        self.read_side(move |connection| read_tenant_head(connection, tenant.as_str())).await
    }

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        check(expected, &batch)?;
        let done = self.writer.run(move |side| side.append(expected, &batch)).await?;
        if matches!(done, Append::Appended { n: 1.. }) {
            self.bell.ring();
        }
        Ok(done)
    }

    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError> {
        self.read_side(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT seq, line FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")?;
            let mut rows = statement.query(bounds(&range))?;
            let (mut events, mut size) = (Vec::new(), 0);
            while events.len() < limit.events
                && let Some(row) = rows.next()?
            {
                let stored = Stored { seq: number(row, 0)?, line: bytes(row, 1)? };
                size += stored.line.len();
                if size > limit.bytes && !events.is_empty() {
                    break;
                }
                events.push(stored);
            }
            Ok(events)
        })
        .await
    }

    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError> {
        if keys.len() > MAX_SEEN_KEYS {
            return Err(StoreError::refused(format!("at most {MAX_SEEN_KEYS} keys at once")));
        }
        let keys = keys.to_vec();
        self.read_side(move |connection| {
            let sql = "SELECT seq, hash, mac FROM receipt WHERE source = ?1 AND external_id = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut receipts = Vec::with_capacity(keys.len());
            for (source, external_id) in keys {
                let mut rows = statement.query((source.as_str(), external_id.as_str()))?;
                let receipt = match rows.next()? {
                    Some(row) => Some(Receipt { seq: seq(row, 0)?, hash: hash(row, 1)?, content_mac: optional_hash(row, 2)? }),
                    None => None,
                };
                receipts.push(receipt);
            }
            Ok(receipts)
        })
        .await
    }
}

#[async_trait]
impl Tiles for SqliteStore {
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.read_side(move |connection| read_tile(connection, level, index)).await
    }
}
