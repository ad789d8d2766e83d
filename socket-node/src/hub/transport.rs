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

/// Reads from the kernel in a row that bring nothing to read. A peer that sends empty records must not hold a thread.
const MAX_EMPTY_RECORDS: usize = 16;

/// A connection to read from and write to. Neither ever waits.
pub struct Transport(Kind);

/// A plain connection pays nothing for the possibility of the other kind.
enum Kind {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

struct Encrypted {
    stream: TcpStream,
    session: Mutex<ServerConnection>,
}

impl Transport {
    /// A connection without TLS.
    pub const fn plain(stream: TcpStream) -> Self {
        Self(Kind::Plain(stream))
    }

    /// A connection whose TLS handshake is done, and what the session has decrypted already: the stream would never
    /// announce that.
    pub fn encrypted(stream: TcpStream, mut session: ServerConnection) -> (Self, Bytes) {
        let mut decrypted = Vec::new();
        // It ends with an error, as long as the peer has not closed: there is no more for now. What came before is kept.
        let _ = session.reader().read_to_end(&mut decrypted);
        (
            Self(Kind::Encrypted(Box::new(Encrypted { stream, session: Mutex::new(session) }))),
            decrypted.into(),
        )
    }

    const fn stream(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(stream) => stream,
            Kind::Encrypted(encrypted) => &encrypted.stream,
        }
    }

    /// Resolves when it may be that there is something to read.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read_ready(cx)
    }

    /// Reads what is there; nothing at all is the end.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => stream.try_read(buffer),
            Kind::Encrypted(encrypted) => encrypted.decrypt(buffer),
        }
    }

    /// Resolves when it may be that something can be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream().writable().await
    }

    /// Takes as many of the bytes as can be sent now, and up to 64 KiB more where there is a session; see
    /// [`is_flushed`](Self::is_flushed).
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => stream.try_write(bytes),
            Kind::Encrypted(encrypted) => encrypted.encrypt(&[IoSlice::new(bytes)]),
        }
    }

    /// The same for bytes in several pieces.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => stream.try_write_vectored(slices),
            Kind::Encrypted(encrypted) => encrypted.encrypt(slices),
        }
    }

    /// Whether everything that was taken is with the kernel. If not, write again when that is possible, be it nothing.
    pub(super) fn is_flushed(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => true,
            Kind::Encrypted(encrypted) => !encrypted.session.lock().wants_write(),
        }
    }

    /// Says that nothing more will be sent, so that the peer can tell this from a connection that was cut. Must be
    /// repeated when it would have had to wait; that does no harm.
    pub(super) fn finish(&self) -> io::Result<()> {
        if let Kind::Encrypted(encrypted) = &self.0 {
            encrypted.close_notify()?;
        }
        self.shutdown(Shutdown::Write);
        Ok(())
    }

    /// Ends the stream itself.
    pub(super) fn shutdown(&self, how: Shutdown) {
        // It fails only when the peer was faster.
        let _ = SockRef::from(self.stream()).shutdown(how);
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("stream", self.stream())
            .field("is_encrypted", &matches!(self.0, Kind::Encrypted(_)))
            .finish()
    }
}

impl Encrypted {
    /// Reads records until one of them carries something for us.
    fn decrypt(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        for _ in 0..MAX_EMPTY_RECORDS {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many clients hang up without a word. What they said was whole frames or it counts for nothing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            session.read_tls(&mut Kernel(&self.stream))?;
            let taken = session.process_new_packets();
            // New keys or an alert; if they cannot go now, they go before the next bytes.
            let _ = flush(&mut session, &self.stream);
            taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        // The stream still counts as ready, so the next try follows as soon as other tasks had their turn.
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Encrypts as much as the session holds at one time, once the kernel has what was encrypted before.
    fn encrypt(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        flush(&mut session, &self.stream)?;
        let taken = session.writer().write_vectored(slices)?;
        match flush(&mut session, &self.stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Says that nothing more will come, once the kernel has what was encrypted before.
    fn close_notify(&self) -> io::Result<()> {
        let mut session = self.session.lock();
        session.send_close_notify();
        flush(&mut session, &self.stream)
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
