//! What may befall requests to a cloud on their way: a port in front of the emulator that answers for it, or loses what
//! it answers.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered as it should be.
    None,
    /// It never arrives: the answer is this status, with this code of the service.
    Refuse(u16, &'static str),
    /// It arrives, and its answer does not.
    LoseAnswer,
    /// It is answered only after a while, or never if nobody waits for so long.
    Stall(Duration),
}

/// A port in front of another one, for one HTTP request a connection after the other.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) address: SocketAddr,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Plan {
    target: SocketAddr,
    /// Which requests this is about: those whose head contains it.
    of: &'static str,
    /// What becomes of the next ones, over and over.
    faults: Mutex<Vec<Fault>>,
    /// How many came.
    requests: AtomicUsize,
}

impl Faults {
    /// A port that lets everything through, until it is told what to do to requests with this in their head.
    pub(crate) async fn before(target: SocketAddr, of: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let plan = Arc::new(Plan { target, of, faults: Mutex::default(), requests: AtomicUsize::new(0) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&plan)));
        Self { address, plan, accepting }
    }

    /// Does this to requests by turns from now on.
    pub(crate) fn set(&self, faults: &[Fault]) {
        *self.plan.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults.to_vec();
    }

    /// How many requests of the kind have come until now.
    pub(crate) fn requests(&self) -> usize {
        self.plan.requests.load(Relaxed)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Plan {
    fn next(&self, head: &str) -> Fault {
        if !head.contains(self.of) {
            return Fault::None;
        }
        let number = self.requests.fetch_add(1, Relaxed);
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(number.checked_rem(faults.len()).unwrap_or(0)).copied().unwrap_or(Fault::None)
    }
}

/// Accepts until it is aborted; the connections end with it.
async fn accept(listener: TcpListener, plan: Arc<Plan>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let plan = Arc::clone(&plan);
        // Either side may hang up at any time.
        connections.spawn(async move { drop(serve(stream, &plan).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, plan: &Plan) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (head, body) = message(&mut stream).await?;
        let answer = match plan.next(&head) {
            Fault::None => pass(plan.target, &head, &body).await?,
            Fault::LoseAnswer => {
                pass(plan.target, &head, &body).await?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Fault::Stall(time) => {
                sleep(time).await;
                pass(plan.target, &head, &body).await?
            }
            Fault::Refuse(status, code) => {
                let body =
                    format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"by order of the test"}}"#);
                format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes()
            }
        };
        stream.get_mut().write_all(&answer).await?;
    }
}

/// What the target answers, whole.
async fn pass(target: SocketAddr, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = BufReader::new(TcpStream::connect(target).await?);
    stream.get_mut().write_all(head.as_bytes()).await?;
    stream.get_mut().write_all(body).await?;
    let (head, body) = message(&mut stream).await?;
    Ok([head.as_bytes(), &body].concat())
}

/// A request or an answer: its head, and its body of a known length.
pub(crate) async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}
