//! A client that may break the rules: bytes out, bytes in, and just enough of RFC 6455 to tell frames apart.

use std::{fmt::Debug, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::node::Node;

/// How long any one answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Mask of every frame that is sent here. RFC 6455 wants it unpredictable, which protects proxies and no server.
const MASK: [u8; 4] = [1, 2, 3, 4];

/// The kinds of frames.
pub(crate) mod opcode {
    /// A part of a message that is not its first.
    pub(crate) const CONTINUATION: u8 = 0x0;
    /// UTF-8.
    pub(crate) const TEXT: u8 = 0x1;
    /// Bytes.
    pub(crate) const BINARY: u8 = 0x2;
    /// The end.
    pub(crate) const CLOSE: u8 = 0x8;
    /// Are you there?
    pub(crate) const PING: u8 = 0x9;
    /// I am.
    pub(crate) const PONG: u8 = 0xA;
}

/// One frame as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    /// FIN and the reserved bits, as in the first byte.
    pub(crate) flags: u8,
    /// What kind of frame.
    pub(crate) opcode: u8,
    /// What it carries, unmasked.
    pub(crate) payload: Vec<u8>,
}

impl RawFrame {
    /// The payload as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a server sends only text")
    }

    /// The code of a Close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?.try_into().ok()?;
        (self.opcode == opcode::CLOSE).then_some(u16::from_be_bytes(code))
    }
}

/// One frame from a client: final, masked and rightly measured.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame_with_first_byte(0x80 | opcode, payload)
}

/// One masked frame with any flags and opcode.
pub(crate) fn frame_with_first_byte(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("at most 125")),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).expect("at most 0xFFFF").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What bytes go over: TCP, or TLS over it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// A connection and what was read of it but not yet asked for.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub(crate) async fn connect(node: &Node) -> Self {
        Self::connect_to(node.door()).await
    }

    /// The same, by address.
    pub(crate) async fn connect_to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the node listens"))
    }

    /// Over a connection that the test opened in its own way.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// Connects, upgrades to the usual app and reads the first frame.
    pub(crate) async fn established(node: &Node) -> Self {
        Self::connect(node).await.establish(node).await
    }

    /// The same over a connection that is there already, such as TLS.
    pub(crate) async fn established_over(stream: impl Stream + 'static, node: &Node) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }.establish(node).await
    }

    async fn establish(mut self, node: &Node) -> Self {
        self.send(upgrade_request(&format!("/app/{}?protocol=7", node.credentials.key), &[]).as_bytes())
            .await;
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let first = self.frame().await.expect("a first frame");
        assert!(first.text().contains("pusher:connection_established"), "{first:?}");
        self
    }

    /// Sends bytes. The server may have ended the connection meanwhile, which is for the reader to find.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = timeout(DEADLINE, async {
            self.stream.write_all(bytes).await?;
            // TLS may hold encrypted bytes back.
            self.stream.flush().await
        });
        let _written = sent.await.expect("the node reads");
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish_sending(&mut self) {
        let _shut_down = self.stream.shutdown().await;
    }

    /// The head of an HTTP answer, with the empty line that ends it.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).expect("an HTTP head is ASCII");
            }
            assert!(self.read_more().await, "the connection ended before an answer: {:?}", self.unread);
        }
    }

    /// The next frame; `None` when the connection ended, cleanly or not.
    pub(crate) async fn frame(&mut self) -> Option<RawFrame> {
        self.frame_within(DEADLINE).await
    }

    /// The same, with another deadline for each part of it.
    pub(crate) async fn frame_within(&mut self, deadline: Duration) -> Option<RawFrame> {
        loop {
            if let Some((frame, length)) = parse(&self.unread) {
                self.unread.drain(..length);
                return Some(frame);
            }
            if !self.read_more_within(deadline).await {
                return None;
            }
        }
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.unread)
    }

    /// All frames until the connection ends.
    pub(crate) async fn frames(&mut self) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            frames.push(frame);
        }
        frames
    }

    async fn read_more(&mut self) -> bool {
        self.read_more_within(DEADLINE).await
    }

    async fn read_more_within(&mut self, deadline: Duration) -> bool {
        let read = timeout(deadline, self.stream.read_buf(&mut self.unread)).await;
        let read =
            read.unwrap_or_else(|_| panic!("nothing came within {deadline:?} after {:?}", self.unread));
        read.is_ok_and(|count| count > 0)
    }
}

/// A rightful request for an upgrade, with headers added.
pub(crate) fn upgrade_request(path_and_query: &str, headers: &[(&str, &str)]) -> String {
    let added: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "GET {path_and_query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{added}\r\n"
    )
}

/// The first whole frame of these bytes, and its length.
fn parse(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server must not mask its frames");
    let (start, length) = match second & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((RawFrame { flags: first & 0xF0, opcode: first & 0x0F, payload }, start + length))
}
