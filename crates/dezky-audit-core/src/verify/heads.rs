//! Tree heads that a known log key signed, waiting for the walk to reach their size.

use std::collections::BTreeMap;

use super::finding::{At, Finding, Findings, Kind};
use super::report::HeadSource;
use crate::hash::Hash;

/// A signed tree head whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHead {
    pub size: u64,
    pub root: Hash,
    /// What a record beside the note claims the last event's hash to be.
    pub head_hash: Option<Hash>,
    pub source: HeadSource,
    /// Whose keys say so, as in the report's `trust`.
    pub trust: Vec<String>,
    /// The latest time of a known cosignature, in seconds since 1970.
    pub cosigned_at: Option<u64>,
    /// The batch whose manifest it is.
    pub batch_start: Option<u64>,
    /// Where it was read.
    pub place: Option<String>,
}

/// The heads of one verification.
#[derive(Debug, Default)]
pub(super) struct Heads {
    waiting: BTreeMap<u64, Vec<TrustedHead>>,
    /// The least size that waits, so that a step costs one comparison.
    pub(super) next: Option<u64>,
    pub(super) newest: Option<(u64, HeadSource)>,
    pub(super) newest_given: Option<u64>,
    newest_cosigned: Option<u64>,
    /// The largest size that matched, and what is known of it.
    pub(super) matched: Option<Matched>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Matched {
    pub(super) size: u64,
    pub(super) trust: Vec<String>,
    pub(super) cosigned_at: Option<u64>,
}

impl Heads {
    pub(super) fn add(&mut self, head: TrustedHead) {
        let better = self.newest.is_none_or(|(size, source)| (head.size, head.source) > (size, source));
        if better {
            self.newest = Some((head.size, head.source));
            self.newest_cosigned = head.cosigned_at;
        }
        if head.source != HeadSource::Archive {
            self.newest_given = self.newest_given.max(Some(head.size));
        }
        self.waiting.entry(head.size).or_default().push(head);
        self.next = self.waiting.keys().next().copied();
    }

    /// The walk stands at `size` with this root and this last event.
    pub(super) fn reached(&mut self, size: u64, root: Option<Hash>, head_hash: Option<Hash>, findings: &mut Findings) {
        while let Some(heads) = self.next.filter(|next| *next <= size).and_then(|next| self.waiting.remove(&next)) {
            self.next = self.waiting.keys().next().copied();
            let here = heads[0].size;
            let fork = heads.iter().any(|head| head.root != heads[0].root);
            if fork {
                report_fork(&heads, findings);
            }
            let Some(root) = root.filter(|_| here == size) else { continue };
            let matching: Vec<_> = heads.iter().filter(|head| head.root == root).collect();
            if matching.is_empty() {
                for head in &heads[..if fork { 1 } else { heads.len() }] {
                    findings.add(root_mismatch(head, root));
                }
                continue;
            }
            for head in &matching {
                if let (Some(claimed), Some(actual)) = (head.head_hash, head_hash)
                    && claimed != actual
                {
                    findings.add(head_mismatch(head, claimed, actual));
                }
            }
            let mut matched = Matched { size, ..Matched::default() };
            for head in matching {
                matched.cosigned_at = matched.cosigned_at.max(head.cosigned_at);
                for key in &head.trust {
                    if !matched.trust.contains(key) {
                        matched.trust.push(key.clone());
                    }
                }
            }
            self.matched = Some(matched);
        }
    }

    /// The heads that the walk never reached: the newest stands for all, but forks among them are forks all the same.
    pub(super) fn unreached(&mut self, findings: &mut Findings) -> Option<TrustedHead> {
        let waiting = std::mem::take(&mut self.waiting);
        for heads in waiting.values().filter(|heads| heads.iter().any(|head| head.root != heads[0].root)) {
            report_fork(heads, findings);
        }
        waiting.into_values().next_back().and_then(|heads| heads.into_iter().next())
    }

    /// The time that a witness vouches for, when the newest head carries one.
    pub(super) const fn newest_cosigned(&self) -> Option<u64> {
        self.newest_cosigned
    }
}

fn report_fork(heads: &[TrustedHead], findings: &mut Findings) {
    let first = &heads[0];
    if let Some(other) = heads.iter().find(|head| head.root != first.root) {
        let message = format!(
            "two checkpoints of size {} are signed by known keys and have different roots: the log was forked",
            first.size
        );
        let finding = Finding::new(Kind::CheckpointFork, At::HeadSeq(first.size), message)
            .comparing(first.root.to_base64(), other.root.to_base64());
        findings.add(placed(finding, other));
    }
}

fn root_mismatch(head: &TrustedHead, root: Hash) -> Finding {
    let (kind, at) = match head.batch_start {
        Some(start) => (Kind::ManifestRootMismatch, At::StartSeq(start)),
        None => (Kind::CheckpointRootMismatch, At::HeadSeq(head.size)),
    };
    let message =
        format!("the events up to {} do not have the root that was signed: events were rewritten, with their hashes", head.size);
    placed(Finding::new(kind, at, message).comparing(head.root.to_base64(), root.to_base64()), head)
}

fn head_mismatch(head: &TrustedHead, claimed: Hash, actual: Hash) -> Finding {
    let message = format!("the record beside the checkpoint of size {} names another last event than the log has", head.size);
    placed(Finding::new(Kind::CheckpointHeadMismatch, At::HeadSeq(head.size), message).comparing(claimed, actual), head)
}

fn placed(finding: Finding, head: &TrustedHead) -> Finding {
    match &head.place {
        Some(place) => finding.in_place(place.clone()),
        None => finding,
    }
}
