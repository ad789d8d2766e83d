//! Certificates that a test makes itself, and connections that trust no others.

use std::{
    fs::OpenOptions, io::Write as _, net::SocketAddr, os::unix::fs::OpenOptionsExt as _, path::Path,
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The files in a server's home that have its certificate and its key.
pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const KEY: &str = "key.pem";

/// A certificate for `localhost` and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What a node needs, in PEM.
    pub(crate) certificate: String,
    /// What a node needs, in PEM.
    pub(crate) key: String,
    trusted: CertificateDer<'static>,
}

impl Identity {
    /// One like no other.
    pub(crate) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("the names are legal");
        Self { certificate: cert.pem(), key: signing_key.serialize_pem(), trusted: cert.der().clone() }
    }

    /// Puts both where a server runs, so that nobody else may read them: PostgreSQL insists on it.
    pub(super) fn put_into(&self, home: &Path) {
        for (name, text) in [(CERTIFICATE, &self.certificate), (KEY, &self.key)] {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.join(name));
            file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the directory is ours");
        }
    }

    /// A connection to a server that shows this very certificate, in this version of TLS.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).expect("it was made well");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider knows both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.expect("the node listens");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
