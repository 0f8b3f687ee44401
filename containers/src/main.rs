//! `dezky-test-containers mongo|minio`: a server in a container for one test process, by Docker on this machine.
//!
//! It prints `at PORT` once the server is there, and then does as its input says, a word a line: `stop` kills the server and leaves
//! its data, `start` brings it back on the same port; each is answered by `done`. When the input ends, which it does with
//! whoever holds it, the container and its data are removed. What cannot be done is said on standard error, and ends it.

mod image;

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, bail};
use testcontainers::core::client::ClientError;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, TestcontainersError};

use crate::image::Served;

fn main() -> anyhow::Result<()> {
    let named = std::env::args().nth(1).unwrap_or_default();
    let Some(served) = Served::named(&named) else { bail!("'{named}' is no server: mongo and minio are") };
    // One thread of its own, so that connections to Docker are looked after while the input is waited for.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let port = free_port()?;
    let container = runtime.block_on(start(served, port)).with_context(|| advice(served))?;
    let outcome = serve(&runtime, served, port, &container);
    runtime.block_on(container.rm()).context("the container could not be removed")?;
    outcome
}

/// Does as the input says until it ends.
fn serve(
    runtime: &tokio::runtime::Runtime,
    served: Served,
    port: u16,
    container: &ContainerAsync<GenericImage>,
) -> anyhow::Result<()> {
    runtime.block_on(served.make_ready(container))?;
    say(&format!("at {port}"))?;
    for line in stdin().lock().lines() {
        match &*line? {
            "stop" => runtime.block_on(container.stop_with_timeout(Some(0)))?,
            "start" => runtime.block_on(async {
                container.start().await?;
                served.make_ready(container).await
            })?,
            other => bail!("'{other}' is not to be understood: stop and start are"),
        }
        say("done")?;
    }
    Ok(())
}

async fn start(served: Served, port: u16) -> anyhow::Result<ContainerAsync<GenericImage>> {
    match served.request(port).start().await {
        // Whoever pulls an image for the first time should learn why it cannot.
        Err(TestcontainersError::Client(ClientError::PullImage { descriptor, err })) => {
            Err(err).with_context(|| format!("the image {descriptor} is not here, and cannot be pulled"))
        }
        started => Ok(started?),
    }
}

/// What somebody who meant to have containers needs to know when there are none.
fn advice(served: Served) -> String {
    let docker =
        std::env::var("DOCKER_HOST").map_or_else(|_| "its usual socket".to_owned(), |host| format!("DOCKER_HOST={host}"));
    format!(
        "DEZKY_TEST_CONTAINERS=1 asks for {} in a container, and Docker at {docker} did not start one.\n\
         Start Docker on this machine, or set DOCKER_HOST to its socket (unix:///PATH, without TLS); or unset \
         DEZKY_TEST_CONTAINERS, and the tests run against SecantusDB and SeaweedFS",
        served.image()
    )
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
