use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use dezky_audit_core::hash::Hash;
use dezky_cold::depot::{Content, Depot, DepotError, FolderDepot, ObjectKey, Put};

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

async fn put(depot: &FolderDepot, name: &str, bytes: &[u8]) -> Put {
    depot.put(&key(name), Content::Bytes(bytes.to_vec()), Hash::of(bytes)).await.unwrap()
}

async fn get(depot: &FolderDepot, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    depot.get(&key(name)).await.unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

#[tokio::test]
async fn an_object_is_written_once_and_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path().join("a/b")).await.unwrap();
    assert_eq!((get(&depot, "events/x").await, depot.size(&key("events/x")).await.unwrap()), (None, None));
    assert_eq!(put(&depot, "events/x", b"one").await, Put::Created);
    assert_eq!(put(&depot, "events/x", b"two").await, Put::Exists);
    assert_eq!(get(&depot, "events/x").await.unwrap(), b"one");
    assert_eq!(depot.size(&key("events/x")).await.unwrap(), Some(3));
    let mode = fs::metadata(dir.path().join("a/b/events/x")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path().join("a/b/.incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn of_many_who_put_at_once_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..16_u8 {
        let depot = depot.clone();
        puts.spawn(async move { put(&depot, "events/x", &[n; 100_000]).await });
    }
    let outcomes = puts.join_all().await;
    assert_eq!(outcomes.iter().filter(|put| **put == Put::Created).count(), 1);
    let bytes = get(&depot, "events/x").await.unwrap();
    assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
}

#[tokio::test]
async fn what_is_not_what_was_announced_is_not_put() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    let refused = depot.put(&key("events/x"), Content::File(file.try_clone().unwrap()), Hash::of(b"other")).await;
    assert!(matches!(refused, Err(DepotError::Checksum { .. })), "{refused:?}");
    assert_eq!(get(&depot, "events/x").await, None);
    // A file is read from its beginning, wherever it stood.
    assert_eq!(depot.put(&key("events/x"), Content::File(file), Hash::of(b"content")).await.unwrap(), Put::Created);
    assert_eq!(get(&depot, "events/x").await.unwrap(), b"content");
}

#[tokio::test]
async fn listings_go_by_prefix_in_order_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    for name in ["tile/0/x001/2", "tile/0/1", "events/b", "events/a", "eventful", "manifests/a"] {
        put(&depot, name, name.as_bytes()).await;
    }
    fs::write(dir.path().join("events/.hidden"), "").unwrap();
    let names = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(key);
        let listed = depot.list(prefix, after.as_ref(), limit).await.unwrap();
        listed.iter().map(|entry| (entry.key.to_string(), entry.size)).collect::<Vec<_>>()
    };
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), name.len() as u64)).collect::<Vec<_>>();
    assert_eq!(names("events/", None, 10).await, of(&["events/a", "events/b"]));
    assert_eq!(names("event", None, 10).await, of(&["eventful", "events/a", "events/b"]));
    assert_eq!(names("tile/", None, 10).await, of(&["tile/0/1", "tile/0/x001/2"]));
    assert_eq!(names("", Some("events/a"), 2).await, of(&["events/b", "manifests/a"]));
    for nothing in ["nothing/", "../", "events/../", ".incoming/"] {
        assert_eq!(names(nothing, None, 10).await, []);
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
