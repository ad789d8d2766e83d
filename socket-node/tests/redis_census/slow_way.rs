//! A way to Redis on which everything takes longer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::sleep,
};

pub(crate) struct SlowWay {
    pub(crate) port: u16,
    delay_ms: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl SlowWay {
    /// A way to the server on this port, which is not slow yet.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let delay_ms = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, target, delay_ms.clone()));
        Self { port, delay_ms, accepting }
    }

    /// From now on, everything arrives so much later, in both directions.
    pub(crate) fn delay_ms(&self, delay_ms: u64) {
        self.delay_ms.store(delay_ms, Relaxed);
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, delay_ms: Arc<AtomicU64>) {
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(carry(from_client, to_server, delay_ms.clone()));
        tokio::spawn(carry(from_server, to_client, delay_ms.clone()));
    }
}

/// Carries bytes to the end of either side.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: Arc<AtomicU64>) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let delay = Duration::from_millis(delay_ms.load(Relaxed));
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
