//! Everything wired together, and taken apart in order.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use dezky_api::{App, Credentials};
use dezky_audit::AuditLog;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::data_dir::DataDir;
use crate::settings::Settings;

/// Serves until SIGTERM or SIGINT, then drains: open requests, the recorder's queue, a last checkpoint.
pub(crate) fn serve(settings: Settings) -> anyhow::Result<()> {
    trace(&settings.trace_filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")?;
    runtime.block_on(run(settings))
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    warn(&settings);
    let (stop, stop_now) = stop_signals()?;
    let dir = DataDir::claim(&settings.data_dir).context("the data folder cannot be used")?;
    let listener = TcpListener::bind(settings.listen).await.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let credentials = Credentials::load_or_create(dir.path()).context("the operator's token cannot be used")?;
    let log = AuditLog::open_in(dir.path(), settings.log).await.context("the log could not be opened")?;
    say_where(&log, listener.local_addr().context("the address is not known")?, dir.path())?;
    let drain_time = settings.http.limits.drain_time;
    let app = App::new(log.clone(), credentials, settings.http);
    let orderly = async {
        let stopped = dezky_api::serve(listener, app, stop).await;
        tracing::info!(cut = stopped.cut, "no more requests; closing the log");
        log.shutdown(drain_time).await
    };
    let drained = tokio::select! {
        drained = orderly => drained,
        () = stop_now => anyhow::bail!("a second signal came before everything had ended; what was acknowledged is recorded"),
    };
    if !drained.complete {
        tracing::warn!(spooled = drained.spooled, "not all that waited was recorded in time");
    }
    tracing::info!("closed");
    Ok(())
}

fn trace(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("trace.filter")?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).finish();
    tracing::subscriber::set_global_default(subscriber).context("traces are written already")
}

fn warn(settings: &Settings) {
    for name in &settings.strangers {
        tracing::warn!(name, "this variable is no setting of this program and means nothing here");
    }
    if !settings.listen.ip().is_loopback() {
        tracing::warn!(listen = %settings.listen, "others can reach this, and there is no TLS: put a proxy that has it before");
    }
}

/// Where the service is, whose log it is, and how to get in.
fn say_where(log: &AuditLog, address: SocketAddr, dir: &Path) -> anyhow::Result<()> {
    let token = dir.join("operator.token");
    let mut text = format!("listening on  http://{address}\nlog           {}\n", log.origin());
    for key in log.keys() {
        text.push_str(&format!("key           {}  ({}, since {})\n", key.vkey, key.algorithm.as_str(), key.since));
    }
    text.push_str(&format!(
        "token         {token}\n\n\
         curl -H \"Authorization: Bearer $(cat {quoted})\" -H 'Content-Type: application/json' http://{address}/audit/events \\\n  \
         -d '{{\"action\":\"tenant.created\",\"outcome\":\"success\",\"source\":\"platform-api\",\"actorType\":\"operator\",\"tenantSlug\":\"acme\"}}'\n",
        token = token.display(),
        quoted = quoted(&token.display().to_string()),
    ));
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("stdout cannot be written to")
}

/// A path as a shell takes it inside double quotes and `$(…)`.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Done at the first and at the second SIGTERM or SIGINT. Caught from here on, so that none is lost while the log is opened.
fn stop_signals() -> anyhow::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let caught = |kind| signal(kind).context("signals cannot be caught");
    let (mut terminate, mut interrupt) = (caught(SignalKind::terminate())?, caught(SignalKind::interrupt())?);
    let (count, first) = watch::channel(0);
    let second = first.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|count| *count += 1);
            tracing::info!("stopping: open requests may end, new ones are not taken; a second signal ends it at once");
        }
    });
    let reached = async |mut count: watch::Receiver<u32>, least: u32| {
        // The sender lives as long as the runtime.
        count.wait_for(|count| *count >= least).await.ok();
    };
    Ok((reached(first, 1), reached(second, 2)))
}
