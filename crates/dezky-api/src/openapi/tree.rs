//! The tree as tiles.

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::operation::{Described, operation};
use super::shape::text;
use crate::problem::Code;

pub(super) fn operations() -> Vec<Described> {
    let path = text("`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`, as `tlog-tiles` writes them.");
    let note =
        "localhost/e7bd46c35f5ac27d\n17\nwnadiD/j7lA6XPNYLmT/uG0q6yUBZAe2XQjV/gUs6oc=\n\n— localhost/e7bd46c35f5ac27d Uakb…\n";
    let octets = ObjectBuilder::new().schema_type(Type::String).content_media_type("application/octet-stream");
    vec![
        operation(Method::GET, "/checkpoint", "Tree", "treeCheckpoint", "The newest signed note")
            .answers_as(200, "The note", "text/plain", text("A signed note."), note.into())
            .refuses(&[Code::NoSuchCheckpoint]),
        operation(Method::GET, "/tile/{*path}", "Tree", "getTile", "A tile, or a bundle of entries")
            .about("As wide as it is asked for, if the newest checkpoint covers that; also of events that have left hot storage.")
            .at("path", path, json!("0/000.p/1"), "Which one; its slashes stand as they are, or as `%2F`.")
            .answers_as(200, "Hashes of 32 bytes, or entries", "application/octet-stream", octets, Value::Null)
            .refuses(&[Code::NoSuchTile, Code::EventMismatch, Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::Closing]),
    ]
}
