//! A service that embeds the log: it takes notes, one a line on standard input, and records each without ever waiting for it.
//!
//! `cargo run -p dezky-audit --example notes -- DIR`. For each note it prints, once that is known, where its event is:
//! `recorded as SEQ`, or `spooled` on the local disk, from where it reaches the log later.
//!
//! The log is embedded in DIR, or, where `MONGODB_URI` is set, lies in a database that several processes record into, each with a DIR
//! of its own for its spool: then `AUDIT_SHARED_LOG_KEY_FILE` and `AUDIT_SHARED_INGEST_SECRET_FILE` name the keys of all
//! (`platform-api make-keys`).

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, Draft, Kept, SharedKeys, World};
use dezky_audit_core::event::{PartText, Resource};
use dezky_audit_core::ids::{Action, ActorType, Outcome, ResourceType, Source};
use dezky_store::Identity;
use dezky_store::mongo::{MongoOptions, MongoStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("say in which folder the log is")?;
    let log = open(Path::new(&dir)).await?;
    println!("taking notes");
    let (give, mut notes) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|note| give.blocking_send(note))
    });
    let mut answers = tokio::task::JoinSet::new();
    while let Some(note) = notes.recv().await {
        let fate = log.record_best_effort(taken(&note)?);
        answers.spawn(async move {
            match fate.await {
                Kept::Recorded(receipt) => println!("{note}: recorded as {}", receipt.seq),
                Kept::Spooled => println!("{note}: spooled"),
                Kept::Refused(reason) => println!("{note}: refused: {reason}"),
                Kept::Lost => println!("{note}: lost"),
            }
        });
    }
    answers.join_all().await;
    let drained = log.shutdown(Duration::from_secs(60)).await;
    println!("{}", if drained.complete { "all notes are in the log" } else { "some notes are still spooled" });
    Ok(())
}

async fn open(dir: &Path) -> Result<AuditLog, Box<dyn Error>> {
    let Ok(uri) = std::env::var("MONGODB_URI") else { return Ok(AuditLog::open_in(dir, Config::in_dir(dir)).await?) };
    let file = |name| std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"));
    let keys = SharedKeys::read(&file("AUDIT_SHARED_LOG_KEY_FILE")?, &file("AUDIT_SHARED_INGEST_SECRET_FILE")?)?;
    let store = MongoStore::open(&uri, Identity::Given(keys.origin().clone()), MongoOptions::default()).await?;
    let config = Config { shared: Some(keys), kept_checkpoint: Some(dir.join("checkpoint.note")), ..Config::in_dir(dir) };
    Ok(AuditLog::open(config, Arc::new(store), World::system()).await?)
}

fn taken(note: &str) -> Result<Draft, Box<dyn Error>> {
    let mut draft =
        Draft::new(Action::new("note.taken")?, Outcome::new("success")?, Source::new("notes")?, ActorType::new("system")?);
    draft.resource_type = Some(ResourceType::new("note")?);
    draft.resource = Some(Resource { id: None, name: Some(PartText::new(note)?) });
    Ok(draft)
}
