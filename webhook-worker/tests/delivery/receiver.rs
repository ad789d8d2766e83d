//! A webhook receiver that answers as it is told and remembers what it was sent, byte for byte.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::fixtures::PATIENCE;

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Answers with this status and these further lines of head.
    Status(u16, &'static str),
    /// Answers 200 after a while.
    After(Duration),
    /// Never answers.
    Hang,
    /// Resets the connection instead of an answer.
    Reset,
    /// Answers 200 with the beginning of a body, then resets the connection.
    ResetInBody,
    /// Answers 200 with the beginning of a body, and no more.
    HangInBody,
    /// Answers 200 with a body of one GiB.
    HugeBody,
}

impl Answer {
    pub(crate) const OK: Self = Self::Status(200, "");
    pub(crate) const ERROR: Self = Self::Status(500, "");
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// When it was complete.
    pub(crate) at: Instant,
    /// Request line and headers, in the case in which they were written.
    pub(crate) head: String,
    pub(crate) body: String,
    /// Which connection it came on, from 1.
    pub(crate) connection: usize,
    /// What was done with it.
    pub(crate) answer: Answer,
}

impl Received {
    /// The value of the header that is spelt exactly like this.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The `data` of its events.
    pub(crate) fn data(&self) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("webhooks are JSON");
        let events = body["events"].as_array().expect("events are a list");
        events.iter().map(|event| event["data"].as_str().expect("data is a string").to_owned()).collect()
    }

    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.answer, Answer::Status(200, _) | Answer::After(_))
    }
}

type Script = Box<dyn Fn(&Received) -> Answer + Send + Sync>;

/// A running receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    script: Script,
    received: Mutex<Vec<Received>>,
    seen: watch::Sender<Seen>,
}

/// Figures that tests wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) connections: usize,
    /// Requests that wait for their answer, now and at the worst of times.
    pub(crate) open: usize,
    pub(crate) most_open: usize,
    /// Bytes of a huge body that could be written before the other side had enough.
    pub(crate) written: Option<usize>,
}

impl Receiver {
    /// A receiver that answers every request alike.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::scripted(move |_| answer.clone()).await
    }

    /// A receiver that looks at each request before it answers. The request's own `answer` means nothing yet.
    pub(crate) async fn scripted(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            received: Mutex::default(),
            seen: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(crate) fn url_with_host(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.port)
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.shared.seen.borrow()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// Everything that was received, once `enough` is true.
    pub(crate) async fn wait_until(&self, enough: impl FnMut(&Seen) -> bool) -> Vec<Received> {
        let mut seen = self.shared.seen.subscribe();
        let waited =
            timeout(PATIENCE, seen.wait_for(enough)).await.map(|seen| *seen.expect("the sender is ours"));
        waited.unwrap_or_else(|_| panic!("waited too long: {:?}", self.seen()));
        self.received()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for connection in 1.. {
        let (stream, _) = listener.accept().await.expect("there are file descriptors left");
        shared.seen.send_modify(|seen| seen.connections += 1);
        let shared = Arc::clone(&shared);
        // The other side may break off at any time; that is what is tested.
        connections.spawn(async move { drop(serve(stream, connection, &shared).await) });
    }
}

async fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = read_request(&mut stream, connection).await?;
        request.answer = (shared.script)(&request);
        let answer = request.answer.clone();
        shared.received.lock().push(request);
        shared.seen.send_modify(|seen| {
            seen.requests += 1;
            seen.open += 1;
            seen.most_open = seen.most_open.max(seen.open);
        });
        let answered = give(answer, stream.get_mut(), shared).await;
        shared.seen.send_modify(|seen| seen.open -= 1);
        answered?;
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> io::Result<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut request = Received {
        at: Instant::now(),
        head: String::from_utf8(head).expect("heads are ASCII"),
        body: String::new(),
        connection,
        answer: Answer::Hang,
    };
    let length =
        request.header("Content-Length").map_or(0, |length| length.parse().expect("a length is a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8(body).expect("JSON is UTF-8");
    request.at = Instant::now();
    Ok(request)
}

async fn give(answer: Answer, stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    match answer {
        Answer::Status(status, head) => {
            let length = if status == 204 { "" } else { "Content-Length: 2\r\n" };
            let body = if status == 204 { "" } else { "ok" };
            stream.write_all(format!("HTTP/1.1 {status} X\r\n{length}{head}\r\n{body}").as_bytes()).await
        }
        Answer::After(while_) => {
            sleep(while_).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await
        }
        Answer::Hang => until_closed(stream).await,
        Answer::Reset => reset(stream),
        Answer::ResetInBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning").await?;
            // The head has to be read before the reset, which would overtake it.
            sleep(Duration::from_millis(50)).await;
            reset(stream)
        }
        Answer::HangInBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning").await?;
            until_closed(stream).await
        }
        Answer::HugeBody => huge(stream, shared).await,
    }
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    stream.read_u8().await?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()?;
    Err(io::ErrorKind::ConnectionReset.into())
}

async fn huge(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    const GIB: usize = 1 << 30;
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n").as_bytes()).await?;
    let chunk = vec![b'x'; 64 * 1024];
    let mut written = 0;
    let mut failed = Ok(());
    while failed.is_ok() && written < GIB {
        failed = stream.write_all(&chunk).await;
        written += chunk.len();
    }
    shared.seen.send_modify(|seen| seen.written = Some(written));
    failed
}
