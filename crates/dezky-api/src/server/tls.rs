//! TLS in front of the requests: a certificate and its key in PEM files, looked at again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no certificate in PEM")]
    Certificate { path: PathBuf },
    #[error("{path} holds no private key in PEM")]
    Key { path: PathBuf },
    #[error("the certificate and the key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// A certificate with its key. Clones are the same.
///
/// The files are looked at again, at a new connection, at most every 30 seconds; when they have changed and can be used, new
/// connections get the new certificate. Files that cannot be used change nothing, and are told to the log.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    read: Stamp,
    looked: Instant,
}

/// When the two files were written last.
type Stamp = [Option<SystemTime>; 2];

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.0.certificate).finish()
    }
}

impl Tls {
    /// Reads both files: the certificate with those that lead to its authority behind it, and its key (PKCS#8, PKCS#1 or SEC 1).
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = stamp(certificate, key);
        let config = config(certificate, key)?;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self(Arc::new(Shared { certificate, key, state: Mutex::new(State { config, read, looked: Instant::now() }) })))
    }

    /// The stream inside, once the handshake is done.
    ///
    /// # Errors
    /// When the client does not speak TLS, or nothing that is spoken here.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current()).accept(stream).await
    }

    fn current(&self) -> Arc<ServerConfig> {
        let Shared { certificate, key, state } = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_AGAIN {
            state.looked = Instant::now();
            let now = stamp(certificate, key);
            if now != state.read {
                match config(certificate, key) {
                    Ok(config) => {
                        tracing::info!(certificate = %certificate.display(), "the certificate was read again");
                        (state.config, state.read) = (config, now);
                    }
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the new certificate cannot be used; the old one stays"
                        );
                    }
                }
            }
        }
        Arc::clone(&state.config)
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source });
    let none = || TlsError::Certificate { path: certificate.to_owned() };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>().map_err(|_| none())?;
    if chain.is_empty() {
        return Err(none());
    }
    let secret = PrivateKeyDer::from_pem_slice(&zeroize::Zeroizing::new(read(key)?));
    let secret = secret.map_err(|_| TlsError::Key { path: key.to_owned() })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
