use std::io::{self, Read};

use dezky_audit_core::archive::{BatchReader, BatchWriter, Manifest, ObjectName, Plan, ReadBatch};
use dezky_audit_core::note::SigningKey;

use super::keys::{self, ORIGIN};
use super::model;

/// A manifest that reads is written back to the byte, and its signatures can be checked.
pub fn manifest(file: &[u8]) {
    let mut manifest = match Manifest::parse(file) {
        Ok(manifest) => manifest,
        Err(error) => return assert!(error.pointer.is_empty() || error.pointer.starts_with('/')),
    };
    assert_eq!(manifest.to_file(), file);
    assert!(model::canonical_value(file.strip_suffix(b"\n").unwrap()).is_some());
    assert_eq!(manifest.event_count(), manifest.end.get() - manifest.start.get() + 1);
    let before = manifest.check_signatures(&keys::ring());
    assert!(before.signed.len() + before.failed.len() <= manifest.signatures.len());

    // A signature more changes neither what is signed nor the link to the next batch.
    let (signed_bytes, link) = (manifest.signed_bytes(), manifest.link());
    let key = SigningKey::ed25519(ORIGIN.parse().unwrap(), &[7; 32]);
    manifest.sign(&key);
    assert_eq!((manifest.signed_bytes(), manifest.link()), (signed_bytes, link));
    let mut ring = keys::ring();
    ring.add(key.verifying_key().clone()).unwrap();
    let after = manifest.check_signatures(&ring);
    assert!(after.signed.contains(&key.verifying_key().identity()));
    assert_eq!(after.failed.len(), before.failed.len());
}

/// An events object is one plain gzip member exactly when another reader says so; how it is cut into reads changes nothing.
pub fn batch(object: &[u8]) {
    let (read, lines) = read_batch(object);
    let (slowly, same_lines) = read_batch(OneByOne(object));
    assert_eq!(read, slowly);
    assert!(lines == same_lines, "the lines depend on how they were read");
    assert_eq!(read.gzip_bytes, object.len() as u64);

    let mut rest = object;
    let mut unpacked = Vec::new();
    let plain_header = object.starts_with(&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0]);
    let other = flate2::bufread::GzDecoder::new(&mut rest).take(MAX_UNPACKED).read_to_end(&mut unpacked);
    if unpacked.len() as u64 == MAX_UNPACKED {
        return;
    }
    assert_eq!(read.fault.is_none(), plain_header && other.is_ok() && rest.is_empty(), "{:?}", read.fault);
    if read.fault.is_none() {
        assert_eq!(read.bytes, unpacked.len() as u64);
        assert_eq!(read.sha256, dezky_audit_core::hash::Hash::of(&unpacked));
        let expected: Vec<_> = unpacked.split_inclusive(|byte| *byte == b'\n').map(cut).collect();
        assert!(lines == expected, "other lines than were packed");
    }

    // The bytes as one line, packed and read again.
    if !object.contains(&b'\n') {
        let mut writer = BatchWriter::new(Vec::new()).unwrap();
        writer.line(object).unwrap();
        let (packed, written) = writer.finish().unwrap();
        let (read, lines) = read_batch(packed.as_slice());
        assert_eq!(read.fault, None);
        assert_eq!((read.bytes, read.sha256, read.gzip_sha256), (written.bytes, written.sha256, written.gzip_sha256));
        assert!(lines == [cut(&[object, b"\n"].concat())]);
    }
}

/// An object's name is read from exactly what it is written as, and a listing of anything can be sorted out.
pub fn object_name(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut known = 0;
    for name in text.lines() {
        if let Ok(object) = name.parse::<ObjectName>() {
            assert_eq!(object.to_string(), name);
            assert!(object.start <= object.end);
            known += 1;
        }
    }
    let plan = Plan::new(text.lines());
    assert_eq!(plan.unexpected.len(), text.lines().count() - known);
    assert!(plan.batches.len() + plan.leftover.len() <= known);
    assert!(plan.batches.is_sorted_by_key(|batch| batch.manifest.start));
    assert!(plan.batches.iter().all(|batch| batch.manifest.end.get() <= plan.end()));
}

/// More than this is not unpacked here: the real limit would make every bomb a slow input.
const MAX_UNPACKED: u64 = 16 << 20;
/// Of a line that never ends the reader keeps this much; no such line is an event.
const MAX_LINE: usize = 2 << 20;

/// The lines, each marked with whether a line feed ended it.
fn read_batch(object: impl Read) -> (ReadBatch, Vec<(Vec<u8>, bool)>) {
    let mut lines: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut rest = None;
    let kept = |line: &[u8]| line[..line.len().min(MAX_LINE)].to_vec();
    let read = BatchReader::read(object, |line| lines.push((kept(line), true)), |line| rest = Some((kept(line), false))).unwrap();
    lines.extend(rest);
    (read, lines)
}

fn cut(line: &[u8]) -> (Vec<u8>, bool) {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    (text[..text.len().min(MAX_LINE)].to_vec(), line.ends_with(b"\n"))
}

struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
