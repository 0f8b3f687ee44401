//! Everything wired together, and taken apart in order.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use dezky_api::{App, Credentials, DemonstrationError};
use dezky_audit::{AuditLog, Clock as _, SystemClock, World};
use dezky_cold::Depot;
use dezky_platform::Platform;
use dezky_store::Identity;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::backend::open_database;
use crate::cold;
use crate::data_dir::DataDir;
use crate::placement;
use crate::settings::Settings;
use crate::sources;

/// Serves until SIGTERM or SIGINT, then drains: open requests, the recorder's queue, a last checkpoint.
///
/// With `demo`, a log that holds nothing gets a week of invented events first.
pub(crate) fn serve(settings: Settings, demo: bool) -> anyhow::Result<()> {
    trace(&settings.trace_filter)?;
    runtime()?.block_on(run(settings, demo))
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime could not be started")
}

/// Opens the log where the settings say that it lies, compared with the newest checkpoint beside its archives.
pub(crate) async fn open_log(
    mut settings: Settings,
    dir: &DataDir,
    archives: Option<&Arc<dyn Depot>>,
) -> anyhow::Result<AuditLog> {
    if let Some(depot) = archives {
        settings.log.known_checkpoints.extend(cold::published(&**depot).await.context("the checkpoints beside the archives")?);
    }
    open(settings, dir).await
}

async fn open(settings: Settings, dir: &DataDir) -> anyhow::Result<AuditLog> {
    let opened = match (&settings.database, &settings.log.shared) {
        (Some(uri), Some(shared)) => {
            placement::may_use_database(dir.path())?;
            let origin = shared.origin().clone();
            let store = open_database(uri, Identity::Given(origin.clone())).await?;
            placement::mark(dir.path(), &origin, uri)?;
            AuditLog::open(settings.log, Arc::new(store), World::system()).await
        }
        _ => {
            placement::may_be_embedded(dir.path())?;
            AuditLog::open_in(dir.path(), settings.log).await
        }
    };
    opened.context("the log could not be opened")
}

/// The operator's token, and what idempotency keys are hidden under: shared with the database, or the folder's own.
fn credentials(settings: &Settings, dir: &DataDir) -> anyhow::Result<Credentials> {
    let read = match (&settings.log.shared, &settings.operator_token) {
        (Some(shared), Some(token)) => {
            Credentials::shared(token, &shared.ingest().derive("idempotency"), &shared.ingest().derive("session"))
        }
        _ => Credentials::load_or_create(dir.path()),
    };
    read.context("the operator's token cannot be used")
}

async fn run(mut settings: Settings, demo: bool) -> anyhow::Result<()> {
    warn(&settings);
    let (stop, stop_now) = stop_signals()?;
    let dir = DataDir::claim(&settings.data_dir).context("the data folder cannot be used")?;
    let listener = TcpListener::bind(settings.listen).await.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let credentials = credentials(&settings, &dir)?;
    let token = settings.operator_token.clone().unwrap_or_else(|| dir.path().join("operator.token"));
    let (mut http, sources) = (settings.http.clone(), std::mem::take(&mut settings.sources));
    let depot = cold::of_service(&mut settings).await.context("the archives")?;
    let archiving = settings.cold.clone();
    let log = open(settings, &dir).await?;
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr().context("the address is not known")?;
    if let Some(login) = &mut http.login {
        login.listening_at(&format!("{scheme}://{address}"));
    }
    let drain_time = http.limits.drain_time;
    let platform = Platform::start(log.clone(), Arc::new(SystemClock));
    let (sources, workers) = sources::start(sources, &log, &platform, dir.path()).await?;
    let cold = depot.map(|depot| cold::start(&log, depot, &archiving, dir.path())).transpose()?;
    let app = App::with(log.clone(), platform.clone(), sources, cold.clone(), credentials, http);
    say_where(&app, &log, scheme, address, &token)?;
    if demo {
        demonstrate(&log).await?;
    }
    let refused = OnceLock::new();
    let stop = async {
        let disagrees = async {
            match &cold {
                Some(cold) => cold.refused().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            why = disagrees => {
                let error = &*why as &(dyn std::error::Error + 'static);
                tracing::error!(error, "the log does not agree with its archives: it is closed, as it would not have been opened");
                drop(refused.set(why));
            }
        }
    };
    let orderly = async {
        let stopped = dezky_api::serve(listener, app, stop).await;
        tracing::info!(cut = stopped.cut, "no more requests; closing the log");
        workers.stop().await;
        if let Some(cold) = &cold
            && tokio::time::timeout(drain_time, cold.stop()).await.is_err()
        {
            tracing::warn!("archiving is cut off; every event stays readable, and the next run goes on from there");
        }
        platform.shutdown(drain_time).await;
        log.shutdown(drain_time).await
    };
    let drained = tokio::select! {
        drained = orderly => drained,
        () = stop_now => anyhow::bail!("a second signal came before everything had ended; what was acknowledged is recorded"),
    };
    if let Some(why) = refused.into_inner() {
        return Err(why)
            .context("the log was closed: what was recorded since the start is in its store, and must be looked at there");
    }
    if !drained.complete {
        tracing::warn!(spooled = drained.spooled, "not all that waited was recorded in time");
    }
    tracing::info!("closed");
    Ok(())
}

/// A week of invented events, unless the log has them, or anything else, already.
async fn demonstrate(log: &AuditLog) -> anyhow::Result<()> {
    match dezky_api::demonstrate(log, SystemClock.now()).await {
        Ok(events) => tracing::info!(events, "recorded a week of two invented tenants"),
        Err(DemonstrationError::InUse) => tracing::info!("the log holds events already"),
        Err(error) => return Err(error).context("the demonstration could not be recorded"),
    }
    Ok(())
}

pub(crate) fn trace(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("trace.filter")?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).finish();
    tracing::subscriber::set_global_default(subscriber).context("traces are written already")
}

fn warn(settings: &Settings) {
    for name in &settings.strangers {
        tracing::warn!(name, "this variable is no setting of this program and means nothing here");
    }
    if !settings.listen.ip().is_loopback() && settings.http.tls.is_none() {
        tracing::warn!(listen = %settings.listen, "others can reach this, and there is no TLS: set http.tls_certificate, or put a proxy that has it before");
    }
}

/// Where the service is, whose log it is, and how to get in.
fn say_where(app: &App, log: &AuditLog, scheme: &str, address: SocketAddr, token: &Path) -> anyhow::Result<()> {
    let mut text = format!("listening on  {scheme}://{address}\nlog           {}\n", log.origin());
    let here = if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
    match app.invitation().filter(|_| here.ip().is_loopback()) {
        Some(code) => text.push_str(&format!(
            "console       {scheme}://{here}/login#code={code}\n              (signs you in once, on this machine, within ten minutes)\n"
        )),
        None => text.push_str(&format!("console       {scheme}://{here}/\n")),
    }
    for key in log.keys() {
        text.push_str(&format!("key           {}  ({}, since {})\n", key.vkey, key.algorithm.as_str(), key.since));
    }
    text.push_str(&format!(
        "token         {token}\n\n\
         curl -H \"Authorization: Bearer $(cat {quoted})\" -H 'Content-Type: application/json' {scheme}://{address}/audit/events \\\n  \
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
