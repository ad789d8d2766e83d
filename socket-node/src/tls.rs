//! The node's certificate: read at the start, and again whenever the operator says that there is a new one.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::config::TlsFiles;

/// The only protocol that is spoken within TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// A certificate with its key, as it is shown to those who connect now. Cheap to clone: all clones show the same.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: Arc<TlsFiles>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read, or there is nothing in it that is needed.
    #[error("cannot read {what} out of {}: {source}", path.display())]
    Unreadable {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What came in between.
        source: pem::Error,
    },
    /// Both files are read, but cannot serve together.
    #[error("cannot use {} with the key in {}: {source}", certificate.display(), key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(files: TlsFiles) -> Result<Self, CertificateError> {
        let current = Arc::new(RwLock::new(read(&files)?));
        Ok(Self { files: Arc::new(files), current })
    }

    /// Reads the files again, for those who connect from now on. Connections that are open keep what they have.
    ///
    /// # Errors
    /// As in [`load`](Self::load); then the certificate stays the one that it was.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let fresh = read(&self.files)?;
        *self.current.write() = fresh;
        Ok(())
    }

    /// What a new connection is accepted with.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.read()).into()
    }
}

/// SIGHUP, which asks for the certificate to be read again.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// From now on the signal no longer ends the process.
    ///
    /// # Errors
    /// If the runtime cannot take it over.
    pub fn take_over() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Reads the certificate again at every signal, for ever.
    pub async fn renew(mut self, certificate: Certificate) {
        while self.0.recv().await.is_some() {
            // Two small files, a few times a year: not worth a thread.
            match certificate.reload() {
                Ok(()) => info!("the certificate was read again and is shown from now on"),
                Err(error) => error!(%error, "the certificate stays as it is: {error}"),
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(unreadable("a certificate", &files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable("a private key", &files.key))?;
    build(chain, key).map_err(|source| CertificateError::Unfit {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

fn unreadable(what: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> CertificateError {
    move |source| CertificateError::Unreadable { what, path: path.to_owned(), source }
}

fn build(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    // Clients that come back carry their session themselves: nothing is remembered here, and none is forgotten.
    config.ticketer = ring::Ticketer::new()?;
    Ok(Arc::new(config))
}
