//! A message of the event bus (contracts, section 3.5). It carries live credentials, so that only the payload of listed types
//! is ever looked into; of any other type the envelope is kept, and the payload's size and MAC.

use super::super::compose::{Composer, at, id_at, text_at, unreadable};
use super::super::fingerprint::SourceKey;
use super::super::read::read_lenient;
use super::super::redact::{Rule, TableLine, redact};
use super::super::{Kind, Mapped};
use super::{SOURCE, hint_space, hint_users};
use crate::json::{Members, Value};

/// Credentials in payloads of listed types, beside what every source has.
const SECRETS: &[TableLine] =
    &[(&["Token"], Rule::Always), (&["InviteLink"], Rule::Always), (&["URL"], Rule::Always), (&["Password"], Rule::Always)];

/// The types that are looked into, sorted, and their verbs; without a verb it is told from the payload.
const TYPES: [(&str, &str); 47] = [
    ("BackchannelLogout", "backchannel_logout"),
    ("ContainerCreated", "container_create"),
    ("FileLocked", "file_locked"),
    ("FileTouched", "file_touched"),
    ("FileUnlocked", "file_unlocked"),
    ("FileUploaded", "file_create"),
    ("FileVersionRestored", "file_version_restore"),
    ("GroupCreated", "group_created"),
    ("GroupDeleted", "group_deleted"),
    ("GroupFeatureChanged", "group_feature_changed"),
    ("GroupMemberAdded", "group_member_added"),
    ("GroupMemberRemoved", "group_member_removed"),
    ("ItemMoved", "file_rename"),
    ("ItemPurged", "file_trash_delete"),
    ("ItemRestored", "file_trash_restore"),
    ("ItemTrashed", "file_delete"),
    ("LinkAccessFailed", "public_link_access_failed"),
    ("LinkCreated", "file_shared"),
    ("LinkRemoved", "file_unshared"),
    ("LinkUpdated", ""),
    ("OCMCoreShareCreated", "ocm_share_created"),
    ("OCMCoreShareDelete", "ocm_share_removed"),
    ("PersonalDataExtracted", "personal_data_extracted"),
    ("ReceivedShareUpdated", ""),
    ("ScienceMeshInviteTokenGenerated", "science_mesh_invite_token_generated"),
    ("ShareCreated", "file_shared"),
    ("ShareExpired", "share_expired"),
    ("ShareRemoved", "file_unshared"),
    ("ShareUpdated", ""),
    ("SpaceCreated", "space_created"),
    ("SpaceDeleted", "space_deleted"),
    ("SpaceDisabled", "space_disabled"),
    ("SpaceEnabled", "space_enabled"),
    ("SpaceMembershipExpired", "space_membership_expired"),
    ("SpaceRenamed", "space_renamed"),
    ("SpaceShareUpdated", "space_share_updated"),
    ("SpaceShared", "space_shared"),
    ("SpaceUnshared", "space_unshared"),
    ("SpaceUpdated", "space_updated"),
    ("TagsAdded", "file_tags_add"),
    ("TagsRemoved", "file_tags_remove"),
    ("UserCreated", "user_created"),
    ("UserDeleted", "user_deleted"),
    ("UserFeatureChanged", "user_feature_changed"),
    ("UserSignedIn", "user_signed_in"),
    ("UserSoftDeleted", "user_soft_deleted"),
    ("UserUpdated", "user_updated"),
];
/// Reads and the bus's own housekeeping, sorted: not even their envelope is kept.
const NOISE: [&str; 17] = [
    "BytesReceived",
    "CleanUpload",
    "FileDownloaded",
    "LinkAccessed",
    "PostprocessingFinished",
    "PostprocessingRetry",
    "PostprocessingStepFinished",
    "RestartPostprocessing",
    "ResumePostprocessing",
    "SendEmailsEvent",
    "SendSSE",
    "StartPostprocessingStep",
    "TrashbinPurged",
    "UploadReady",
    "UploadSpaceProgress",
    "VirusscanFinished",
    "VirusscanStarted",
];

/// Maps one message. `place` tells where it stood in its stream, and is the `externalId` of what has no id of its own.
pub fn map_message(raw: &[u8], place: &str, key: &SourceKey) -> Mapped {
    let lost = |reason: &str| Mapped::Event(Box::new(unreadable(&SOURCE, place, raw, reason, key)));
    let envelope = match read_lenient(raw) {
        Ok((envelope @ Value::Object(_), _)) => envelope,
        Ok((other, _)) => return lost(&format!("a message is an object, not {}", other.kind())),
        Err(error) => return lost(&error.to_string()),
    };
    let Some(raw_type) = text_at(&envelope, &["Metadata", "eventtype"]) else { return lost("a message without an eventtype") };
    let name = raw_type.rsplit('.').next().unwrap_or(raw_type);
    if NOISE.binary_search(&name).is_ok() {
        return Mapped::Skipped { raw_action: raw_type.to_owned() };
    }
    let payload = text_at(&envelope, &["Payload"]).unwrap_or_default();
    let Some(payload) = crate::base64::decode(payload.as_bytes()) else { return lost("a payload that is no base64") };
    let event_id = text_at(&envelope, &["Metadata", "eventid"]).or_else(|| text_at(&envelope, &["ID"]));
    let at_bus = text_at(&envelope, &["Timestamp"]);
    let place_envelope = |composer: &mut Composer| {
        if !event_id.is_some_and(|id| composer.external_id(id)) {
            composer.external_id(place);
        }
        composer.at(at_bus);
    };
    let metadata = |wanted: &str| text_at(&envelope, &["Metadata", wanted]).map(|text| (wanted.to_owned(), Value::from(text)));
    let mut data: Members = ["initiatorid", "traceparent"].into_iter().filter_map(metadata).collect();

    let Ok(row) = TYPES.binary_search_by_key(&name, |(name, _)| name) else {
        let mut composer = Composer::new(&SOURCE, &snake_case(name), raw_type, Kind::Unknown);
        place_envelope(&mut composer);
        #[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53")]
        let size = payload.len() as f64;
        data.push(("payloadSize".to_owned(), Value::Number(size)));
        data.push(("payloadMac".to_owned(), Value::from(key.mac("unreadable", &[&payload]).to_hex())));
        return Mapped::Event(Box::new(composer.finish(data)));
    };
    let Ok((Value::Object(mut members), converted)) = read_lenient(&payload) else { return lost("a payload that is no object") };
    let (redacted, _) = redact(&mut members, SECRETS);
    let event = Value::Object(members);
    let verb = match TYPES[row].1 {
        "" => told_by(name, &event),
        verb => verb,
    };
    let mut composer = Composer::new(&SOURCE, verb, raw_type, Kind::Known);
    composer.notes.redacted = redacted;
    composer.notes.converted = converted;
    place_envelope(&mut composer);
    if verb == "public_link_access_failed" {
        composer.outcome("denied");
    }
    people(&mut composer, &event);
    resource(&mut composer, verb, &event);
    if let Value::Object(members) = event {
        data.extend(members);
    }
    // A payload's member may be called like one of the envelope.
    let mut names = std::collections::HashSet::new();
    data.retain(|(name, _)| names.insert(name.clone()));
    Mapped::Event(Box::new(composer.finish(data)))
}

/// What was updated, in the words of the audit file.
fn told_by(name: &str, event: &Value) -> &'static str {
    if name == "ReceivedShareUpdated" {
        let state = text_at(event, &["State"]).unwrap_or_default();
        return match () {
            () if state.ends_with("ACCEPTED") => "share_accepted",
            () if state.ends_with("DECLINED") => "share_declined",
            () => "share_state_changed",
        };
    }
    let mask = match at(event, &["UpdateMask"]) {
        Some(Value::Array(fields)) => fields.first().and_then(Value::as_str),
        _ => None,
    };
    let field = mask.or_else(|| text_at(event, &["FieldUpdated"])).or_else(|| text_at(event, &["Updated"])).unwrap_or_default();
    let field = field.to_ascii_lowercase();
    match () {
        () if field.contains("permission") => "share_permission_updated",
        () if field.contains("password") => "share_password_updated",
        () if field.contains("expiration") => "share_expiration_updated",
        () if field.contains("name") => "share_name_updated",
        () => "share_updated",
    }
}

fn people(composer: &mut Composer, event: &Value) {
    let executant = text_at(event, &["Executant", "opaque_id"]);
    let kind = at(event, &["Executant", "type"]).and_then(Value::as_integer);
    composer.actor_type(match (executant, kind) {
        (None, _) => "system",
        (Some(_), Some(3)) => "service",
        (Some(_), _) => "user",
    });
    composer.actor(executant, None, None);
    let id = |name: &str| text_at(event, &[name, "opaque_id"]);
    hint_users(composer, [executant, id("SpaceOwner"), id("Owner"), id("Sharer"), text_at(event, &["UserID"])]);
}

fn resource(composer: &mut Composer, verb: &str, event: &Value) {
    let item = item(event, "Ref").or_else(|| item(event, "ItemID"));
    let path = text_at(event, &["Ref", "path"]).or_else(|| text_at(event, &["ResourceName"]));
    let id = |name: &str| id_at(event, &[name]).or_else(|| id_at(event, &[name, "opaque_id"]));
    match verb.split('_').next().unwrap_or(verb) {
        "share" => composer.resource("share", id("ShareID").as_deref(), path),
        "space" => {
            let name = text_at(event, &["Name"]);
            composer.resource("space", id("ID").as_deref(), name);
            hint_space(composer, id("ID").as_deref());
            composer.hints.spaces.extend(name.map(str::to_owned));
        }
        "user" => composer.resource("user", id("UserID").as_deref(), None),
        "group" => composer.resource("group", id("GroupID").as_deref(), None),
        "container" => composer.resource("folder", item.as_deref(), path),
        "file" => composer.resource("file", item.as_deref(), path),
        "public" => composer.resource("share", id("ShareID").as_deref(), None),
        _ => {}
    }
    hint_space(composer, item.as_deref());
}

/// `<storage>$<space>!<item>`, as the audit file writes it.
fn item(event: &Value, name: &str) -> Option<String> {
    let id = at(event, &[name, "resource_id"]).or_else(|| at(event, &[name]))?;
    let part = |name: &str| text_at(id, &[name]);
    Some(format!("{}${}!{}", part("storage_id")?, part("space_id")?, part("opaque_id")?))
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_their_verbs_known() {
        assert!(TYPES.is_sorted_by_key(|(name, _)| name) && NOISE.is_sorted());
        for (name, verb) in TYPES {
            assert!(verb.is_empty() || super::super::is_known(verb), "{name}");
        }
    }
}
