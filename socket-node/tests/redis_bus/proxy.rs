//! A way to Redis that can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) struct Proxy {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    cuts: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A way to the server on this port.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let accepted = Arc::<AtomicUsize>::default();
        let cuts = watch::Sender::new(());
        let accepting = tokio::spawn(accept(listener, target, accepted.clone(), cuts.clone()));
        Self { port, accepted, cuts, accepting }
    }

    /// Resets all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: u16, accepted: Arc<AtomicUsize>, cuts: watch::Sender<()>) {
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        accepted.fetch_add(1, Relaxed);
        tokio::spawn(carry(client, target, cuts.subscribe()));
    }
}

/// Carries bytes both ways until one side ends, or the connection is cut: then both sides get a reset.
async fn carry(mut client: TcpStream, target: u16, mut cuts: watch::Receiver<()>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {
            for side in [&client, &server] {
                side.set_zero_linger().expect("a socket");
            }
        }
    }
}
