//! Leaving hot storage, coming back, and withholding a part.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use dezky_audit_core::event::{PartName, WithholdError, withhold};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use mongodb::bson::{Bson, Document, RawDocument, doc};

use super::MongoStore;
use super::archives::{ATTEMPTS, listed};
use super::document::{copied_members, copy, row, stored};
use super::leases::{contended, guard};
use super::value::{blob, date, integer, member, number, optional_time, time};
use crate::archives::BatchId;
use crate::error::StoreError;
use crate::leases::Fence;
use crate::log::{EventLog, Stored};
use crate::projection::SearchRow;
use crate::retention::{Hot, Restored, Retention, withheld_digest};
use crate::search::CountBy;

/// How many events leave hot storage at a time.
const SLICE: u64 = 1_024;
/// Positions whose earliest `recordedAt` is remembered together.
const BLOCK: u64 = 1_024;
/// The most bytes of lines in one command.
const COMMAND_BYTES: usize = 6 << 20;
const HOUR_MS: u64 = 3_600_000;

#[async_trait]
impl Retention for MongoStore {
    async fn hot(&self) -> Result<Hot, StoreError> {
        let log = self.log_document(&["border", "restored"]).await?;
        Ok(Hot { border: number(&log, "border")?, restored: restored(&log)? })
    }

    async fn last_recorded_before(&self, time: Timestamp) -> Result<Option<Seq>, StoreError> {
        let border = number(&self.log_document(&["border"]).await?, "border")?;
        let size = self.head().await?.size;
        if size <= border {
            return Ok(None);
        }
        let blocks = self.collection("recorded")?;
        let known = self.all(blocks.find(doc! { "_id": { "$gte": integer(border / BLOCK) } })).await?;
        let known: BTreeMap<u64, Timestamp> = known
            .iter()
            .map(|block| Ok((number(block, "_id")?, self::time(block, "earliest")?)))
            .collect::<Result<_, StoreError>>()?;
        for block in (border / BLOCK..=(size - 1) / BLOCK).rev() {
            if known.get(&block).is_some_and(|earliest| *earliest >= time) {
                continue;
            }
            let (first, last) = (block * BLOCK + 1, (block + 1) * BLOCK);
            let recorded = self.recorded(first.max(border + 1), last.min(size)).await?;
            if let Some((seq, _)) = recorded.iter().rev().find(|(_, recorded)| *recorded < time) {
                return Ok(Seq::new(*seq));
            }
            let earliest = recorded.iter().map(|(_, recorded)| *recorded).min();
            if let Some(earliest) = earliest.filter(|_| first > border && last <= size && !known.contains_key(&block)) {
                self.insert("recorded", doc! { "_id": integer(block), "earliest": date(earliest) }).await?;
            }
        }
        Ok(None)
    }

    async fn delete_prefix(&self, batch: &BatchId, fence: &Fence) -> Result<(), StoreError> {
        let BatchId { start, end, .. } = *batch;
        // Whoever else changes the document is seen at the next round; each round that changes it gets on by a slice.
        let mut refused = 0;
        while refused < ATTEMPTS {
            let log = self.log_document(&["version", "fences", "batches", "border", "restored"]).await?;
            guard(&log, fence)?;
            if !listed(&log)?.iter().any(|listed| listed.id == *batch) {
                return Err(StoreError::refused(format!("no batch {start}–{end} is recorded")));
            }
            let border = number(&log, "border")?;
            if start > border + 1 {
                return Err(StoreError::refused(format!("batch {start} does not begin behind border {border}")));
            }
            if end <= border {
                // What an earlier call left behind.
                if self.any_line(start, end).await? {
                    self.make_stubs(start, end, &restored(&log)?).await?;
                }
                return Ok(());
            }
            let last = end.min(border + SLICE);
            self.keep_counts(border + 1, last).await?;
            if self.change_log(&log, Some(fence), doc! { "$set": { "border": integer(last) } }).await? {
                self.make_stubs(border + 1, last, &[]).await?;
            } else {
                refused += 1;
            }
        }
        Err(contended())
    }

    async fn restore(&self, range: RangeInclusive<u64>, until: Timestamp, lines: Vec<Stored>) -> Result<(), StoreError> {
        if let Some(stray) = lines.iter().find(|stored| !range.contains(&stored.seq)) {
            return Err(StoreError::refused(format!("seq {} lies outside {range:?}", stray.seq)));
        }
        self.note_restored(&range, until).await?;
        self.streams.forget();
        let (mut updates, mut bytes) = (Vec::new(), 0);
        for Stored { seq, line } in lines {
            // Where the event is there already this becomes an insert of the same `_id`, which is refused.
            let gone = doc! { "_id": integer(seq), "line": { "$exists": false } };
            let mut values = copy(&SearchRow::derive(seq, &line));
            bytes += line.len() * 2;
            values.insert("line", blob(line));
            updates.push(doc! { "q": gone, "u": { "$set": values }, "upsert": true });
            if bytes > COMMAND_BYTES || updates.len() == 1_000 {
                self.update_each("event", std::mem::take(&mut updates)).await?;
                bytes = 0;
            }
        }
        self.update_each("event", updates).await
    }

    async fn expire_restored(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..ATTEMPTS {
            let log = self.log_document(&["version", "restored"]).await?;
            let (over, kept): (Vec<_>, Vec<_>) = restored(&log)?.into_iter().partition(|restored| restored.until <= now);
            if over.is_empty() {
                return Ok(removed);
            }
            for restored in &over {
                removed += self.make_stubs(*restored.range.start(), *restored.range.end(), &kept).await?;
            }
            let kept: Vec<Document> = kept.iter().map(encode).collect();
            self.change_log(&log, None, doc! { "$set": { "restored": kept } }).await?;
        }
        Err(contended())
    }

    async fn withhold(&self, seq: Seq, part: PartName) -> Result<Option<Hash>, StoreError> {
        let place = doc! { "_id": integer(seq.get()) };
        for _ in 0..ATTEMPTS {
            let found = self.first(self.events()?.find(place.clone())).await?;
            let Some(found) = found else { return Ok(None) };
            let Some(Stored { line: old, .. }) = stored(&found)? else { return Ok(None) };
            let line = match withhold(&old, part) {
                Ok(line) => line,
                Err(WithholdError::NoSuchPart) => return Ok(None),
                Err(WithholdError::NotAnEvent) => return Err(StoreError::corrupt(format!("the line of seq {seq} is no event"))),
            };
            let digest = withheld_digest(&line, part)?;
            if line == old {
                return Ok(Some(digest));
            }
            let mut as_seen = place.clone();
            as_seen.insert("line", blob(old));
            if self.update("event", as_seen, replacement(seq.get(), line)).await? {
                self.streams.forget();
                return Ok(Some(digest));
            }
        }
        Err(StoreError::Unavailable { what: "others change the same event", source: None })
    }
}

/// The change that gives an event another line, and the search copy that belongs to it.
pub(super) fn replacement(seq: u64, line: Vec<u8>) -> Document {
    let mut values = copy(&SearchRow::derive(seq, &line));
    let gone: Document =
        copied_members().filter(|name| !values.contains_key(name)).map(|name| (name.to_owned(), Bson::Boolean(true))).collect();
    values.insert("line", blob(line));
    if gone.is_empty() {
        doc! { "$set": values }
    } else {
        doc! { "$set": values, "$unset": gone }
    }
}

fn encode(restored: &Restored) -> Document {
    let (first, last) = restored.range.clone().into_inner();
    doc! { "first": integer(first), "last": integer(last), "until": date(restored.until) }
}

/// The restored ranges, in order.
fn restored(log: &RawDocument) -> Result<Vec<Restored>, StoreError> {
    let damaged = || StoreError::corrupt("the restored ranges in the document 'log'");
    let list = member(log, "restored").and_then(|list| list.as_array()).ok_or_else(damaged)?;
    let mut restored = Vec::new();
    for entry in list {
        let entry = entry.ok().and_then(|entry| entry.as_document()).ok_or_else(damaged)?;
        let range = number(entry, "first")?..=number(entry, "last")?;
        restored.push(Restored { range, until: time(entry, "until")? });
    }
    restored.sort_by_key(|restored| (*restored.range.start(), *restored.range.end()));
    Ok(restored)
}

impl MongoStore {
    /// Positions and times of recording of hot events that have one.
    async fn recorded(&self, first: u64, last: u64) -> Result<Vec<(u64, Timestamp)>, StoreError> {
        let events = self.events()?;
        let range = doc! { "_id": { "$gte": integer(first), "$lte": integer(last) } };
        let found = self.all(events.find(range).sort(doc! { "_id": 1 }).projection(doc! { "recorded_at": 1 })).await?;
        let recorded = |event: &RawDocument| Some((number(event, "_id").ok()?, optional_time(event, "recorded_at")?));
        Ok(found.iter().filter_map(|event| recorded(event)).collect())
    }

    /// Makes stubs of the events of a range, except in the ranges that are to be kept; how many.
    async fn make_stubs(&self, first: u64, last: u64, kept: &[Restored]) -> Result<u64, StoreError> {
        let between = |first: u64, last: u64| doc! { "_id": { "$gte": integer(first), "$lte": integer(last) } };
        let kept = kept.iter().map(|kept| kept.range.clone().into_inner());
        let kept: Vec<Document> = kept.map(|(first, last)| between(first, last)).collect();
        let names = copied_members().chain(["line", "recorded_at"]);
        let gone: Document = names.map(|name| (name.to_owned(), Bson::Boolean(true))).collect();
        let events = self.events()?;
        self.streams.forget();
        let (mut next, mut removed) = (first, 0);
        while next <= last {
            let end = last.min(next + SLICE - 1);
            let mut slice = between(next, end);
            slice.insert("line", doc! { "$exists": true });
            if !kept.is_empty() {
                slice.insert("$nor", kept.clone());
            }
            let change = doc! { "$unset": gone.clone() };
            removed += self.ask(async { events.update_many(slice, change).await }).await?.modified_count;
            next = end + 1;
        }
        Ok(removed)
    }

    /// Whether an event of the range still has its line.
    async fn any_line(&self, first: u64, last: u64) -> Result<bool, StoreError> {
        let range = doc! { "_id": { "$gte": integer(first), "$lte": integer(last) }, "line": { "$exists": true } };
        Ok(self.first(self.events()?.find(range).projection(doc! { "_id": 1 })).await?.is_some())
    }

    /// Writes down the hourly counts of events that are about to leave; counted once the border is behind them.
    async fn keep_counts(&self, first: u64, last: u64) -> Result<(), StoreError> {
        let events = self.events()?;
        let range = doc! { "_id": { "$gte": integer(first), "$lte": integer(last) } };
        let members = doc! { "at": 1, "tenant_slug": 1, "source": 1, "action": 1, "outcome": 1 };
        let mut counts: BTreeMap<(u64, [Option<String>; 4]), i64> = BTreeMap::new();
        for event in self.all(events.find(range).projection(members)).await? {
            let row = row(&event, number(&event, "_id")?);
            let values = CountBy::COLUMNS.map(|column| row.get(column).map(str::to_owned));
            *counts.entry((row.at.unix_ms() / HOUR_MS, values)).or_default() += 1;
        }
        let rows: Vec<Document> = counts
            .into_iter()
            .map(|((hour, values), n)| {
                let mut row = doc! { "hour": integer(hour) };
                row.extend(CountBy::COLUMNS.iter().zip(values).map(|(column, value)| (column.as_str().to_owned(), value.into())));
                row.insert("n", n);
                row
            })
            .collect();
        let counts = self.collection("departed")?.clone_with_type::<Document>();
        let place = doc! { "_id": integer(first) };
        let slice = doc! { "_id": integer(first), "last": integer(last), "rows": rows };
        self.ask(async { counts.replace_one(place, slice).upsert(true).await }).await?;
        Ok(())
    }

    /// Writes down that a range is restored until then.
    async fn note_restored(&self, range: &RangeInclusive<u64>, until: Timestamp) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let log = self.log_document(&["version", "border", "restored"]).await?;
            let border = number(&log, "border")?;
            if range.is_empty() || *range.start() == 0 || *range.end() > border {
                return Err(StoreError::refused(format!("{range:?} is not archived: the border is {border}")));
            }
            let mut restored = restored(&log)?;
            restored.retain(|restored| restored.range != *range);
            restored.push(Restored { range: range.clone(), until });
            let restored: Vec<Document> = restored.iter().map(encode).collect();
            if self.change_log(&log, None, doc! { "$set": { "restored": restored } }).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Many updates in one command, in which those that meet a key that is there already do nothing.
    pub(super) async fn update_each(&self, collection: &str, updates: Vec<Document>) -> Result<(), StoreError> {
        if updates.is_empty() {
            return Ok(());
        }
        let database = self.primary()?;
        let concern = self.concern.clone();
        let command = doc! { "update": collection, "updates": updates, "ordered": false, "writeConcern": concern };
        let answer = self.ask(async { database.run_command(command).await }).await?;
        let faults = answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let other =
            faults.iter().filter_map(Bson::as_document).find(|fault| !fault.get_i32("code").is_ok_and(|code| code == 11_000));
        if other.is_some() || answer.contains_key("writeConcernError") {
            let what = "MongoDB did a part of a change only; the same again will do the rest";
            let source = other.map_or_else(|| "not acknowledged by a majority".to_owned(), |fault| format!("{fault:?}"));
            return Err(StoreError::Unavailable { what, source: Some(source.into()) });
        }
        Ok(())
    }
}
