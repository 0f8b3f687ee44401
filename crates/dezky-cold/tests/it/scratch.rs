use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Clock, Config, Draft, ManualClock, Reason, VerifyOptions, World};
use dezky_audit_core::archive::{BatchReader, Manifest, Plan};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::json::Value;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, BatchSteps, Conclude, Report, Stepper, Trust};
use dezky_cold::{ArchiveConfig, Archiver, Depot, FolderDepot, Limits};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{EventLog, Identity, ReadLimit, Store};
use tempfile::TempDir;

use crate::faulty::{Fuse, FusedDepot, FusedStore};

pub(crate) const ORIGIN: &str = "audit.example.eu/cold";

/// A log on SQLite, and a folder for its archive.
pub(crate) struct Scratch {
    pub(crate) log: AuditLog,
    /// Beneath every fault.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) fuse: Arc<Fuse>,
    /// What archivers write to.
    pub(crate) depot: Arc<dyn Depot>,
    pub(crate) dir: Dir,
}

/// A folder; removed with this unless it is somebody else's.
pub(crate) enum Dir {
    Own(TempDir),
    Given(PathBuf),
}

impl Dir {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        Self::open(Dir::Own(tempfile::tempdir().unwrap()), "2026-05-01T00:00:00.000Z").await
    }

    /// The log of a folder, new or not, as a process opens it at that time.
    pub(crate) async fn open(dir: Dir, now: &str) -> Self {
        let store = sqlite(&dir.path().join("audit.db")).await;
        let fuse = Arc::new(Fuse::default());
        let clock = Arc::new(ManualClock::new(now.parse().unwrap()));
        let world = World { clock: Arc::clone(&clock) as _, ..World::system() };
        let mut config = Config::in_dir(dir.path());
        config.spool.limit = 4 << 20;
        config.spool.segment = 2 << 20;
        let fused = Arc::new(FusedStore { inner: Arc::clone(&store), fuse: Arc::clone(&fuse) });
        let log = AuditLog::open(config, fused, world).await.unwrap();
        let folder = FolderDepot::open(dir.path().join("archive")).await.unwrap();
        let depot = Arc::new(FusedDepot { inner: Arc::new(folder), fuse: Arc::clone(&fuse) });
        Self { log, store, clock, fuse, depot, dir }
    }

    pub(crate) fn archive_dir(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Archives everything, ten events at a time.
    pub(crate) fn archiver(&self) -> Archiver {
        self.archiver_with(Duration::ZERO, 10)
    }

    pub(crate) fn archiver_with(&self, retention: Duration, events: u64) -> Archiver {
        self.archiver_into(Arc::clone(&self.depot), retention, events)
    }

    pub(crate) fn archiver_into(&self, depot: Arc<dyn Depot>, retention: Duration, events: u64) -> Archiver {
        let config =
            ArchiveConfig { retention, limits: Limits { events, ..Limits::default() }, scratch: self.dir.path().to_owned() };
        Archiver::new(self.log.clone(), depot, Arc::clone(&self.clock) as _, config).unwrap()
    }

    /// Records so many events, of two tenants and of none, and signs them.
    pub(crate) async fn record(&self, events: u64) {
        let drafts = (0..events).map(|n| {
            let mut draft = draft(["user.created", "user.removed"][usize::from(n % 5 == 0)]);
            draft.external_id = Some(format!("{}-{n}", self.now().unix_ms()).parse().unwrap());
            draft.tenant = ["acme", "umbrella"].get(usize::try_from(n % 3).unwrap()).map(|tenant| tenant.parse().unwrap());
            draft
        });
        self.log.record_batch(drafts.collect()).await.unwrap();
        self.log.checkpoint(Reason::Manual).await.unwrap();
    }

    /// The hot lines, by position.
    pub(crate) async fn hot(&self) -> BTreeMap<u64, Vec<u8>> {
        let (mut hot, mut next, size) = (BTreeMap::new(), 1, self.store.head().await.unwrap().size);
        while next <= size {
            let read = EventLog::read(&*self.store, next..=size, ReadLimit::default()).await.unwrap();
            let Some(last) = read.last() else { break };
            next = last.seq + 1;
            hot.extend(read.into_iter().map(|stored| (stored.seq, stored.line)));
        }
        hot
    }

    /// What `dezky-verify archive` concludes of the folder, knowing the log's keys.
    pub(crate) fn verify_folder(&self) -> Report {
        let dir = self.archive_dir();
        let names = object_names(&dir);
        let plan = Plan::new(names.iter().map(String::as_str));
        let trust = Trust::new(Some(self.log.origin().clone()), self.log.key_ring().clone(), None).unwrap();
        let mut walk = ArchiveWalk::new(&trust, &plan, None, 100);
        for batch in &plan.batches {
            let manifest = Manifest::parse(&fs::read(dir.join(batch.manifest.to_string())).unwrap());
            let events = match File::open(dir.join(batch.events.to_string())) {
                Ok(file) => BatchEvents::Read(BatchSteps::read(file, &mut Stepper::new()).unwrap()),
                Err(_) => BatchEvents::Missing,
            };
            walk.batch(batch, manifest, events);
        }
        walk.finish(Conclude { now: self.now(), max_age_seconds: None, ends_early: true })
    }

    /// The lines of the batches in the folder, by position: the highest revision of each, and each position once.
    pub(crate) fn archived(&self) -> BTreeMap<u64, Vec<u8>> {
        let dir = self.archive_dir();
        let names = object_names(&dir);
        let mut archived = BTreeMap::new();
        for batch in Plan::new(names.iter().map(String::as_str)).batches {
            let mut next = batch.manifest.start.get();
            let file = File::open(dir.join(batch.events.to_string())).unwrap();
            let add = |line: &[u8]| {
                assert!(archived.insert(next, line.to_vec()).is_none(), "event {next} lies in two batches");
                next += 1;
            };
            BatchReader::read(file, add, |_| panic!("an unterminated line")).unwrap();
            assert_eq!(next, batch.manifest.end.get() + 1);
        }
        archived
    }

    /// Every event is in the archive or hot, and is the same wherever it is. Returns all of them.
    pub(crate) async fn all(&self) -> Vec<Vec<u8>> {
        let (hot, mut all) = (self.hot().await, self.archived());
        for (seq, line) in hot {
            let same = all.get(&seq).is_none_or(|archived| *archived == line);
            assert!(same, "event {seq} differs in the archive");
            all.insert(seq, line);
        }
        let size = self.store.head().await.unwrap().size;
        assert!(all.keys().copied().eq(1..=size), "of {size} events there are {:?}", all.keys());
        all.into_values().collect()
    }

    /// The archive verifies, what it has is no longer hot, each batch was told once, and the log verifies across the border.
    pub(crate) async fn assert_archived_up_to(&self, border: u64) {
        let report = self.verify_folder();
        assert_eq!(report.exit_code, 0, "{:?}", report.findings);
        assert_eq!((report.events, report.last_seq), (border, Some(border)));
        assert_eq!(self.store.hot().await.unwrap().border, border);
        assert!(self.hot().await.keys().all(|seq| *seq > border));
        assert_eq!(self.store.archive_intent().await.unwrap(), None);
        let all = self.all().await;
        let told = members(&all, "action").iter().filter(|action| *action == "audit.archived").count();
        assert_eq!(told, self.store.batches(1..=border, 1_000).await.unwrap().len());
        let end = self.log.checkpoint(Reason::Manual).await.unwrap().size;
        let look = dezky_cold::verify_all(&self.log, Arc::clone(&self.depot), end, self.now(), 100, Arc::default());
        let report = look.await.unwrap();
        assert_eq!(report.exit_code, 0, "{:?}", report.findings);
        assert_eq!(report.events, self.store.head().await.unwrap().size);
        // And so does what is hot by itself.
        let verification = self.log.verify(VerifyOptions::default()).await.unwrap();
        assert_eq!(verification.exit_code, 0, "{:?}", verification.report.findings);
        assert_eq!(verification.report.events, self.store.head().await.unwrap().size - border);
    }
}

pub(crate) async fn sqlite(path: &Path) -> Arc<dyn Store> {
    let identity = Identity::Given(ORIGIN.parse().unwrap());
    Arc::new(SqliteStore::open(path, identity, SqliteOptions::default()).await.unwrap())
}

pub(crate) fn draft(action: &str) -> Draft {
    let mut draft =
        Draft::new(action.parse().unwrap(), "success".parse().unwrap(), "platform-api".parse().unwrap(), "user".parse().unwrap());
    draft.metadata = Some(vec![("note".to_owned(), Value::from("ünïcode"))]);
    draft
}

/// The values of a member that is a string.
pub(crate) fn members(lines: &[Vec<u8>], name: &str) -> Vec<String> {
    let value = |line: &Vec<u8>| {
        assert!(matches!(check_line(line, &mut Vec::new()), LineCheck::Event(_)));
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        value[name].as_str().unwrap_or_default().to_owned()
    };
    lines.iter().map(value).collect()
}

/// The names of all objects of an archive, relative to its folder.
pub(crate) fn object_names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["events", "manifests"] {
        let Ok(entries) = fs::read_dir(dir.join(folder)) else { continue };
        names.extend(entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap())));
    }
    names.sort();
    names
}
