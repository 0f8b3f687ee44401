//! Which servers there are, and what each needs until it can be used.

use std::time::{Duration, Instant};

use anyhow::bail;
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort as _};
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};

/// How long a server may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a replica set of one where there is none yet, and waits until it can be written to: so a majority and its journal are
/// what they are in production, but for the fail-over.
const REPLICA_SET: &str = "\
try { rs.status() } catch (none) { rs.initiate({ _id: 'rs0', members: [{ _id: 0, host: '127.0.0.1:27017' }] }) }
while (!db.hello().isWritablePrimary) sleep(50)";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Served {
    Mongo,
    Minio,
}

impl Served {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "mongo" => Some(Self::Mongo),
            "minio" => Some(Self::Minio),
            _ => None,
        }
    }

    pub(crate) fn image(self) -> String {
        let (name, tag, _) = self.parts();
        format!("{name}:{tag}")
    }

    /// Name, tag, and the port inside. MinIO's is the last image that was published.
    fn parts(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::Mongo => ("mongo", "8", 27_017),
            Self::Minio => ("minio/minio", "RELEASE.2025-09-07T16-13-09Z", 9_000),
        }
    }

    /// The container, reachable on this port of this machine only.
    pub(crate) fn request(self, port: u16) -> ContainerRequest<GenericImage> {
        let (name, tag, inside) = self.parts();
        let request = GenericImage::new(name, tag).with_mapped_port(port, inside.tcp()).with_host_config_modifier(|config| {
            for binding in config.port_bindings.iter_mut().flat_map(|ports| ports.values_mut()).flatten().flatten() {
                binding.host_ip = Some("127.0.0.1".to_owned());
            }
        });
        match self {
            Self::Mongo => request.with_cmd(["mongod", "--replSet", "rs0", "--bind_ip_all"]),
            // The owner of dezky-testkit's SeaweedFS, too.
            Self::Minio => request
                .with_cmd(["server", "/data"])
                .with_env_var("MINIO_ROOT_USER", "dezky-owner")
                .with_env_var("MINIO_ROOT_PASSWORD", "owner-secret"),
        }
    }

    /// Returns once the server can be used, as far as that takes more than that it answers, which the test itself waits for.
    pub(crate) async fn make_ready(self, container: &ContainerAsync<GenericImage>) -> anyhow::Result<()> {
        if matches!(self, Self::Minio) {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            let shell = ExecCommand::new(["mongosh", "--quiet", "--eval", REPLICA_SET]);
            let error = match container.exec(shell.with_cmd_ready_condition(CmdWaitFor::exit_code(0))).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            // The server does not listen yet.
            if began.elapsed() > PATIENCE || !container.is_running().await? {
                let log = container.stdout_to_vec().await.unwrap_or_default();
                bail!("MongoDB in its container did not become a replica set: {error}\n{}", String::from_utf8_lossy(&log));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
