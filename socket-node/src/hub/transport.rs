//! What carries a socket's bytes: the bare TCP stream, or the same with TLS around it.
//!
//! Above this, nobody sees a difference. The session encrypts only what the kernel is about to take, so that what
//! waits for a slow peer waits as it came: shared with other sockets, and still possible to be given up.

use std::{
    fmt,
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::net::TcpStream;

/// A connection to read from and write to. Neither ever waits.
pub struct Transport {
    stream: TcpStream,
    /// None for a plain connection, which pays one pointer for the possibility.
    tls: Option<Box<Mutex<ServerConnection>>>,
}

impl Transport {
    /// A connection without TLS.
    pub const fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// A connection whose TLS handshake is done, and what the session has decrypted already: the stream would never
    /// announce that.
    pub fn encrypted(stream: TcpStream, mut session: ServerConnection) -> (Self, Bytes) {
        let mut decrypted = Vec::new();
        // It ends with an error, as long as the peer has not closed: there is no more for now. What came before is kept.
        let _ = session.reader().read_to_end(&mut decrypted);
        (Self { stream, tls: Some(Box::new(Mutex::new(session))) }, decrypted.into())
    }

    /// Resolves when it may be that there is something to read.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Reads what is there; nothing at all is the end.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.stream.try_read(buffer),
            Some(session) => decrypt(&mut session.lock(), &self.stream, buffer),
        }
    }

    /// Resolves when it may be that something can be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Takes as many of the bytes as can be sent now, and up to 64 KiB more where there is a session; see
    /// [`is_flushed`](Self::is_flushed).
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.stream.try_write(bytes),
            Some(session) => encrypt(&mut session.lock(), &self.stream, &[IoSlice::new(bytes)]),
        }
    }

    /// The same for bytes in several pieces.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.tls {
            None => self.stream.try_write_vectored(slices),
            Some(session) => encrypt(&mut session.lock(), &self.stream, slices),
        }
    }

    /// Whether everything that was taken is with the kernel. If not, write again when that is possible, be it nothing.
    pub(super) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|session| !session.lock().wants_write())
    }

    /// Says that nothing more will be sent, so that the peer can tell this from a connection that was cut. Must be
    /// repeated when it would have had to wait; that does no harm.
    pub(super) fn finish(&self) -> io::Result<()> {
        if let Some(session) = &self.tls {
            let mut session = session.lock();
            session.send_close_notify();
            flush(&mut session, &self.stream)?;
        }
        self.shutdown(Shutdown::Write);
        Ok(())
    }

    /// Ends the stream itself.
    pub(super) fn shutdown(&self, how: Shutdown) {
        // It fails only when the peer was faster.
        let _ = SockRef::from(&self.stream).shutdown(how);
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("stream", &self.stream)
            .field("is_encrypted", &self.tls.is_some())
            .finish()
    }
}

/// Reads records until one of them carries something for us.
fn decrypt(session: &mut ServerConnection, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Many clients hang up without a word. What they said was whole frames or it counts for nothing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => return read,
        }
        session.read_tls(&mut Kernel(stream))?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

/// Encrypts as much as the session holds at one time, once the kernel has what was encrypted before.
fn encrypt(session: &mut ServerConnection, stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    flush(session, stream)?;
    let taken = session.writer().write_vectored(slices)?;
    match flush(session, stream) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(taken),
    }
}

/// Hands the kernel what is encrypted, and what the session itself has to say: alerts, new keys.
fn flush(session: &mut ServerConnection, stream: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut Kernel(stream))?;
    }
    Ok(())
}

/// The stream as the session wants it.
struct Kernel<'a>(&'a TcpStream);

impl io::Read for Kernel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
