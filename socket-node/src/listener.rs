//! The port: accepting connections and handing their requests out.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{connection::Sockets, http::Http, tls::Certificate};

/// Connections that wait to be accepted. After the death of a node thousands come at once, and one that finds no
/// place here tries again only a second later.
const BACKLOG: u32 = 4096;

/// Time for a new connection's TLS handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Time for a new connection's first request to arrive whole.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Time that a connection may be idle between two requests, at the least: longer than load balancers keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// Bytes that the kernel holds for a socket before it says that it is full. What is beyond is in our own backlog,
/// where it is counted and bounded.
const NOT_SENT: u32 = 64 * 1024;

/// Pause after a failed accept: without descriptors the next try fails as well, and the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the port.
///
/// # Errors
/// If the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What answers requests: WebSocket handshakes go to the sockets, all else to the HTTP API.
#[derive(Clone, Debug)]
pub struct Front {
    /// Where handshakes go.
    pub sockets: Sockets,
    /// Where everything else goes.
    pub http: Http,
    /// With it, the port speaks TLS, and nothing else.
    pub certificate: Option<Certificate>,
}

/// Accepts connections until `closing` changes. Those that are open then answer the request that they are at; each
/// keeps a clone of `closing` until it is done.
pub async fn serve(listener: TcpListener, front: Front, mut closing: watch::Receiver<()>) {
    let is_closing = closing.clone();
    let accepting = accept(listener, |stream| {
        tokio::spawn(serve_connection(stream, front.clone(), is_closing.clone()));
    });
    tokio::select! {
        never = accepting => match never {},
        _ = closing.changed() => {}
    }
}

/// Accepts connections until it is dropped, and hands them over.
pub async fn accept(listener: TcpListener, mut take: impl FnMut(TcpStream)) -> Infallible {
    let mut is_failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                is_failing = false;
                take(stream);
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(%error, "no connection can be accepted: {error}");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, front: Front, closing: watch::Receiver<()>) {
    prepare(&stream);
    let Some(certificate) = &front.certificate else {
        return serve_requests(stream, front, closing).await;
    };
    match timeout(TLS_HANDSHAKE, certificate.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => serve_requests(stream, front, closing).await,
        Ok(Err(error)) => debug!(%error, "a TLS handshake failed: {error}"),
        Err(_) => debug!("a TLS handshake was not done in time"),
    }
}

async fn serve_requests<S>(stream: S, front: Front, mut closing: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = service_fn({
        let activity = Arc::clone(&activity);
        move |request| activity.clone().watch(front.clone().answer(request))
    });
    let mut connection = Box::pin(
        http1::Builder::new()
            // One write for an answer's head and body together: they are small, and two slices cost more than a copy.
            .writev(false)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades(),
    );
    let (mut patience, mut seen) = (FIRST_REQUEST, 0);
    let served = loop {
        tokio::select! {
            biased;
            served = &mut connection => break served,
            () = sleep(patience) => {
                if activity.is_idle_since(seen) {
                    return debug!("a connection sent no request in time");
                }
                (patience, seen) = (KEEP_ALIVE, activity.begun.load(Relaxed));
            }
            _ = closing.changed() => {
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
        }
    };
    if let Err(error) = served {
        debug!(%error, "an HTTP connection ended early: {error}");
    }
}

/// What a connection's requests are up to. Looked at once in a while, it replaces a timer for every request.
#[derive(Debug, Default)]
struct Activity {
    /// Requests whose head has arrived.
    begun: AtomicUsize,
    /// Those of them that have been answered.
    answered: AtomicUsize,
}

impl Activity {
    async fn watch<T>(self: Arc<Self>, answer: impl Future<Output = T>) -> T {
        self.begun.fetch_add(1, Relaxed);
        let answer = answer.await;
        self.answered.fetch_add(1, Relaxed);
        answer
    }

    /// Whether no request has come since there were `seen` of them, and none is being answered.
    fn is_idle_since(&self, seen: usize) -> bool {
        let begun = self.begun.load(Relaxed);
        begun == seen && begun == self.answered.load(Relaxed)
    }
}

/// Sends small frames at once, and keeps what waits out of the kernel. Where a system lacks an option, the connection
/// works all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT);
}

impl Front {
    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if Sockets::is_meant(&request) {
            Ok(self.sockets.upgrade(request))
        } else {
            Ok(self.http.answer(request).await)
        }
    }
}
