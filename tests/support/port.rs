//! A port that is a test's own also while its server is dead.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A free port of the loopback address, which nobody is given who asks for any. A server that names it may listen there,
/// die, and listen there again; meanwhile connections to it are refused.
///
/// It is held by a socket that is bound and never listens: Linux lets others bind to the same address if all of them
/// set `SO_REUSEADDR`, as servers do, and none of them listens yet.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _holder: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let holder = TcpSocket::new_v4().expect("a socket");
        holder.set_reuseaddr(true).expect("it is not bound yet");
        holder.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { address: holder.local_addr().expect("it is bound"), _holder: holder }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn a_reserved_port_is_listened_on_again_and_again_and_refuses_meanwhile() {
        let port = Port::reserve();
        for _ in 0..3 {
            let listener = TcpListener::bind(port.address).expect("it is reserved for us");
            drop(TcpStream::connect(port.address).expect("somebody listens"));
            drop(listener);
            let refused = TcpStream::connect(port.address).expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
    }
}
