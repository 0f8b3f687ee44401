//! OCIS: lines of its audit file, and messages of its event bus. Both get the same verbs for the same deeds.
//!
//! Who acted is never the `User` of a line: it is the first quoted name of its `Message`, or the `Executant` of a message.

mod bus;
mod line;

use std::sync::LazyLock;

pub use bus::map_message;
pub use line::map_line;

use super::compose::{Composer, source};
use crate::ids::Source;

/// The `source` of its events.
pub static SOURCE: LazyLock<Source> = LazyLock::new(|| source("ocis"));

/// The verbs of both, sorted (contracts, section 3.4, and what stands on the bus alone).
const VERBS: [&str; 50] = [
    "backchannel_logout",
    "container_create",
    "file_create",
    "file_delete",
    "file_locked",
    "file_rename",
    "file_shared",
    "file_tags_add",
    "file_tags_remove",
    "file_touched",
    "file_trash_delete",
    "file_trash_restore",
    "file_unlocked",
    "file_unshared",
    "file_version_restore",
    "group_created",
    "group_deleted",
    "group_feature_changed",
    "group_member_added",
    "group_member_removed",
    "ocm_share_created",
    "ocm_share_removed",
    "personal_data_extracted",
    "public_link_access_failed",
    "science_mesh_invite_token_generated",
    "share_accepted",
    "share_declined",
    "share_expiration_updated",
    "share_expired",
    "share_name_updated",
    "share_password_updated",
    "share_permission_updated",
    "share_state_changed",
    "share_updated",
    "space_created",
    "space_deleted",
    "space_disabled",
    "space_enabled",
    "space_membership_expired",
    "space_renamed",
    "space_share_updated",
    "space_shared",
    "space_unshared",
    "space_updated",
    "user_created",
    "user_deleted",
    "user_feature_changed",
    "user_signed_in",
    "user_soft_deleted",
    "user_updated",
];

fn is_known(verb: &str) -> bool {
    VERBS.binary_search(&verb).is_ok()
}

/// The id of the space in `<storage>$<space>!<item>`.
fn space_of(id: &str) -> Option<&str> {
    let (_, rest) = id.split_once('$')?;
    let space = rest.split('!').next().unwrap_or(rest);
    Some(space).filter(|space| !space.is_empty())
}

/// The space that an id stands in, or that it is.
fn hint_space(composer: &mut Composer, id: Option<&str>) {
    let space = id.and_then(|id| if id.contains('$') { space_of(id) } else { Some(id) });
    if let Some(space) = space.filter(|space| !composer.hints.spaces.iter().any(|known| known == space)) {
        composer.hints.spaces.push(space.to_owned());
    }
}

fn hint_users<'a>(composer: &mut Composer, users: impl IntoIterator<Item = Option<&'a str>>) {
    for user in users.into_iter().flatten().filter(|user| !user.is_empty()) {
        if !composer.hints.users.iter().any(|known| known == user) {
            composer.hints.users.push(user.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_verbs_are_sorted() {
        assert!(super::VERBS.is_sorted());
    }
}
