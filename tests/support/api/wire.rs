//! HTTP/1.1 as bytes on a socket: small enough to send what no HTTP library would agree to send.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take before the test that asked for it fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// More than any answer of the server is long; a longer one is a bug of its own.
const LONGEST_RESPONSE: usize = 64 * 1024 * 1024;

/// One answer of the server, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The number in the status line.
    pub(crate) status: u16,
    /// Names in lower case, values trimmed, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, with any transfer encoding undone.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The body as text; the API only ever answers text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body of an answer is UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The first header of that name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Fails the test, showing the body, when the status is another one.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "body: {}", String::from_utf8_lossy(&self.body));
        self
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

/// One TCP connection to a node, used for one request after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read and not yet used; an answer may come in any number of pieces.
    unread: Vec<u8>,
    /// The server has announced that it will close, or already has.
    closing: bool,
}

impl Connection {
    /// Connects to a node.
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = timeout(DEADLINE, TcpStream::connect(addr)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new(), closing: false })
    }

    /// Whether another request may follow on this connection.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.closing && self.unread.is_empty()
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(bytes)).await?
    }

    /// The next answer, or `None` when the server closes without one.
    ///
    /// `method` is that of the request: an answer to `HEAD` announces a body that does not come.
    pub(crate) async fn response_to(&mut self, method: &str) -> io::Result<Option<Response>> {
        timeout(DEADLINE, self.read_response(method)).await?
    }

    async fn read_response(&mut self, method: &str) -> io::Result<Option<Response>> {
        loop {
            let Some(head) = self.read_head().await? else { return Ok(None) };
            let mut response = parse_head(&head)?;
            if response.status == 100 {
                continue;
            }
            response.body = self.read_body(method, &response).await?;
            self.closing |= response.has_token("connection", "close");
            return Ok(Some(response));
        }
    }

    /// The status line and headers with the empty line that ends them; `None` when nothing comes at all.
    async fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                return Ok(Some(self.unread.drain(..end + 4).collect()));
            }
            if self.fill().await? == 0 {
                self.closing = true;
                let nothing_came = self.unread.is_empty();
                return if nothing_came { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn read_body(&mut self, method: &str, head: &Response) -> io::Result<Vec<u8>> {
        if method == "HEAD" || matches!(head.status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if head.has_token("transfer-encoding", "chunked") {
            return self.read_chunks().await;
        }
        if let Some(length) = head.header("content-length") {
            return self.read_exactly(length.parse().map_err(invalid)?).await;
        }
        while self.fill().await? > 0 {}
        self.closing = true;
        Ok(std::mem::take(&mut self.unread))
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(invalid)?;
            body.extend(self.read_exactly(size).await?);
            let end = self.read_line().await?;
            if !end.is_empty() {
                return Err(invalid(format!("{end:?} after a chunk")));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).map_err(invalid);
            }
            self.fill_more().await?;
        }
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill_more().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    async fn fill_more(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.unread.len() > LONGEST_RESPONSE {
            return Err(invalid("the answer has no end"));
        }
        self.stream.read_buf(&mut self.unread).await
    }
}

/// Sends bytes on a connection of their own and returns the answer, or `None` when the server closes without
/// one. A connection reset counts as closed: that is how TCP tells a sender whose bytes nobody read.
///
/// Panics when the server does neither in time, or answers what is no HTTP.
pub(crate) async fn raw_request(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Response> {
    let bytes = bytes.as_ref();
    let method = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    let mut connection = Connection::open(addr).await.expect("a node accepts connections");
    // The server may answer and close before it has read everything, so a failed write is not yet a verdict.
    let _sent = connection.send(bytes).await;
    match connection.response_to(&String::from_utf8_lossy(method)).await {
        Ok(response) => response,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            None
        }
        Err(error) => panic!("neither an answer nor a close within {DEADLINE:?}: {error}"),
    }
}

fn parse_head(head: &[u8]) -> io::Result<Response> {
    let head = std::str::from_utf8(head).map_err(invalid)?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = match status_line.split(' ').collect::<Vec<_>>()[..] {
        ["HTTP/1.1" | "HTTP/1.0", status, ..] => status.parse().map_err(invalid)?,
        _ => return Err(invalid(format!("{status_line:?} is no status line"))),
    };
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Response { status, headers, body: Vec::new() })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
