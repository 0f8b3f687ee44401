//! `copy`: a log goes from one store to another.

use std::fmt::Write as _;

use anyhow::Context as _;
use dezky_audit::copy::{Copied, CopyOptions, Progress, Stage, copy};
use dezky_audit::{Clock as _, KeyRing, SystemClock, folder_keys};
use dezky_audit_core::ids::Origin;
use dezky_store::Identity;

use crate::backend::Backend;
use crate::bar::Bar;
use crate::data_dir::DataDir;
use crate::settings::Settings;

/// Where the sources have got to.
const BOOKMARKS: [&str; 3] = ["ingest/authentik", "ingest/ocis-bus", "ingest/ocis-file"];

/// Copies, and says what came of it.
pub(crate) async fn run(from: &Backend, to: &Backend, settings: &Settings) -> anyhow::Result<String> {
    anyhow::ensure!(from != to, "the source and the target are the same");
    if let Backend::Sqlite(path) = from {
        anyhow::ensure!(path.is_file(), "there is no log at {}", path.display());
    }
    // No service may use either file meanwhile.
    let mut held: Vec<DataDir> = Vec::new();
    for folder in [from, to].into_iter().filter_map(Backend::folder) {
        if !held.iter().any(|held| std::fs::canonicalize(folder).is_ok_and(|path| path == held.path())) {
            held.push(DataDir::claim(folder).context("the folder cannot be used")?);
        }
    }
    let nobody: Origin = "nobody.invalid/empty".parse().context("an origin")?;
    let known = settings.log.shared.as_ref().map(|shared| shared.origin().clone());
    let source = from.open(known.map_or(Identity::Otherwise(nobody), Identity::Given)).await.context("the source")?;
    let empty = source.head().await?.size == 0 && source.latest_checkpoint().await?.is_none();
    anyhow::ensure!(!empty, "the source {from} holds no log");
    let target = to.open(Identity::Given(source.origin().clone())).await.context("the target")?;
    let keys = match (&settings.log.shared, from.folder().or_else(|| to.folder())) {
        (Some(shared), _) => shared.ring(),
        (None, Some(folder)) => folder_keys(&folder.join("keys"))?,
        (None, None) => KeyRing::new(),
    };
    let options = CopyOptions { keys, bookmarks: BOOKMARKS.map(str::to_owned).to_vec() };
    let bar = Bar::new();
    let progress = |progress: Progress| {
        bar.doing(match progress.stage {
            Stage::Copying => "copying",
            Stage::Comparing => "comparing",
            Stage::Verifying => "verifying",
        });
        bar.at(progress.done, progress.total);
    };
    let copied = copy(&*source, &*target, &options, SystemClock.now(), &progress).await;
    bar.end();
    target.close().await;
    source.close().await;
    Ok(said(&copied?, source.origin(), to))
}

fn said(copied: &Copied, origin: &Origin, to: &Backend) -> String {
    let Copied { size, root, hash, archived, written, report } = copied;
    let mut text = format!("log       {origin}\ntarget    {to}\nevents    {size}, {written} of them written now\n");
    if *archived > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "archived  {archived} of them, which lie in neither store");
    }
    let _ = writeln!(text, "head      {hash}\nroot      {}", root.to_base64());
    let _ = match report.exit_code {
        0 => writeln!(text, "verified  every line is the source's; the log's key has signed all of it"),
        _ => writeln!(
            text,
            "verified  every line is the source's; no key that is known here has signed all of it (signed up to {})",
            report.authenticated_size
        ),
    };
    text
}
