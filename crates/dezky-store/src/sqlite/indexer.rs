//! The thread that lets the search copy follow the log.
//!
//! It reads new lines and makes rows and segments of them beside the writer, and hands them over in slices, so that an append
//! never waits for more than one. After each it waits a little: few large slices cost less than many small ones.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::append::{WriteSide, read_head, single};
use super::fault::Fault;
use super::index;
use super::lane::{self, Lane};
use super::segment::Segment;
use super::shelf::{self, merge, next_merger};
use super::tally;
use super::value::{bytes, integer, number};
use crate::error::StoreError;
use crate::projection::SearchRow;

/// The most events in one slice.
const SLICE: usize = 4_096;
/// The most bytes of lines read for one slice.
const SLICE_BYTES: usize = 8 << 20;
/// How long it takes to notice what another process appended.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long events gather between slices, unless there are enough for another.
const GATHERING: Duration = Duration::from_millis(250);

/// How the thread is woken and stopped.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<Signal>,
    rung: Condvar,
}

#[derive(Default)]
struct Signal {
    news: bool,
    stop: bool,
    /// Size of the log less what is copied, when the thread last looked.
    behind: u64,
}

impl Bell {
    /// Says that events were appended.
    pub(super) fn ring(&self) {
        let mut signal = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        signal.news = true;
        drop(signal);
        self.rung.notify_one();
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.rung.notify_one();
    }

    pub(super) fn behind(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).behind
    }

    /// Waits for news or the end of patience; `None` when it is time to stop.
    fn wait(&self, patience: Duration, for_news: bool) -> Option<()> {
        let signal = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |signal: &mut Signal| !(signal.stop || for_news && signal.news);
        let (mut signal, _) = self.rung.wait_timeout_while(signal, patience, idle).unwrap_or_else(PoisonError::into_inner);
        signal.news = false;
        if signal.stop { None } else { Some(()) }
    }

    /// Notes how far behind the copy is.
    fn note(&self, behind: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).behind = behind;
    }
}

/// New events of the log, ready for the copy.
pub(super) struct Slice {
    /// The copy must end here for the slice to fit.
    from: u64,
    up_to: u64,
    rows: Vec<SearchRow>,
    segment: Option<Segment>,
}

/// Starts the thread; it ends when the bell says so. What is returned tells [`lane::ended`] when it has let go of its connection.
pub(super) fn start(
    reader: Connection,
    writer: Arc<Lane<WriteSide>>,
    bell: Arc<Bell>,
) -> Result<oneshot::Receiver<()>, StoreError> {
    lane::spawn("audit-index", move || follow(&reader, &writer, &bell))
}

fn follow(reader: &Connection, writer: &Lane<WriteSide>, bell: &Bell) {
    let mut failing = false;
    loop {
        let slice = match next_slice(reader) {
            Ok(Some(slice)) => slice,
            idle => {
                match idle {
                    Err(fault) => report(&mut failing, &fault.into()),
                    Ok(_) => bell.note(0),
                }
                if bell.wait(PATIENCE, !failing).is_none() {
                    return;
                }
                continue;
            }
        };
        let done = writer.run_blocking(move |side| apply(side, &slice)).and_then(|behind| {
            bell.note(behind);
            // Merging can wait until the copy has caught up.
            if behind < SLICE as u64 { tidy(reader, writer).map(|()| GATHERING) } else { Ok(Duration::ZERO) }
        });
        let pause = match done {
            Ok(pause) => {
                failing = false;
                pause
            }
            Err(error) => {
                report(&mut failing, &error);
                PATIENCE
            }
        };
        if bell.wait(pause, false).is_none() {
            return;
        }
    }
}

/// A failure is told once, until it is over.
fn report(failing: &mut bool, error: &StoreError) {
    if !std::mem::replace(failing, true) {
        tracing::warn!(error = error as &dyn std::error::Error, "the search copy cannot follow the log");
    }
}

/// The events behind the end of the copy; `None` when it is complete.
pub(super) fn next_slice(connection: &Connection) -> Result<Option<Slice>, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let from = copied(&transaction)?;
    let size = read_head(&transaction)?.size;
    if from >= size {
        return Ok(None);
    }
    let mut statement =
        transaction.prepare_cached("SELECT seq, line FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3")?;
    let mut rows = statement.query((integer(from), integer(size), SLICE as i64))?;
    let (mut copies, mut read) = (Vec::with_capacity(SLICE), 0);
    while let Some(row) = rows.next()? {
        let line = bytes(row, 1)?;
        read += line.len();
        copies.push(SearchRow::derive(number(row, 0)?, &line));
        if read > SLICE_BYTES {
            break;
        }
    }
    // Where events are missing there is nothing to copy up to the end.
    let up_to = if copies.len() < SLICE && read <= SLICE_BYTES { size } else { copies.last().map_or(size, |row| row.seq) };
    let segment = Segment::build(&copies);
    Ok(Some(Slice { from, up_to, rows: copies, segment }))
}

/// Puts a slice into the copy, if it still fits; returns how many events are missing then.
pub(super) fn apply(side: &mut WriteSide, slice: &Slice) -> Result<u64, Fault> {
    side.write_lazily(|transaction| {
        let size = read_head(transaction)?.size;
        let end = copied(transaction)?;
        if end != slice.from {
            return Ok(size.saturating_sub(end));
        }
        let counted: i64 = single(transaction, "SELECT counted FROM copied WHERE id = 1", ())?.unwrap_or(0);
        index::put_rows(transaction, &slice.rows)?;
        if let Some(segment) = &slice.segment {
            shelf::put(transaction, segment)?;
        }
        tally::count(transaction, slice.rows.iter().filter(|row| integer(row.seq) > counted))?;
        transaction
            .prepare_cached("UPDATE copied SET up_to = ?1, counted = max(counted, ?1) WHERE id = 1")?
            .execute([integer(slice.up_to)])?;
        Ok(size - slice.up_to)
    })
}

/// Merges segments until all is well.
fn tidy(reader: &Connection, writer: &Lane<WriteSide>) -> Result<(), StoreError> {
    while let Some(merger) = next_merger(reader)? {
        writer.run_blocking(move |side| side.write_lazily(|transaction| merge(transaction, &merger)))?;
    }
    Ok(())
}

/// The position that the copy reaches to.
pub(super) fn copied(connection: &Connection) -> Result<u64, Fault> {
    let up_to: Option<i64> = single(connection, "SELECT up_to FROM copied WHERE id = 1", ())?;
    Ok(up_to.and_then(|up_to| u64::try_from(up_to).ok()).unwrap_or(0))
}
