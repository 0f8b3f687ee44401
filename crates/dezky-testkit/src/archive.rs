//! An archive on disk, of sample events.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use dezky_audit_core::archive::{BatchWriter, EventsObject, Manifest, ObjectKind, ObjectName};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;

use crate::log::ScratchLog;

/// Writes `events` sample events in batches of `batch` under `dir`, with a signed manifest each.
pub fn write(dir: &Path, log: &mut ScratchLog, events: u64, batch: u64) {
    fs::create_dir_all(dir.join("events")).unwrap();
    fs::create_dir_all(dir.join("manifests")).unwrap();
    let mut prev_batch = None;
    let end = log.tree.size() + events;
    while log.tree.size() < end {
        let count = batch.min(end - log.tree.size());
        prev_batch = Some(write_batch(dir, log, count, prev_batch));
    }
}

fn write_batch(dir: &Path, log: &mut ScratchLog, count: u64, prev_batch: Option<Hash>) -> Hash {
    let start = Seq::new(log.tree.size() + 1).unwrap();
    let key = ObjectName { kind: ObjectKind::Events, start, end: Seq::new(log.tree.size() + count).unwrap(), revision: 0 };
    let (prev_hash, prev_root, prev_peaks) = (log.head_hash, log.tree.root(), log.tree.peaks().to_vec());
    let mut writer = BatchWriter::new(BufWriter::new(File::create(dir.join(key.to_string())).unwrap())).unwrap();
    let (mut line, mut times) = (Vec::new(), Vec::new());
    for _ in 0..count {
        line.clear();
        times.push(log.sample(&mut line));
        writer.line(&line).unwrap();
    }
    let (_, written) = writer.finish().unwrap();
    let mut manifest = Manifest {
        origin: log.origin.clone(),
        created_at: Timestamp::MAX,
        revision: 0,
        start,
        end: key.end,
        min_at: times.iter().map(|(at, _)| *at).min().unwrap(),
        max_at: times.iter().map(|(at, _)| *at).max().unwrap(),
        min_recorded_at: times.iter().map(|(_, recorded)| *recorded).min().unwrap(),
        max_recorded_at: times.iter().map(|(_, recorded)| *recorded).max().unwrap(),
        prev_hash,
        head_hash: log.head_hash,
        prev_root,
        root: log.tree.root(),
        prev_peaks,
        prev_batch,
        events: EventsObject {
            key,
            bytes: written.bytes,
            sha256: written.sha256,
            gzip_bytes: written.gzip_bytes,
            gzip_sha256: written.gzip_sha256,
        },
        signatures: Vec::new(),
    };
    manifest.sign(&log.key);
    fs::write(dir.join(manifest.name().to_string()), manifest.to_file()).unwrap();
    manifest.link()
}
