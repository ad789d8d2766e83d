//! One WebSocket, as everybody sees it who has something to send to it.

use std::{
    io,
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    backlog::Backlog,
    pulse::{self, Pulse, Verdict},
    transport::Transport,
};
use crate::{
    protocol::{Close, Frame, SocketId, event},
    tally::Tally,
};

/// What RFC 6455 calls a goodbye without a code. Most clients that leave give none.
const NO_CODE: u16 = 1005;

/// One WebSocket. Anyone may push; nobody ever waits for it. Its own task alone reads from it.
#[derive(Debug)]
pub struct Socket {
    id: SocketId,
    transport: Transport,
    out: Mutex<Outbound>,
    options: SocketOptions,
    pulse: Pulse,
    tally: Arc<Tally>,
}

/// What differs from one app's sockets to another's.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Bytes that may wait for a reader that is slow.
    pub max_backlog: u32,
    /// Seconds of silence after which the peer is probed.
    pub activity_timeout_seconds: u32,
}

/// The sending side. An idle socket owns no buffer at all.
#[derive(Debug, Default)]
struct Outbound {
    /// None while the peer keeps up. Empty, it stands for what the transport has yet to hand to the kernel.
    backlog: Option<Box<Backlog>>,
    /// The last frame has been pushed; whatever comes now comes too late.
    is_closed: bool,
    /// The code with which the connection was closed, by either side.
    close_code: Option<u16>,
}

impl Socket {
    /// Takes over a connection whose handshake is done.
    pub fn new(id: SocketId, transport: Transport, options: SocketOptions, tally: Arc<Tally>) -> Arc<Self> {
        let (out, pulse) = (Mutex::default(), Pulse::new(pulse::now()));
        Arc::new(Self { id, transport, out, options, pulse, tally })
    }

    /// The id under which clients know it.
    pub const fn id(&self) -> SocketId {
        self.id
    }

    /// Sends a frame, now if the peer keeps up, else as soon as it reads again. Who falls behind by more than the
    /// bound is cut off.
    pub fn push(self: &Arc<Self>, frame: &Frame) {
        if self.push_run(frame.bytes()) {
            self.tally.sent.one();
        }
    }

    /// Sends a run of whole frames, which the caller counts if it was written or queued: to a connection that is
    /// closed, or that this run has closed because it could not take it, nothing is sent.
    pub(super) fn push_run(self: &Arc<Self>, run: &Bytes) -> bool {
        let mut out = self.out.lock();
        if !out.is_closed {
            self.write(&mut out, run);
        }
        !out.is_closed
    }

    /// Says goodbye and sends nothing more. The task that reads ends when the peer hangs up, or when the sweep finds
    /// that it does not.
    pub fn close(self: &Arc<Self>, close: &Close) {
        if self.finish(&Frame::goodbye(close), Some(close.code)) {
            self.tally.errors.count(Some(close.code));
        }
    }

    /// Answers the peer's own goodbye.
    pub fn echo_close(self: &Arc<Self>, code: Option<u16>) {
        self.finish(&Frame::close_echo(code), Some(code.unwrap_or(NO_CODE)));
    }

    /// Tells the peer of an error that does not end the connection.
    pub fn complain(self: &Arc<Self>, code: Option<u16>, message: &str) {
        self.tally.errors.count(code);
        self.push(&event::error(code, message));
    }

    /// Sends the last frame of the connection; false if that has been sent before.
    fn finish(self: &Arc<Self>, last: &Frame, code: Option<u16>) -> bool {
        let mut out = self.out.lock();
        let is_first = !out.is_closed;
        if is_first {
            out.close_code = code;
            self.pulse.closing(pulse::now());
            self.write(&mut out, last.bytes());
            out.is_closed = true;
            if out.backlog.is_none() {
                self.finish_sending(&mut out);
            }
        }
        is_first
    }

    /// The code with which the connection was closed, if either side has said goodbye.
    pub fn close_code(&self) -> Option<u16> {
        self.out.lock().close_code
    }

    /// Bytes that wait for the peer to read.
    pub fn backlog_bytes(&self) -> usize {
        self.out.lock().backlog.as_ref().map_or(0, |backlog| backlog.bytes())
    }

    /// Tells the peer that nothing more comes, now or when it makes room for that.
    fn finish_sending(self: &Arc<Self>, out: &mut Outbound) {
        match self.transport.finish() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.fall_behind(out, Backlog::default())
            }
            Err(_) => self.abort(),
        }
    }

    /// Ends the connection in both directions; the task that reads sees the end of the stream.
    pub fn abort(&self) {
        self.transport.shutdown(Shutdown::Both);
    }

    /// Writes at once or into the backlog.
    fn write(self: &Arc<Self>, out: &mut Outbound, run: &Bytes) {
        let Some(backlog) = &mut out.backlog else {
            return self.write_first(out, run);
        };
        backlog.push(run);
        if backlog.bytes() > self.options.max_backlog as usize {
            self.cut(out);
        }
    }

    /// Writes with nothing waiting. What the kernel does not take begins a backlog.
    fn write_first(self: &Arc<Self>, out: &mut Outbound, run: &Bytes) {
        let written = match self.transport.try_write(run) {
            Ok(written) if written == run.len() && self.transport.is_flushed() => return,
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                out.is_closed = true;
                return self.abort();
            }
        };
        self.fall_behind(out, Backlog::of(run, written));
    }

    /// From now on, a task sends as the peer makes room.
    fn fall_behind(self: &Arc<Self>, out: &mut Outbound, backlog: Backlog) {
        out.backlog = Some(Box::new(backlog));
        tokio::spawn(Arc::clone(self).drain());
    }

    /// The peer reads too slowly: drops what it has not been sent and says why, if it still wants to know.
    fn cut(&self, out: &mut Outbound) {
        if let Some(backlog) = &mut out.backlog {
            backlog.cut(&Frame::goodbye(&Close::OVER_CAPACITY));
        }
        out.is_closed = true;
        out.close_code = Some(Close::OVER_CAPACITY.code);
        self.tally.errors.count(out.close_code);
        self.tally.cut.one();
        self.pulse.closing(pulse::now());
    }

    /// Sends the backlog as the peer makes room. This task exists only while there is one.
    async fn drain(self: Arc<Self>) {
        while self.transport.writable().await.is_ok() {
            match self.drain_once() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        self.out.lock().is_closed = true;
        self.abort();
    }

    /// Sends what the kernel takes now; true when nothing is left.
    fn drain_once(&self) -> io::Result<bool> {
        let mut out = self.out.lock();
        let Some(backlog) = &mut out.backlog else {
            return Ok(true);
        };
        backlog.write_with(|slices| self.transport.try_write_vectored(slices))?;
        let is_done = backlog.is_empty() && self.transport.is_flushed();
        if is_done {
            if out.is_closed {
                self.transport.finish()?;
            }
            out.backlog = None;
        }
        Ok(is_done)
    }

    /// Resolves when it may be that there is something to read; for the task that owns the connection.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_read_ready(cx)
    }

    /// Reads what is there; nothing at all is the end.
    pub fn try_read(self: &Arc<Self>, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.transport.try_read(buffer);
        if !self.transport.is_flushed() {
            self.send_answer();
        }
        read
    }

    /// Sends what the transport itself has to answer to what was read, such as new keys.
    fn send_answer(self: &Arc<Self>) {
        let mut out = self.out.lock();
        if out.backlog.is_none() {
            self.write_first(&mut out, &Bytes::new());
        }
    }

    /// Whether the goodbye has been said.
    pub fn is_closing(&self) -> bool {
        self.pulse.is_closing()
    }

    /// Something was heard from the peer.
    pub fn heard(&self) {
        self.pulse.heard(pulse::now());
    }

    /// The connection has so many seconds to become authorised. The one under way does not count: it may be nearly
    /// over.
    pub fn authorize_within(&self, seconds: u32) {
        self.pulse.set_authorize_by(pulse::now() + 1 + seconds);
    }

    /// The connection is authorised, or needs not be.
    pub fn authorized(&self) {
        self.pulse.set_authorize_by(0);
    }

    /// Does what is due for this connection at this second of [`pulse::now`].
    pub fn check(self: &Arc<Self>, now: u32) {
        match self.pulse.check(now, self.options.activity_timeout_seconds) {
            Verdict::Fine => {}
            Verdict::Probe => self.push(&Frame::ping()),
            Verdict::Close(close) => self.close(&close),
            Verdict::Abort => self.abort(),
        }
    }
}
