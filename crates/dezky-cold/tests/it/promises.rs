use std::io::{Read, Write};
use std::sync::Arc;

use dezky_audit_core::hash::Hash;
use dezky_cold::depot::{Content, Depot, DepotError, ObjectKey, Put};

/// Holds a new depot, empty but for what it may need itself, to what every depot promises.
pub(crate) async fn assert_kept(depot: Arc<dyn Depot>) {
    an_object_is_written_once_and_never_again(&*depot).await;
    of_many_who_put_at_once_one_does(&depot).await;
    what_is_not_what_was_announced_is_not_put(&*depot).await;
    files_and_empty_objects_go_whole(&*depot).await;
    listings_go_by_prefix_in_order_page_by_page(&*depot).await;
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) async fn put(depot: &dyn Depot, name: &str, bytes: &[u8]) -> Put {
    depot.put(&key(name), Content::Bytes(bytes.to_vec()), Hash::of(bytes)).await.unwrap()
}

pub(crate) async fn get(depot: &dyn Depot, name: &str) -> Option<Vec<u8>> {
    let mut body = depot.get(&key(name)).await.unwrap()?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map(|_| bytes)
    });
    Some(read.await.unwrap().unwrap())
}

async fn an_object_is_written_once_and_never_again(depot: &dyn Depot) {
    assert_eq!((get(depot, "once/x").await, depot.size(&key("once/x")).await.unwrap()), (None, None));
    assert_eq!(put(depot, "once/x", b"one").await, Put::Created);
    assert_eq!(put(depot, "once/x", b"two").await, Put::Exists);
    assert_eq!(put(depot, "once/x", b"one").await, Put::Exists);
    assert_eq!(get(depot, "once/x").await.unwrap(), b"one");
    assert_eq!(depot.size(&key("once/x")).await.unwrap(), Some(3));
}

async fn of_many_who_put_at_once_one_does(depot: &Arc<dyn Depot>) {
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..16_u8 {
        let depot = Arc::clone(depot);
        puts.spawn(async move { put(&*depot, "many/x", &[n; 100_000]).await });
    }
    let outcomes = puts.join_all().await;
    assert_eq!(outcomes.iter().filter(|put| **put == Put::Created).count(), 1);
    let bytes = get(&**depot, "many/x").await.unwrap();
    assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
}

async fn what_is_not_what_was_announced_is_not_put(depot: &dyn Depot) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    for content in [Content::File(file), Content::Bytes(b"content".to_vec())] {
        let refused = depot.put(&key("announced/x"), content, Hash::of(b"other")).await;
        assert!(matches!(refused, Err(DepotError::Checksum { actual, .. }) if actual == Hash::of(b"content")), "{refused:?}");
        assert_eq!(get(depot, "announced/x").await, None);
    }
}

async fn files_and_empty_objects_go_whole(depot: &dyn Depot) {
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    // A file is read from its beginning, wherever it stands.
    assert_eq!(depot.put(&key("whole/file"), Content::File(file), Hash::of(&content)).await.unwrap(), Put::Created);
    assert!(get(depot, "whole/file").await.unwrap() == content);
    assert_eq!(put(depot, "whole/empty", b"").await, Put::Created);
    assert_eq!((get(depot, "whole/empty").await.unwrap(), depot.size(&key("whole/empty")).await.unwrap()), (vec![], Some(0)));
}

async fn listings_go_by_prefix_in_order_page_by_page(depot: &dyn Depot) {
    for name in ["tile/0/x001/2", "tile/0/x001/2.p/5", "tile/0/1", "events/b", "events/a", "eventful", "manifests/a"] {
        put(depot, name, name.as_bytes()).await;
    }
    let names = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(key);
        let listed = depot.list(prefix, after.as_ref(), limit).await.unwrap();
        listed.iter().map(|entry| (entry.key.to_string(), entry.size)).collect::<Vec<_>>()
    };
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), name.len() as u64)).collect::<Vec<_>>();
    assert_eq!(names("events/", None, 10).await, of(&["events/a", "events/b"]));
    assert_eq!(names("event", None, 10).await, of(&["eventful", "events/a", "events/b"]));
    assert_eq!(names("tile/", None, 10).await, of(&["tile/0/1", "tile/0/x001/2", "tile/0/x001/2.p/5"]));
    assert_eq!(names("", Some("events/a"), 2).await, of(&["events/b", "manifests/a"]));
    assert_eq!(names("events/", Some("events/a"), 10).await, of(&["events/b"]));
    for (prefix, limit) in [("nothing/", 10), ("events/", 0)] {
        assert_eq!(names(prefix, None, limit).await, []);
    }
}
