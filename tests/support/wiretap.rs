//! A port in front of another one, which remembers what clients say.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Bytes of one connection that are remembered.
const MOST: usize = 16 * 1024 * 1024;

/// It lets everything through, until it is dropped.
#[derive(Debug)]
pub(crate) struct Wiretap {
    pub(crate) address: SocketAddr,
    /// What each connection has said.
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    accepting: JoinHandle<()>,
}

impl Wiretap {
    /// In front of this port.
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let said = Arc::default();
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&said)));
        Self { address, said, accepting }
    }

    /// The actions that requests to AWS have named until now, with their services: `sqs:SendMessage`. Those on several
    /// things at once are the same right as those on one.
    pub(crate) fn actions(&self) -> BTreeSet<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = said.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let mut actions = BTreeSet::new();
        for text in texts {
            for line in text.split(['\r', '\n', '&']) {
                let header =
                    line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("x-amz-target"));
                if let Some((service, action)) = header.and_then(|(_, target)| target.split_once('.')) {
                    let service = if service == "AmazonSQS" { "sqs" } else { "dynamodb" };
                    actions.insert(format!("{service}:{}", action.trim_end_matches("Batch")));
                } else if let Some(action) = line.strip_prefix("Action=") {
                    actions.insert(format!("sns:{}", action.trim_end_matches("Batch")));
                } else if line.starts_with("POST /2015-03-31/functions/") && line.contains("/invocations ") {
                    actions.insert("lambda:InvokeFunction".to_owned());
                }
            }
        }
        actions
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until it is aborted; the connections end with it.
async fn accept(listener: TcpListener, target: SocketAddr, said: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let said = Arc::clone(&said);
        // Either side may hang up at any time.
        connections.spawn(async move { drop(pass(client, target, &said).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, target: SocketAddr, said: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_target, mut to_target) = TcpStream::connect(target).await?.into_split();
    let index = {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(Vec::new());
        said.len() - 1
    };
    let asking = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from_client.read(&mut buffer).await?;
            if count == 0 {
                return to_target.shutdown().await;
            }
            {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said[index].extend_from_slice(&buffer[..count]);
                assert!(said[index].len() < MOST, "nobody says so much");
            }
            to_target.write_all(&buffer[..count]).await?;
        }
    };
    let answering = async {
        copy(&mut from_target, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(asking, answering).map(drop)
}
