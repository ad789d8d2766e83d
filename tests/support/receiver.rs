//! A customer's webhook endpoint: keeps what it gets, and answers 200 unless it was told otherwise.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// How long a webhook may take: those that wait for a flap to be over take three seconds by themselves, those that
/// follow a request without an answer five.
const DEADLINE: Duration = Duration::from_secs(15);

/// Webhooks that may arrive without being asked for.
const MAX_ARRIVED: usize = 100_000;

/// What the endpoint does with a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status and a place to go to.
    Redirect(u16, String),
    /// Answers 200 after a while, to those who wait for it.
    Slow(Duration),
    /// Never answers.
    Hang,
    /// Resets the connection in the middle of the answer's first line.
    Reset,
    /// Answers 200 and resets the connection in the middle of the body.
    ResetInBody,
    /// Answers 200 with a body that nobody would want to read to its end.
    HugeBody,
}

/// One webhook as it arrived.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// When it was complete.
    pub(crate) at: Instant,
    /// Request line and headers, byte for byte.
    pub(crate) head: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes that were signed.
    pub(crate) body: String,
    /// What was done with it.
    pub(crate) answer: Answer,
}

impl Delivery {
    /// The value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where it was sent to.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).expect("a request line has a path")
    }

    /// What happened.
    pub(crate) fn events(&self) -> Vec<Value> {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body));
        body["events"].as_array().unwrap_or_else(|| panic!("no events in {}", self.body)).clone()
    }

    /// What happened, by the names of the events.
    pub(crate) fn names(&self) -> Vec<String> {
        self.events().iter().map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// A listening endpoint.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Where webhooks are to be sent, unless a test tells paths apart.
    pub(crate) url: String,
    address: SocketAddr,
    plan: Arc<Plan>,
    arriving: mpsc::Sender<Delivery>,
    deliveries: mpsc::Receiver<Delivery>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a free port of the loopback address.
    pub(crate) async fn start() -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into());
        let address = listener.local_addr().expect("it listens");
        let (arriving, deliveries) = mpsc::channel(MAX_ARRIVED);
        let plan = Arc::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&plan), arriving.clone()));
        Self { url: format!("http://{address}/hook"), address, plan, arriving, deliveries, accepting }
    }

    /// The URL of another path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next webhooks on a path like this, one after the other, and those that follow with 200.
    pub(crate) fn answer(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.plan.lock().entry(path.to_owned()).or_default().once.extend(answers);
    }

    /// Answers all webhooks on a path like this, until something else is said.
    pub(crate) fn always_answer(&self, path: &str, answer: Answer) {
        self.plan.lock().entry(path.to_owned()).or_default().always = Some(answer);
    }

    /// Refuses connections from now on, and cuts off those that there are.
    pub(crate) async fn refuse(&mut self) {
        self.accepting.abort();
        let _aborted = (&mut self.accepting).await;
    }

    /// Accepts connections again.
    pub(crate) async fn accept_again(&mut self) {
        let listener = listen(self.address);
        self.accepting = tokio::spawn(accept(listener, Arc::clone(&self.plan), self.arriving.clone()));
    }

    /// The next webhook.
    pub(crate) async fn next(&mut self) -> Delivery {
        self.next_within(DEADLINE).await
    }

    /// The same, with another deadline.
    pub(crate) async fn next_within(&mut self, deadline: Duration) -> Delivery {
        let delivery = timeout(deadline, self.deliveries.recv()).await;
        delivery.unwrap_or_else(|_| panic!("no webhook within {deadline:?}")).expect("it accepts for ever")
    }

    /// The next so many webhooks.
    pub(crate) async fn next_some(&mut self, count: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(count);
        while deliveries.len() < count {
            deliveries.push(self.next().await);
        }
        deliveries
    }

    /// How long each of those waited who hung up before they were answered.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.plan.seen().waits.clone()
    }

    /// How much of each huge body was written until the connection ended. What nobody has read of it fits the buffers of
    /// both sockets.
    pub(crate) fn written(&self) -> Vec<usize> {
        self.plan.seen().written.clone()
    }

    /// What has arrived and was not asked for yet.
    pub(crate) fn arrived(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.deliveries.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What to do with webhooks, by path.
#[derive(Debug, Default)]
struct Plan {
    paths: Mutex<HashMap<String, Answers>>,
    seen: Mutex<Seen>,
}

/// What became of answers that were not simply read.
#[derive(Debug, Default)]
struct Seen {
    waits: Vec<Duration>,
    written: Vec<usize>,
}

#[derive(Debug, Default)]
struct Answers {
    once: VecDeque<Answer>,
    always: Option<Answer>,
}

impl Plan {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Answers>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, path: &str) -> Answer {
        let mut paths = self.lock();
        let answers = paths.get_mut(path);
        let planned = answers.and_then(|answers| answers.once.pop_front().or_else(|| answers.always.clone()));
        planned.unwrap_or(Answer::Status(200))
    }
}

/// Listens with small buffers, so that what is written of a huge answer is mostly what was read of it.
fn listen(address: SocketAddr) -> TcpListener {
    const SEND_BUFFER: u32 = 64 << 10;
    let listening = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        // As every listener of tokio's does it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    listening().expect("nobody has taken the port")
}

/// Accepts until it is aborted; the connections end with it.
async fn accept(listener: TcpListener, plan: Arc<Plan>, arriving: mpsc::Sender<Delivery>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (plan, arriving) = (Arc::clone(&plan), arriving.clone());
        // The node may hang up at any time.
        connections.spawn(async move { drop(serve(stream, &plan, &arriving).await) });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the requests of one connection, until it ends.
async fn serve(stream: TcpStream, plan: &Plan, arriving: &mpsc::Sender<Delivery>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut delivery = request(&mut stream).await?;
        delivery.answer = plan.next(delivery.path());
        let answer = delivery.answer.clone();
        // Nobody may be there to ask for it any more.
        let _ = arriving.send(delivery).await;
        give(answer, stream.get_mut(), plan).await?;
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Delivery> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Delivery { at: Instant::now(), head, headers, body, answer: Answer::Status(200) })
}

/// Answers; an error ends the connection.
async fn give(answer: Answer, stream: &mut TcpStream, plan: &Plan) -> io::Result<()> {
    match answer {
        Answer::Status(status) => status_line(stream, status, "").await,
        Answer::Redirect(status, to) => status_line(stream, status, &format!("Location: {to}\r\n")).await,
        Answer::Slow(time) => {
            // Whoever asks says nothing more, so anything that comes is the end of the connection.
            let hung_up = timeout(time, until_closed(stream, plan)).await;
            hung_up.unwrap_or(Ok(()))?;
            status_line(stream, 200, "").await
        }
        Answer::Hang => until_closed(stream, plan).await,
        Answer::Reset => {
            stream.write_all(b"HTTP/1.1 20").await?;
            reset(stream)
        }
        Answer::ResetInBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning").await?;
            // The head has to be read before the reset, which would overtake it.
            sleep(Duration::from_millis(100)).await;
            reset(stream)
        }
        Answer::HugeBody => huge(stream, plan).await,
    }
}

async fn status_line(stream: &mut TcpStream, status: u16, head: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{head}\r\n").as_bytes()).await
}

async fn until_closed(stream: &mut TcpStream, plan: &Plan) -> io::Result<()> {
    let began = Instant::now();
    let ended = stream.read_u8().await;
    plan.seen().waits.push(began.elapsed());
    ended?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Writes a gibibyte, or as much of it as is wanted.
async fn huge(stream: &mut TcpStream, plan: &Plan) -> io::Result<()> {
    const HUGE: usize = 1 << 30;
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n").as_bytes()).await?;
    let chunk = vec![b'x'; 64 << 10];
    let (mut written, mut failed) = (0, Ok(()));
    while failed.is_ok() && written < HUGE {
        match stream.write(&chunk).await {
            Ok(bytes) => written += bytes,
            Err(error) => failed = Err(error),
        }
    }
    plan.seen().written.push(written);
    failed
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()?;
    Err(io::ErrorKind::ConnectionReset.into())
}
