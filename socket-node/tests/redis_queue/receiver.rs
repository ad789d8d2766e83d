//! An endpoint that answers as it is told, and remembers what it was sent.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::world::DEADLINE;

/// An attempt to deliver.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) delivery: String,
    pub(crate) number: u32,
    pub(crate) channel: String,
    pub(crate) data: String,
    pub(crate) status: u16,
}

pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

struct Shared {
    attempts: Mutex<Vec<Attempt>>,
    /// What is answered; 0 is no answer at all.
    status: watch::Sender<u16>,
    count: watch::Sender<usize>,
}

impl Receiver {
    pub(crate) async fn answering(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, count) = (watch::Sender::new(status), watch::Sender::new(0));
        let shared = Arc::new(Shared { attempts: Mutex::default(), status, count });
        let mut accepting = JoinSet::new();
        let for_all = Arc::clone(&shared);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&for_all);
                // A node that is killed leaves in the middle of a request.
                connections.spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        Self { port, shared, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Answers like this from now on, also those who wait for an answer.
    pub(crate) fn answer(&self, status: u16) {
        self.shared.status.send_replace(status);
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().clone()
    }

    /// Waits until the attempts are enough.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&[Attempt]) -> bool) {
        let mut count = self.shared.count.subscribe();
        let waited = timeout(DEADLINE, count.wait_for(|_| enough(&self.shared.attempts.lock()))).await;
        assert!(waited.is_ok(), "{what}: waited too long with {} attempts", self.attempts().len());
    }

    /// Waits until so many jobs have been delivered, and looks at the order: in every channel, what was attempted for
    /// the first time came in the order of its data. Gives how many deliveries were repeats.
    pub(crate) async fn delivered_in_order(&self, jobs: usize) -> usize {
        let accepted = |attempts: &[Attempt]| {
            let accepted = attempts.iter().filter(|attempt| attempt.status == 200);
            accepted.map(|attempt| attempt.delivery.clone()).collect::<HashSet<_>>().len()
        };
        self.until("delivered", |attempts| accepted(attempts) >= jobs).await;
        let attempts = self.attempts();
        assert_eq!(accepted(&attempts), jobs);
        let (mut last, mut known, mut repeats) = (HashMap::<_, u64>::new(), HashMap::new(), 0);
        for attempt in attempts.iter().filter(|attempt| attempt.status == 200) {
            let data: u64 = attempt.data.parse().unwrap();
            if let Some(before) = known.insert(&attempt.delivery, (&attempt.channel, data)) {
                assert_eq!(before, (&attempt.channel, data));
                repeats += 1;
                continue;
            }
            let expected = last.get(&attempt.channel).map_or(0, |last| last + 1);
            assert_eq!(data, expected, "on {}", attempt.channel);
            last.insert(&attempt.channel, data);
        }
        repeats
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await?;
        let mut status = shared.status.subscribe();
        let status = *status.wait_for(|status| *status != 0).await.unwrap();
        shared.attempts.lock().push(read(&headers, &body, status));
        shared.count.send_modify(|count| *count += 1);
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

fn read(headers: &HashMap<String, String>, body: &[u8], status: u16) -> Attempt {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let text = |key: &str| body["events"][0][key].as_str().unwrap().to_owned();
    Attempt {
        delivery: headers["x-socket-rush-delivery"].clone(),
        number: headers["x-socket-rush-attempt"].parse().unwrap(),
        channel: text("channel"),
        data: text("data"),
        status,
    }
}
