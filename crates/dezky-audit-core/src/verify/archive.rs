//! Verifying an archive: batch after batch, each manifest against the one before it, each object against its manifest,
//! and all events as one log (section 7).

use std::io::{self, Read};

use super::conclusion::Conclude;
use super::finding::{At, Finding, Kind};
use super::heads::TrustedHead;
use super::report::{HeadSource, Report};
use super::step::{Step, Stepper};
use super::trust::Trust;
use super::walk::{Start, Subject, Walk};
use crate::archive::{BatchReader, Manifest, ManifestError, Plan, PlannedBatch, ReadBatch};
use crate::hash::Hash;
use crate::ids::Seq;
use crate::merkle::Frontier;

/// An events object, read and checked line by line: made in parallel, taken in order.
#[derive(Debug)]
pub struct BatchSteps {
    pub steps: Vec<Step>,
    pub read: ReadBatch,
}

/// What a batch's events object turned out to be.
#[derive(Debug)]
pub enum BatchEvents {
    Missing,
    Read(BatchSteps),
}

impl BatchSteps {
    /// Reads an events object to its end.
    ///
    /// # Errors
    /// When `object` cannot be read.
    pub fn read(object: impl Read, stepper: &mut Stepper) -> io::Result<Self> {
        let mut steps = Vec::new();
        let mut rest = None;
        let read =
            BatchReader::read(object, |line| steps.push(stepper.step(line)), |line| rest = Some(Stepper::unterminated(line)))?;
        steps.extend(rest);
        Ok(Self { steps, read })
    }
}

/// The walk over an archive's batches.
#[derive(Debug)]
pub struct ArchiveWalk<'t> {
    trust: &'t Trust,
    walk: Walk,
    /// The batch before the next one, when it was read and nothing is missing between.
    previous: Option<Previous>,
    leftover: Vec<String>,
    started: bool,
    from: Option<Seq>,
}

#[derive(Debug)]
struct Previous {
    link: Hash,
    root: Hash,
}

impl<'t> ArchiveWalk<'t> {
    /// A walk over the batches of `plan`, all or `from` the one that starts there, to be given in order.
    pub fn new(trust: &'t Trust, plan: &Plan, from: Option<Seq>, max_findings: usize) -> Self {
        let mut walk = Walk::new(Subject::Log, trust.origin().cloned(), Start::Beginning, max_findings);
        walk.archive_end = Some(plan.end());
        for name in &plan.unexpected {
            let finding = Finding::new(Kind::ArchiveObjectUnexpected, At::Nothing, "no manifest accounts for this object");
            walk.add_finding(finding.in_place(name.clone()));
        }
        Self { trust, walk, previous: None, leftover: plan.leftover.clone(), started: false, from }
    }

    /// The next batch.
    pub fn batch(&mut self, batch: &PlannedBatch, manifest: Result<Manifest, ManifestError>, events: BatchEvents) {
        let (start, end) = (batch.manifest.start.get(), batch.manifest.end.get());
        let place = batch.manifest.to_string();
        let manifest = match manifest {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                let finding =
                    Finding::new(Kind::MalformedManifest, At::StartSeq(start), format!("the manifest is malformed: {error}"));
                self.walk.add_finding(finding.in_place(place.clone()));
                None
            }
        };
        let head = manifest.as_ref().and_then(|manifest| self.check_trust(manifest, batch, &place));
        let signed = head.is_some();
        if !self.check_position(start, end, manifest.as_ref().filter(|_| signed), &place) {
            return;
        }
        if let Some(manifest) = &manifest {
            self.check_link(manifest, &place);
        }
        if let Some(head) = head {
            self.walk.add_head(head);
        }
        let object = batch.events.to_string();
        match events {
            BatchEvents::Missing => {
                let finding = Finding::new(
                    Kind::ArchiveObjectMissing,
                    At::StartSeq(start),
                    format!("the events {start} to {end} are not there"),
                );
                self.walk.add_finding(finding.in_place(object));
                self.walk.skip_to(end, manifest.as_ref().filter(|_| signed).map(|manifest| manifest.head_hash));
            }
            BatchEvents::Read(read) => {
                self.check_events(manifest.as_ref(), batch, &read, &object);
                self.check_root(manifest.as_ref().filter(|_| !signed), &object);
            }
        }
        self.previous = manifest.map(|manifest| Previous { link: manifest.link(), root: manifest.root });
    }

    /// Events that follow the archive.
    pub fn rest(&mut self) -> &mut Walk {
        &mut self.walk
    }

    pub const fn walk(&self) -> &Walk {
        &self.walk
    }

    /// Ends the walk and answers; `conclude.ends_early` unless the rest of the log was walked too.
    pub fn finish(self, conclude: Conclude) -> Report {
        let mut report = self.walk.finish(conclude);
        report.leftover_objects = self.leftover;
        report
    }

    /// The head that the manifest states, when it is this log's and a known log key signed it.
    fn check_trust(&mut self, manifest: &Manifest, batch: &PlannedBatch, place: &str) -> Option<TrustedHead> {
        let start = batch.manifest.start.get();
        let mut own = true;
        if let Some(origin) = self.trust.origin().filter(|origin| **origin != manifest.origin) {
            let finding =
                Finding::new(Kind::OriginMismatch, At::StartSeq(start), format!("the manifest is not of the log {origin}"));
            self.walk.add_finding(finding.comparing(origin, &manifest.origin).in_place(place));
            own = false;
        }
        if manifest.name() != batch.manifest || manifest.events.key != batch.events {
            let finding = Finding::new(
                Kind::ManifestRangeMismatch,
                At::StartSeq(start),
                "the manifest speaks of another batch than its name",
            );
            self.walk.add_finding(finding.comparing(batch.manifest, manifest.name()).in_place(place));
            own = false;
        }
        let verdict = manifest.check_signatures(self.trust.keys());
        if !verdict.failed.is_empty() {
            let keys: Vec<_> = verdict.failed.iter().map(ToString::to_string).collect();
            let message = format!("the signature of {} does not hold: the manifest was changed or forged", keys.join(", "));
            self.walk.add_finding(Finding::new(Kind::ManifestSignatureMismatch, At::StartSeq(start), message).in_place(place));
            own = false;
        }
        own &= verdict.signed.iter().any(|key| key.name.as_str() == manifest.origin.as_str());
        own.then(|| TrustedHead {
            size: manifest.end.get(),
            root: manifest.root,
            head_hash: None,
            source: HeadSource::Archive,
            trust: verdict.signed.iter().map(ToString::to_string).collect(),
            cosigned_at: None,
            batch_start: Some(start),
            place: Some(place.to_owned()),
        })
    }

    /// Whether the batch begins where the walk stands, or can be reached from there.
    fn check_position(&mut self, start: u64, end: u64, signed: Option<&Manifest>, place: &str) -> bool {
        let size = self.walk.size();
        let first = !std::mem::replace(&mut self.started, true);
        if first && self.from.is_some_and(|from| from.get() == start) && start > 1 {
            let tree = signed.and_then(|manifest| Frontier::from_peaks(start - 1, manifest.prev_peaks.clone()).ok());
            match signed {
                Some(manifest) => self.walk.begin_after(start - 1, Some(manifest.prev_hash), tree),
                None => self.walk.begin_after(start - 1, None, None),
            }
            return true;
        }
        if start > size + 1 {
            let message = format!("events {} to {} are in no batch", size + 1, start - 1);
            let finding = Finding::new(Kind::ArchiveGap, At::StartSeq(start), message);
            self.walk.add_finding(finding.comparing(size + 1, start).in_place(place));
            self.walk.skip_to(start - 1, signed.map(|manifest| manifest.prev_hash));
            self.previous = None;
        } else if start <= size {
            let message = format!("the batch {start} to {end} overlaps the one before it, which ends at {size}");
            let finding = Finding::new(Kind::ManifestRangeMismatch, At::StartSeq(start), message);
            self.walk.add_finding(finding.comparing(size + 1, start).in_place(place));
            return false;
        }
        true
    }

    /// Whether the manifest follows what came before it.
    fn check_link(&mut self, manifest: &Manifest, place: &str) {
        let start = manifest.start.get();
        let mut findings = Vec::new();
        let mut compare = |kind, what: &str, expected: String, actual: String| {
            if expected != actual {
                let finding =
                    Finding::new(kind, At::StartSeq(start), format!("the manifest's {what} is not what comes before it"));
                findings.push(finding.comparing(expected, actual).in_place(place));
            }
        };
        let shown = |link: Option<Hash>| link.map_or_else(|| "none".to_owned(), |link| link.to_string());
        if start == 1 {
            compare(Kind::ManifestLinkMismatch, "prevBatchSha256", "none".to_owned(), shown(manifest.prev_batch));
        } else if let Some(previous) = &self.previous {
            compare(Kind::ManifestLinkMismatch, "prevBatchSha256", shown(Some(previous.link)), shown(manifest.prev_batch));
            compare(Kind::ManifestRootMismatch, "prevRootHash", previous.root.to_base64(), manifest.prev_root.to_base64());
        }
        if let Some(head_hash) = self.walk.link() {
            compare(Kind::ManifestLinkMismatch, "prevHash", head_hash.to_string(), manifest.prev_hash.to_string());
        }
        match Frontier::from_peaks(start - 1, manifest.prev_peaks.clone()) {
            Ok(peaks) => {
                compare(Kind::ManifestRootMismatch, "prevPeaks", manifest.prev_root.to_base64(), peaks.root().to_base64());
            }
            Err(error) => {
                compare(Kind::ManifestRootMismatch, "prevPeaks", (start - 1).count_ones().to_string(), error.to_string());
            }
        }
        if let Some(tree) = self.walk.tree().filter(|tree| self.previous.is_none() && tree.size() == start - 1) {
            compare(Kind::ManifestRootMismatch, "prevRootHash", tree.root().to_base64(), manifest.prev_root.to_base64());
        }
        findings.into_iter().for_each(|finding| self.walk.add_finding(finding));
    }

    /// Compares an unsigned manifest's root with the events; a signed one is a head that the walk meets.
    fn check_root(&mut self, unsigned: Option<&Manifest>, object: &str) {
        let Some((manifest, tree)) = unsigned.zip(self.walk.tree()) else { return };
        if tree.size() == manifest.end.get() && tree.root() != manifest.root {
            let message = "the manifest's rootHash is not that of the events up to its end";
            let finding = Finding::new(Kind::ManifestRootMismatch, At::StartSeq(manifest.start.get()), message);
            let finding = finding.comparing(manifest.root.to_base64(), tree.root().to_base64());
            self.walk.add_finding(finding.in_place(object));
        }
    }

    fn check_events(&mut self, manifest: Option<&Manifest>, batch: &PlannedBatch, events: &BatchSteps, object: &str) {
        let start = batch.manifest.start.get();
        if let Some(finding) = digest_finding(manifest, start, &events.read) {
            self.walk.add_finding(finding.in_place(object));
        }
        self.walk.enter(object);
        for step in &events.steps {
            self.walk.push(step);
        }
        if let Some(manifest) = manifest {
            for finding in range_findings(manifest, &events.steps) {
                self.walk.add_finding(finding.in_place(object));
            }
        }
        let end = batch.manifest.end.get();
        if self.walk.size() < end {
            let (from, broken) = (self.walk.size() + 1, events.read.fault.is_some());
            let message = format!("the object ends before its batch does: events {from} to {end} are missing");
            let kind = if broken { Kind::ArchiveDigestMismatch } else { Kind::SeqGap };
            self.walk.add_finding(Finding::new(kind, At::StartSeq(start), message).in_place(object));
            self.walk.skip_to(end, None);
        }
    }
}

fn digest_finding(manifest: Option<&Manifest>, start: u64, read: &ReadBatch) -> Option<Finding> {
    let finding = |message: String| Finding::new(Kind::ArchiveDigestMismatch, At::StartSeq(start), message);
    if let Some(manifest) = manifest {
        let events = &manifest.events;
        if read.gzip_sha256 != events.gzip_sha256 || read.gzip_bytes != events.gzip_bytes {
            let reason = read.fault.map_or_else(String::new, |fault| format!(" ({fault})"));
            let message = format!("the object is not the one that the manifest was made for{reason}");
            let shown = |hash: Hash, bytes: u64| format!("{hash}, {bytes} bytes");
            return Some(
                finding(message)
                    .comparing(shown(events.gzip_sha256, events.gzip_bytes), shown(read.gzip_sha256, read.gzip_bytes)),
            );
        }
        if read.sha256 != events.sha256 || read.bytes != events.bytes {
            let message = "what the object unpacks to is not what the manifest says".to_owned();
            return Some(finding(message).comparing(events.sha256, read.sha256));
        }
    }
    read.fault.map(|fault| finding(format!("the object is not one gzip member as the format has it: {fault}")))
}

/// Compares what the manifest says about its events with the events.
fn range_findings(manifest: &Manifest, steps: &[Step]) -> Vec<Finding> {
    let start = manifest.start.get();
    let mut findings = Vec::new();
    let mut compare = |kind, what: &str, expected: String, actual: String| {
        if expected != actual {
            let message = format!("the manifest's {what} is not that of its events");
            findings.push(Finding::new(kind, At::StartSeq(start), message).comparing(expected, actual));
        }
    };
    compare(Kind::ManifestRangeMismatch, "eventCount", manifest.event_count().to_string(), steps.len().to_string());
    let events = || steps.iter().filter_map(|step| if let Step::Event(event) = step { Some(event) } else { None });
    // Times can be compared only where every line could be read.
    if events().count() == steps.len() {
        for (what, expected, actual) in [
            ("minAt", manifest.min_at, events().map(|event| event.at).min()),
            ("maxAt", manifest.max_at, events().map(|event| event.at).max()),
            ("minRecordedAt", manifest.min_recorded_at, events().map(|event| event.recorded_at).min()),
            ("maxRecordedAt", manifest.max_recorded_at, events().map(|event| event.recorded_at).max()),
        ] {
            let actual = actual.map_or_else(|| "none".to_owned(), |time| time.to_string());
            compare(Kind::ManifestRangeMismatch, what, expected.to_string(), actual);
        }
    }
    if let Some(Step::Event(last)) = steps.last() {
        compare(Kind::ManifestLinkMismatch, "headHash", manifest.head_hash.to_string(), last.stored_hash.to_string());
    }
    findings
}
