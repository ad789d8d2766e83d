//! A stretch of network that misbehaves as a test tells it to: a TCP port in front of another.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    select,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
    try_join,
};

/// The most that is read at once.
const CHUNK: usize = 16 << 10;

/// Chunks of one direction that may be under way; a sender that is further ahead has to wait, as on a full line.
const UNDER_WAY: usize = 1024;

/// How the line behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it should.
    Sound,
    /// Everything arrives so much later, and nothing less of it.
    Delayed(Duration),
    /// At most so many bytes a second pass in each direction of each connection.
    Slow(u32),
    /// Nothing passes, nothing is lost: it all arrives when this is over.
    Stalled,
    /// What is sent vanishes, and nobody is told. New connections are accepted, and not heard either. When this is
    /// over, connections that have lost something are reset.
    BlackHole,
    /// Nobody listens: there are no connections, and new ones are refused.
    Refusing,
}

/// A port that passes on to another one, or to several by turns. Dropping it ends the connections through it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
    /// How often all connections were reset.
    resets: watch::Sender<u64>,
    /// How many connections there were.
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A sound line to this address.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        Self::before(&[target]).await
    }

    /// A sound line to one of these addresses after the other, by connection.
    pub(crate) async fn before(targets: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (line, watched) = watch::channel(Line::Sound);
        let (resets, told) = watch::channel(0);
        let accepted = Arc::default();
        let accepting = tokio::spawn(accept(
            listener,
            targets.to_vec(),
            Faults { line: watched, resets: told },
            Arc::clone(&accepted),
        ));
        Self { address, line, resets, accepted, accepting }
    }

    /// Has the line behave like this from now on, also for the connections that there are.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// How many connections it has accepted until now.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }

    /// Resets all connections. New ones are accepted.
    pub(crate) fn reset_all(&self) {
        self.resets.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a connection has to look out for.
#[derive(Clone, Debug)]
struct Faults {
    line: watch::Receiver<Line>,
    resets: watch::Receiver<u64>,
}

impl Faults {
    /// Waits until the line is as wanted: for ever, if the proxy is gone before.
    async fn until(&mut self, wanted: impl FnMut(&Line) -> bool) {
        if self.line.wait_for(wanted).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Waits until connections are reset, as they are too when the proxy is gone.
    async fn reset(&mut self) {
        select! {
            _ = self.resets.changed() => {}
            _ = self.line.wait_for(|line| *line == Line::Refusing) => {}
        }
    }
}

/// Accepts until it is aborted; the connections end with it.
async fn accept(
    mut listener: TcpListener,
    targets: Vec<SocketAddr>,
    mut faults: Faults,
    accepted: Arc<AtomicUsize>,
) {
    let address = listener.local_addr().expect("it listens");
    let mut targets = targets.into_iter().cycle();
    let mut connections = JoinSet::new();
    loop {
        select! {
            biased;
            () = faults.until(|line| *line == Line::Refusing) => {
                drop(listener);
                faults.until(|line| *line != Line::Refusing).await;
                listener = TcpListener::bind(address).await.expect("nobody has taken the port");
            }
            Ok((client, _)) = listener.accept() => {
                accepted.fetch_add(1, Relaxed);
                let mut faults = faults.clone();
                // What was reset before is not this connection's business.
                faults.resets.mark_unchanged();
                connections.spawn(join(client, targets.next().expect("there is a target"), faults));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Joins a client with the target, until both have said all that they wanted to say, or either is reset. Then both are.
async fn join(mut client: TcpStream, target: SocketAddr, mut faults: Faults) {
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP socket");
    }
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = carry(from_client, to_server, faults.clone());
        let back = carry(from_server, to_client, faults.clone());
        select! {
            ended = async { try_join!(there, back) } => ended.map(drop),
            () = faults.reset() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Has a connection end with a reset as soon as it is dropped.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().expect("a TCP socket");
}

/// Carries what comes in one direction, to its end.
async fn carry(from: ReadHalf<'_>, to: WriteHalf<'_>, faults: Faults) -> io::Result<()> {
    let (chunks, under_way) = mpsc::channel(UNDER_WAY);
    try_join!(take(from, chunks, faults.clone()), give(under_way, to, faults))?;
    Ok(())
}

/// Reads what is sent, each chunk with the time when it is due.
async fn take(
    mut from: ReadHalf<'_>,
    chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    mut faults: Faults,
) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = from.read_buf(&mut chunk).await;
        let line = *faults.line.borrow();
        if line == Line::BlackHole {
            return swallow(from, faults).await;
        }
        // That a connection is reset cannot pass either.
        faults.until(|line| read.is_ok() || *line != Line::Stalled).await;
        if read? == 0 {
            return Ok(());
        }
        let delay = if let Line::Delayed(delay) = line { delay } else { Duration::ZERO };
        if chunks.send((Instant::now() + delay, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

/// Reads on, so that the sender notices nothing, until it may notice that something was lost.
async fn swallow(mut from: ReadHalf<'_>, mut faults: Faults) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let everything = async {
        while matches!(from.read(&mut chunk).await, Ok(1..)) {}
        pending().await
    };
    select! {
        () = everything => {}
        () = faults.until(|line| *line != Line::BlackHole) => {}
    }
    Err(io::ErrorKind::ConnectionReset.into())
}

/// Writes what is due.
async fn give(
    mut under_way: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: WriteHalf<'_>,
    mut faults: Faults,
) -> io::Result<()> {
    while let Some((due, chunk)) = under_way.recv().await {
        sleep_until(due).await;
        faults.until(|line| *line != Line::Stalled).await;
        to.write_all(&chunk).await?;
        let line = *faults.line.borrow();
        if let Line::Slow(rate) = line {
            let length = u32::try_from(chunk.len()).expect("a chunk is small");
            sleep(Duration::from_secs(1) * length / rate).await;
        }
    }
    faults.until(|line| *line != Line::Stalled).await;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// What must not come is waited for so long.
    const BRIEFLY: Duration = Duration::from_millis(100);

    /// What must come may take so long.
    const DEADLINE: Duration = Duration::from_secs(5);

    /// A line to a server that sends back whatever it gets, and a connection through it that has been used.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::to(listener.local_addr().expect("it listens")).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let mut stream = TcpStream::connect(proxy.address).await.expect("it listens");
        exchange(&mut stream, b"hello").await.expect("a sound line");
        (proxy, stream)
    }

    async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        receive(stream, bytes).await
    }

    /// Reads what must be these bytes.
    async fn receive(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        let mut back = vec![0; bytes.len()];
        timeout(DEADLINE, stream.read_exact(&mut back)).await.expect("an answer in time")?;
        assert_eq!(back, bytes);
        Ok(())
    }

    async fn assert_silent(stream: &mut TcpStream) {
        let read = timeout(BRIEFLY, stream.read_u8()).await;
        assert!(read.is_err(), "{read:?} came");
    }

    #[tokio::test]
    async fn a_delayed_line_is_late_in_both_directions_and_as_fast_as_before() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Line::Delayed(BRIEFLY));
        let sent = Instant::now();
        for part in [b"one", b"two", b"six"] {
            stream.write_all(part).await.expect("it is open");
        }
        receive(&mut stream, b"onetwosix").await.expect("it is open");
        assert!(sent.elapsed() >= 2 * BRIEFLY && sent.elapsed() < 6 * BRIEFLY, "{:?}", sent.elapsed());
    }

    #[tokio::test]
    async fn a_slow_line_lets_so_many_bytes_a_second_pass() {
        let (proxy, mut stream) = echo().await;
        let bytes = vec![b'x'; 3 * CHUNK];
        proxy.set(Line::Slow(10 * u32::try_from(CHUNK).expect("it is small")));
        let sent = Instant::now();
        exchange(&mut stream, &bytes).await.expect("it is open");
        assert!(sent.elapsed() >= 2 * BRIEFLY, "{:?}", sent.elapsed());
    }

    #[tokio::test]
    async fn a_stalled_line_loses_nothing() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Line::Stalled);
        stream.write_all(b"patience").await.expect("it is open");
        assert_silent(&mut stream).await;
        proxy.set(Line::Sound);
        receive(&mut stream, b"patience").await.expect("it is open");
    }

    #[tokio::test]
    async fn a_black_hole_tells_nobody_until_it_is_over() {
        let (proxy, mut stream) = echo().await;
        let mut unharmed = TcpStream::connect(proxy.address).await.expect("it listens");
        exchange(&mut unharmed, b"hello").await.expect("a sound line");
        proxy.set(Line::BlackHole);
        let mut new = TcpStream::connect(proxy.address).await.expect("it listens");
        for stream in [&mut stream, &mut new] {
            stream.write_all(b"anybody?").await.expect("it is open");
            assert_silent(stream).await;
        }
        proxy.set(Line::Sound);
        for stream in [&mut stream, &mut new] {
            let lost = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("it is lost");
            assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
        }
        exchange(&mut unharmed, b"still here").await.expect("it lost nothing");
    }

    #[tokio::test]
    async fn a_line_that_refuses_has_no_connections_and_takes_none() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Line::Refusing);
        let lost = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("it is reset");
        assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
        until(&proxy, |connected| {
            connected.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        })
        .await;
        proxy.set(Line::Sound);
        until(&proxy, Result::is_ok).await;
    }

    /// Connects again and again until that has come to what is wanted.
    async fn until(proxy: &Proxy, wanted: impl Fn(&io::Result<TcpStream>) -> bool) {
        let connecting = async { while !wanted(&TcpStream::connect(proxy.address).await) {} };
        timeout(DEADLINE, connecting).await.expect("the line obeys in time");
    }

    #[tokio::test]
    async fn connections_are_reset_and_new_ones_are_not() {
        let (proxy, mut stream) = echo().await;
        proxy.reset_all();
        let lost = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("it is reset");
        assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
        let mut new = TcpStream::connect(proxy.address).await.expect("it listens");
        exchange(&mut new, b"hello").await.expect("a sound line");
    }
}
