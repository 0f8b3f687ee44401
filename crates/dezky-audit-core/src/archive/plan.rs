//! What an archive's listing says before anything is read: which batches there are, and what should not be there.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{ObjectKind, ObjectName};
use crate::ids::Seq;

/// A batch by its newest manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBatch {
    pub manifest: ObjectName,
    /// The events object of the same revision, which may not be there.
    pub events: ObjectName,
    pub events_present: bool,
}

/// An archive's objects, sorted out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// By start; the highest revision of each.
    pub batches: Vec<PlannedBatch>,
    /// Objects that no manifest accounts for: `archive-object-unexpected`.
    pub unexpected: Vec<String>,
    /// Events objects whose manifest was never written, as a crash leaves them: no finding.
    pub leftover: Vec<String>,
}

impl Plan {
    /// Sorts out the names under `events` and `manifests`, relative to the archive's prefix.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut plan = Self::default();
        let (mut manifests, mut events) = (BTreeMap::<(Seq, Seq), u64>::new(), BTreeSet::new());
        let mut accounted = BTreeSet::new();
        for name in names {
            match name.parse::<ObjectName>() {
                Ok(object) if object.kind == ObjectKind::Manifest => {
                    let newest = manifests.entry((object.start, object.end)).or_default();
                    *newest = object.revision.max(*newest);
                    accounted.insert((object.start, object.end, object.revision));
                }
                Ok(object) => {
                    events.insert(object);
                }
                Err(_) => plan.unexpected.push(name.to_owned()),
            }
        }
        for ((start, end), revision) in manifests {
            let manifest = ObjectName { kind: ObjectKind::Manifest, start, end, revision };
            let object = ObjectName { kind: ObjectKind::Events, ..manifest };
            plan.batches.push(PlannedBatch { manifest, events: object, events_present: events.contains(&object) });
        }
        let unaccounted = events.iter().filter(|object| !accounted.contains(&(object.start, object.end, object.revision)));
        plan.leftover.extend(unaccounted.map(ToString::to_string));
        plan.unexpected.sort();
        plan
    }

    /// The last event of the last batch; 0 for an empty archive.
    pub fn end(&self) -> u64 {
        self.batches.iter().map(|batch| batch.manifest.end.get()).max().unwrap_or(0)
    }
}
