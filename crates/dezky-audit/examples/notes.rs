//! A service that embeds the log: it takes notes, one a line on standard input, and records each without ever waiting for it.
//!
//! `cargo run -p dezky-audit --example notes -- DIR`. For each note it prints, once that is known, where its event is:
//! `recorded as SEQ`, or `spooled` on the local disk, from where it reaches the log later.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::io::BufRead as _;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, Draft, Kept};
use dezky_audit_core::event::{PartText, Resource};
use dezky_audit_core::ids::{Action, ActorType, Outcome, ResourceType, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("say in which folder the log is")?;
    let log = AuditLog::open_in(&dir, Config::in_dir(&dir)).await?;
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

fn taken(note: &str) -> Result<Draft, Box<dyn Error>> {
    let mut draft =
        Draft::new(Action::new("note.taken")?, Outcome::new("success")?, Source::new("notes")?, ActorType::new("system")?);
    draft.resource_type = Some(ResourceType::new("note")?);
    draft.resource = Some(Resource { id: None, name: Some(PartText::new(note)?) });
    Ok(draft)
}
