//! What outlives the events, in and out.

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Source, TenantSlug};
use rusqlite::Transaction;

use super::SqliteStore;
use super::append::{put_head, put_tenant_head, put_tile, read_head, read_tenant_head, read_tile, tenant_head};
use super::fault::Fault;
use super::value::{damaged, hash, integer, optional_hash, seq};
use crate::batch::Trunk;
use crate::error::StoreError;
use crate::log::{Head, Receipt, TenantHead};
use crate::transfer::{Relic, Transfer, ends_of_streams};

#[async_trait]
impl Transfer for SqliteStore {
    async fn tenant_heads(&self, after: Option<&TenantSlug>, limit: usize) -> Result<Vec<(TenantSlug, TenantHead)>, StoreError> {
        let after = after.map(|slug| slug.as_str().to_owned()).unwrap_or_default();
        self.read_side(move |connection| {
            let sql = "SELECT slug, tenant_seq, seq, hash, peaks FROM tenant_head WHERE slug > ?1 ORDER BY slug LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((after, integer(limit as u64)))?;
            let mut heads = Vec::new();
            while let Some(row) = rows.next()? {
                let slug = TenantSlug::new(row.get::<_, String>(0)?).map_err(|_| damaged("a tenant's slug"))?;
                heads.push((slug, tenant_head(row, 1)?));
            }
            Ok(heads)
        })
        .await
    }

    async fn receipts(
        &self,
        after: Option<&(Source, ExternalId)>,
        limit: usize,
    ) -> Result<Vec<(Source, ExternalId, Receipt)>, StoreError> {
        let after = after.map(|(source, id)| (source.as_str().to_owned(), id.as_str().to_owned())).unwrap_or_default();
        self.read_side(move |connection| {
            let sql = "SELECT source, external_id, seq, hash, mac FROM receipt WHERE (source, external_id) > (?1, ?2)
                ORDER BY source, external_id LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((after.0, after.1, integer(limit as u64)))?;
            let mut receipts = Vec::new();
            while let Some(row) = rows.next()? {
                let source = Source::new(row.get::<_, String>(0)?).map_err(|_| damaged("a source"))?;
                let id = ExternalId::new(row.get::<_, String>(1)?).map_err(|_| damaged("an external id"))?;
                let receipt = Receipt { seq: seq(row, 2)?, hash: hash(row, 3)?, content_mac: optional_hash(row, 4)? };
                receipts.push((source, id, receipt));
            }
            Ok(receipts)
        })
        .await
    }

    async fn adopt(&self, relics: Vec<Relic>) -> Result<(), StoreError> {
        self.writer
            .run(move |side| {
                side.forget();
                side.write(|transaction| {
                    if !ends_of_streams(&relics, |tenant| read_tenant_head(transaction, tenant.as_str()))? {
                        must_be_empty(transaction)?;
                    }
                    relics.iter().try_for_each(|relic| put(transaction, relic))
                })
            })
            .await
    }

    async fn begin(&self, head: Head) -> Result<(), StoreError> {
        self.writer
            .run(move |side| {
                side.forget();
                side.write(|transaction| {
                    must_be_empty(transaction)?;
                    Trunk::load(&head, |level, index| read_tile(transaction, level, index).map_err(Into::into))
                        .map_err(|_| StoreError::refused("the head's peaks or the tiles at its edge are missing or too few"))?;
                    put_head(transaction, &head)?;
                    let size = integer(head.size);
                    transaction.execute("UPDATE log SET border = ?1", [size])?;
                    transaction.execute("UPDATE copied SET up_to = ?1, counted = ?1", [size])?;
                    Ok::<_, Fault>(())
                })
            })
            .await
    }
}

fn must_be_empty(transaction: &Transaction<'_>) -> Result<(), Fault> {
    if read_head(transaction)?.size == 0 { Ok(()) } else { Err(StoreError::refused("the log is not empty").into()) }
}

fn put(transaction: &Transaction<'_>, relic: &Relic) -> Result<(), Fault> {
    match relic {
        Relic::Receipt { source, external_id, receipt } => {
            let sql = "INSERT OR REPLACE INTO receipt (source, external_id, seq, hash, mac) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mac = receipt.content_mac.as_ref().map(Hash::as_bytes);
            let seq = integer(receipt.seq.get());
            let values = (source.as_str(), external_id.as_str(), seq, receipt.hash.as_bytes(), mac);
            transaction.prepare_cached(sql)?.execute(values)?;
            Ok(())
        }
        Relic::TenantHead { tenant, head } => put_tenant_head(transaction, tenant.as_str(), head),
        Relic::Tile { level, index, hashes } => put_tile(transaction, *level, *index, hashes),
    }
}
