use std::sync::Arc;

use dezky_store::Identity;
use dezky_store::conformance::{Fixture, origin};
use dezky_store::memory::MemoryStore;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};

mod memory {
    use super::*;

    async fn fresh() -> Fixture {
        Fixture { store: Arc::new(MemoryStore::new(origin())), guard: Box::new(()) }
    }

    dezky_store::conformance_suite!(fresh);
}

mod sqlite {
    use super::*;

    async fn fresh() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.db");
        let store = SqliteStore::open(path, Identity::Given(origin()), SqliteOptions::default()).await.unwrap();
        Fixture { store: Arc::new(store), guard: Box::new(folder) }
    }

    dezky_store::conformance_suite!(fresh);
}
