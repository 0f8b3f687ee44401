//! The maps of the sources over their samples, the contracts' quirks, and secrets of every kind.

mod generic;
mod properties;
mod quirks;
mod samples;
mod secrets;

use std::path::{Path, PathBuf};

use dezky_audit_core::event::{Prepared, Salt};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::source::stalwart::AllowList;
use dezky_audit_core::source::{Mapped, MappedEvent, SourceKey, authentik, ocis, stalwart};

const KEY: SourceKey = SourceKey::new([7; 32]);

/// `shared/sources/samples`; fails loudly when it is not there.
fn samples() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/sources/samples");
    assert!(path.is_dir(), "{} is missing: the samples of the sources belong beside the repository", path.display());
    path
}

#[expect(clippy::disallowed_methods, reason = "core does no I/O, its tests read their samples")]
fn sample(name: &str) -> Vec<u8> {
    let path = samples().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn from_authentik(raw: &[u8]) -> Mapped {
    authentik::map_event(raw, &KEY)
}

fn from_stalwart(body: &[u8]) -> Vec<Mapped> {
    stalwart::map_batch(body, &KEY, &AllowList::default()).collect()
}

fn from_line(line: &[u8]) -> Vec<Mapped> {
    ocis::map_line(line, 1, 1_000, &KEY)
}

fn from_bus(message: &[u8]) -> Mapped {
    ocis::map_message(message, "main-queue:1:7", &KEY)
}

#[track_caller]
fn event(mapped: Mapped) -> MappedEvent {
    match mapped {
        Mapped::Event(event) => *event,
        Mapped::Skipped { raw_action } => panic!("{raw_action} was skipped"),
    }
}

fn data<'a>(event: &'a MappedEvent, path: &[&str]) -> Option<&'a Value> {
    let data: &Members = event.draft.metadata.as_ref()?;
    let (_, first) = data.iter().find(|(name, _)| name == path[0])?;
    path[1..].iter().try_fold(first, |value, name| value.member(name))
}

fn action(event: &MappedEvent) -> &str {
    event.draft.action.as_str()
}

/// The draft as one would post it, and what else was told; as JSON, for snapshots.
fn shown(mapped: &Mapped) -> serde_json::Value {
    match mapped {
        Mapped::Skipped { raw_action } => serde_json::json!({ "skipped": raw_action }),
        Mapped::Event(event) => {
            let draft: serde_json::Value = serde_json::from_slice(&event.draft.content()).unwrap();
            let hints = &event.hints;
            serde_json::json!({
                "kind": format!("{:?}", event.kind),
                "draft": draft,
                "hints": { "groups": hints.groups, "spaces": hints.spaces, "users": hints.users, "mails": hints.mails },
            })
        }
    }
}

/// Every event can be recorded.
#[track_caller]
fn assert_recordable(event: &MappedEvent) {
    Prepared::new(event.draft.clone(), || Salt::new([1; 16])).unwrap();
    assert!(event.draft.external_id.is_some() && event.draft.metadata.is_some());
    assert!(event.draft.tenant.is_none() && event.draft.partner.is_none());
    // What it says reads back: the names are its own, `_audit` is only ours.
    dezky_audit_core::event::Draft::from_json(&event.draft.content(), dezky_audit_core::event::Door::Internal).unwrap();
}
