//! A customer's webhook endpoint: answers 200 to everything and keeps what it got.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

/// How long a webhook may take: those that wait for a flap to be over take three seconds by themselves.
const DEADLINE: Duration = Duration::from_secs(10);

/// One webhook as it arrived.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes that were signed.
    pub(crate) body: String,
}

impl Delivery {
    /// The value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What happened, by the names of the events.
    pub(crate) fn names(&self) -> Vec<String> {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body));
        let events = body["events"].as_array().unwrap_or_else(|| panic!("no events in {}", self.body));
        events.iter().map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// A listening endpoint.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Where webhooks are to be sent.
    pub(crate) url: String,
    deliveries: mpsc::Receiver<Delivery>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a free port of the loopback address.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("it listens"));
        let (sender, deliveries) = mpsc::channel(1000);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Self { url, deliveries, accepting }
    }

    /// The next webhook.
    pub(crate) async fn next(&mut self) -> Delivery {
        let delivery = timeout(DEADLINE, self.deliveries.recv()).await;
        delivery.unwrap_or_else(|_| panic!("no webhook within {DEADLINE:?}")).expect("it accepts for ever")
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

/// Answers the requests of one connection, until it ends or nobody wants them any more.
async fn serve(stream: TcpStream, deliveries: mpsc::Sender<Delivery>) {
    let mut stream = BufReader::new(stream);
    while let Some(delivery) = request(&mut stream).await {
        let answered = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        if deliveries.send(delivery).await.is_err() || answered.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Delivery> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<_> = lines.iter().filter_map(|line| line.split_once(':')).collect();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Delivery { headers, body: String::from_utf8(body).ok()? })
}
