//! A WebSocket server that echoes every message, for test suites of the WebSocket protocol (`tests/autobahn`).
//!
//! It reads and writes through the very codec of the server, and drives it as the server's connections do; only
//! binary messages, which the server refuses politely, are echoed, too. It listens on a free port of loopback, says
//! which on stdout, and serves until it is killed.

use std::{io, time::Duration};

use anyhow::{Context as _, ensure};
use socket_node::protocol::{Decoder, Frame, Incoming};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tungstenite::handshake::derive_accept_key;

/// Bytes of a message.
const MAX_MESSAGE: usize = 16 << 20;

/// Bytes of a request's head.
const MAX_HEAD: usize = 8 << 10;

/// How long a peer may take to hang up after the last frame.
const GOODBYE: Duration = Duration::from_secs(5);

/// The first byte of a binary frame. The server never sends one, so the codec does not make any; but the opcode is
/// all that sets it apart from a frame of text.
const BINARY: u8 = 0x82;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{peer}: {error:#}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = shake_hands(&mut stream).await?;
    let mut decoder = Decoder::new(MAX_MESSAGE);
    loop {
        let mut answers = Vec::new();
        let is_over = answer_all(&mut decoder, &mut unread, &mut answers);
        stream.write_all(&answers).await?;
        if is_over {
            return hang_up(stream).await.context("after the last frame");
        }
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
    }
}

/// Answers the request for an upgrade; gives what came behind it.
async fn shake_hands(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut request = Vec::new();
    let end = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        ensure!(request.len() < MAX_HEAD, "the request has no end");
        ensure!(stream.read_buf(&mut request).await? > 0, "the request was broken off");
    };
    let unread = request.split_off(end + 4);
    let head = String::from_utf8(request)?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let (_, key) = headers
        .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key"))
        .context("the request is no handshake")?;
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.trim().as_bytes())
    );
    stream.write_all(response.as_bytes()).await?;
    Ok(unread)
}

/// Answers the whole frames at the front of what was read, and takes them off. True after the last frame of the
/// connection.
fn answer_all(decoder: &mut Decoder, unread: &mut Vec<u8>, answers: &mut Vec<u8>) -> bool {
    let mut used = 0;
    let is_over = loop {
        match decoder.next(&mut unread[used..]) {
            Ok((0, _)) => break false,
            Ok((count, message)) => {
                used += count;
                let is_close = matches!(message, Some(Incoming::Close(_)));
                answers.extend(message.map(answer).unwrap_or_default());
                if is_close {
                    break true;
                }
            }
            Err(close) => {
                answers.extend_from_slice(Frame::goodbye(&close).bytes());
                break true;
            }
        }
    };
    unread.drain(..used);
    is_over
}

/// The frame that answers a message, if anything does.
fn answer(message: Incoming<'_>) -> Vec<u8> {
    match message {
        Incoming::Text(text) => echo(text.as_bytes()),
        Incoming::Binary(payload) => {
            let mut frame = echo(&payload);
            frame[0] = BINARY;
            frame
        }
        Incoming::Ping(payload) => Frame::pong(payload).bytes().to_vec(),
        Incoming::Pong => Vec::new(),
        Incoming::Close(code) => Frame::close_echo(code).bytes().to_vec(),
    }
}

fn echo(payload: &[u8]) -> Vec<u8> {
    Frame::text(payload.len(), |buffer| buffer.extend_from_slice(payload)).bytes().to_vec()
}

/// Sends nothing more, and reads on until the peer has hung up: to close with unread bytes would reset the connection,
/// and the peer might never see the last frame.
async fn hang_up(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = tokio::io::sink();
    // Whoever does not hang up in time is hung up on.
    timeout(GOODBYE, tokio::io::copy(&mut stream, &mut rest)).await.map_or(Ok(()), |copied| copied.map(drop))
}
