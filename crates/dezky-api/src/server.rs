//! Sockets in, requests to the router, and an orderly end.

mod stall;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::app::App;
use crate::config::Limits;
use crate::layers::Peer;
use crate::metrics::Held;
use crate::routes::router;
use stall::Stalling;
pub use tls::{Tls, TlsError};

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut because they were not done in [`Limits::drain_time`].
    pub cut: usize,
}

/// Answers requests on `listener` until `shutdown` is done; then takes no more connections, lets open requests end, and
/// returns. What it had counted is on its way into the log, which stays open: whoever opened it closes it.
pub async fn serve(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) -> Stopped {
    let router = router(app.clone());
    serve_router(listener, app, router, shutdown).await
}

pub async fn serve_router(listener: TcpListener, app: App, router: Router, shutdown: impl Future<Output = ()>) -> Stopped {
    let limits = app.config.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let (place, stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
            // Those that ended are let go of while the server runs, not only when it ends.
            Some(_) = connections.join_next() => continue,
        };
        let (watcher, held) = (graceful.watcher(), app.metrics.connect());
        let (tls, router) = (app.config.tls.clone(), router.clone());
        connections.spawn(async move {
            prompt(&stream);
            match tls {
                None => run(watcher.watch(connection(&limits, &router, stream, peer)), place, held).await,
                Some(tls) => match tokio::time::timeout(limits.head_time, tls.accept(stream)).await {
                    Ok(Ok(stream)) => run(watcher.watch(connection(&limits, &router, stream, peer)), place, held).await,
                    Ok(Err(error)) => tracing::debug!(cause = %error, "no TLS connection came about"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    app.closing.send_replace(true);
    let drained = tokio::time::timeout(limits.drain_time, graceful.shutdown()).await;
    let cut = if drained.is_ok() { 0 } else { connections.len() };
    connections.shutdown().await;
    app.refusals.close();
    Stopped { cut }
}

/// The next connection, once there is a place for it. Failures pass: a client that went away, too many open files.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Answers are short and written at once: waiting for more to send would only delay them.
fn prompt(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(cause = %error, "no TCP_NODELAY");
    }
}

/// One connection, within the limits on its heads and on its patience.
fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    limits: &Limits,
    router: &Router,
    stream: S,
    peer: SocketAddr,
) -> impl GracefulConnection<Error = hyper::Error> + Send + use<S> {
    let router = TowerToHyperService::new(router.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .serve_connection(TokioIo::new(Stalling::new(stream, limits.stall_time)), service)
}

async fn run<T, E: std::fmt::Display>(
    connection: impl Future<Output = Result<T, E>>,
    place: Option<OwnedSemaphorePermit>,
    held: Held,
) {
    if let Err(error) = connection.await {
        tracing::debug!(cause = %error, "a connection ended");
    }
    drop((place, held));
}
