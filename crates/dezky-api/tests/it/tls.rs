use std::path::Path;
use std::sync::Arc;

use dezky_api::{HttpConfig, Tls, TlsError};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::served::Served;

/// A certificate of its own for localhost, in two files; what a client must trust.
fn certificate(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

fn load(dir: &Path) -> Result<Tls, TlsError> {
    Tls::load(&dir.join("cert.pem"), &dir.join("key.pem"))
}

#[tokio::test]
async fn requests_come_through_tls() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = certificate(dir.path());
    let served = Served::with(HttpConfig { tls: Some(load(dir.path()).unwrap()), ..HttpConfig::default() }).await;
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = served.base.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
    let request = format!(
        "GET /audit/keys HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"vkey\""), "{answer}");

    // Whoever does not speak it gets no answer.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(matches!(load(dir.path()), Err(TlsError::Io { .. })));
    certificate(dir.path());
    certificate(other.path());
    assert!(load(dir.path()).is_ok());
    std::fs::copy(other.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    assert!(matches!(load(dir.path()), Err(TlsError::Pair(_))));
    std::fs::copy(dir.path().join("cert.pem"), dir.path().join("key.pem")).unwrap();
    assert!(matches!(load(dir.path()), Err(TlsError::Key { .. })));
    std::fs::write(dir.path().join("cert.pem"), "none").unwrap();
    assert!(matches!(load(dir.path()), Err(TlsError::Certificate { .. })));
}
