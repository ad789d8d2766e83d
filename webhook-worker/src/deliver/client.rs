//! The HTTP client: what it connects to, whom it trusts, and how many connections it keeps.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::target::{AddressPolicy, GuardedResolver};

/// How long an unused connection is kept. Shorter than the five seconds after which common receivers close theirs,
/// so that a request seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

/// Unused connections kept to one host.
const IDLE_PER_HOST: usize = 8;

/// How long the head of an answer may be. Its headers are not looked at, but for one.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// A client that speaks HTTP/1.1, follows no redirect and asks no proxy: whatever would send it elsewhere than to
/// the address that was checked is not merely switched off, it is not there.
pub(super) type Client =
    legacy::Client<HttpsConnector<HttpConnector<GuardedResolver<GaiResolver>>>, Full<Bytes>>;

/// A client that reaches as far as `policy` and trusts the usual authorities.
pub(super) fn new(policy: AddressPolicy) -> Client {
    trusting(trusted_roots(), policy)
}

fn trusting(roots: RootCertStore, policy: AddressPolicy) -> Client {
    let mut http = HttpConnector::new_with_resolver(GuardedResolver::new(GaiResolver::new(), policy));
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls(roots))
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        // PHP receivers read the header `X-Pusher-Key` in this very case.
        .http1_title_case_headers(true)
        .build(https)
}

/// TLS 1.2 and 1.3 with ring, which needs no C library to be built and leaves the process-wide default alone.
fn tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for both versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The authorities that the system trusts, among them those an operator has added (`SSL_CERT_FILE` names others).
/// Mozilla's list stands in where a container brings none.
fn trusted_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use hyper::{Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
    use tokio::{net::TcpListener, task::JoinSet};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Issuer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A server on the loopback interface whose certificate is for `name`, and its port.
    async fn serve(name: &str, issuer: Option<&Issuer>, expired: bool) -> (u16, JoinSet<()>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = JoinSet::new();
        server.spawn(answer(listener, TlsAcceptor::from(Arc::new(config))));
        (port, server)
    }

    async fn answer(listener: TcpListener, acceptor: TlsAcceptor) {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not trust us breaks off here.
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let ok = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, hyper::Error>(hyper::Response::new(request.into_body()))
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), ok).await;
    }

    /// What a client that trusts `issuer` gets from `https://localhost`.
    async fn get(port: u16, issuer: &Issuer) -> Result<StatusCode, String> {
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let client = trusting(roots, AddressPolicy::public_and_private());
        let request = Request::post(format!("https://localhost:{port}/")).body(Full::default()).unwrap();
        let response = client.request(request).await;
        response.map(|response| response.status()).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn a_server_with_a_trusted_certificate_is_talked_to() {
        let issuer = authority("trusted");
        let (port, _server) = serve("localhost", Some(&issuer), false).await;
        assert_eq!(get(port, &issuer).await, Ok(StatusCode::OK));
    }

    #[tokio::test]
    async fn servers_with_other_certificates_are_not() {
        let (issuer, stranger) = (authority("trusted"), authority("stranger"));
        let cases = [
            ("of an unknown authority", serve("localhost", Some(&stranger), false).await, "UnknownIssuer"),
            ("signed by itself", serve("localhost", None, false).await, "UnknownIssuer"),
            ("for another name", serve("example.com", Some(&issuer), false).await, "NotValidForName"),
            ("that has expired", serve("localhost", Some(&issuer), true).await, "Expired"),
        ];
        for (what, (port, _server), expected) in cases {
            let error = get(port, &issuer).await.unwrap_err();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn there_is_always_somebody_to_trust() {
        assert!(!trusted_roots().is_empty());
    }
}
