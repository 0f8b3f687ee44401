use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use dezky_audit_core::hash::Hash;
use dezky_cold::depot::{Content, Depot, FolderDepot, Put};

use crate::promises::{assert_kept, key, put};

#[tokio::test]
async fn it_keeps_what_every_depot_promises() {
    let dir = tempfile::tempdir().unwrap();
    assert_kept(Arc::new(FolderDepot::open(dir.path().join("a/b")).await.unwrap())).await;
}

#[tokio::test]
async fn objects_are_their_owners_alone_and_nothing_is_left_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    assert_eq!(put(&depot, "events/x", b"one").await, Put::Created);
    assert_eq!(put(&depot, "events/x", b"two").await, Put::Exists);
    let mode = fs::metadata(dir.path().join("events/x")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path().join(".incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_object_is_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    put(&depot, "events/x", b"one").await;
    fs::write(dir.path().join("events/.hidden"), "").unwrap();
    assert_eq!(depot.list("events/", None, 10).await.unwrap().len(), 1);
    for nothing in ["../", "events/../", ".incoming/"] {
        assert_eq!(depot.list(nothing, None, 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    fs::write(dir.path().join("events"), "in the way").unwrap();
    let refused = depot.put(&key("events/x"), Content::Bytes(b"x".to_vec()), Hash::of(b"x")).await.unwrap_err();
    assert!(refused.to_string().contains("events/x") && refused.to_string().contains("move it away"), "{refused}");
    let refused = FolderDepot::open(dir.path().join("events")).await.unwrap_err();
    assert!(refused.to_string().contains("move it away"), "{refused}");
}
