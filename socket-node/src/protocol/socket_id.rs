//! Ids of connections.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The random number under which a running node goes; the first half of its sockets' ids.
///
/// It stays below 2^53, so that it survives any JavaScript that treats half an id as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// The id made of these random bits.
    pub const fn from_random(bits: u64) -> Self {
        Self(bits >> 11)
    }

    /// The number itself, as it stands in what nodes tell each other.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a connection, unique in the whole cluster: two decimal numbers with a dot between them, as all
/// server SDKs demand of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    node: u64,
    serial: u64,
}

/// A text is no socket id.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a socket id is two decimal numbers with a dot between them")]
pub struct InvalidSocketId;

impl SocketId {
    /// The `serial`th socket of a node.
    pub const fn new(node: NodeId, serial: u64) -> Self {
        Self { node: node.0, serial }
    }

    /// The id of these two halves, as [`node`](Self::node) and [`serial`](Self::serial) gave them. Whether there is
    /// such a socket is not known.
    pub const fn from_halves(node: u64, serial: u64) -> Self {
        Self { node, serial }
    }

    /// The number of its node.
    pub const fn node(self) -> u64 {
        self.node
    }

    /// Its number among all sockets that its node has had.
    pub const fn serial(self) -> u64 {
        self.serial
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.serial)
    }
}

impl FromStr for SocketId {
    type Err = InvalidSocketId;

    /// Reads what any Pusher-like server may have given out. A number that is too large for us cannot be one of
    /// ours; it is taken as the largest, which we never give out, because an unknown id is not an error.
    fn from_str(text: &str) -> Result<Self, InvalidSocketId> {
        let number = |digits: &str| {
            let legal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            legal.then(|| digits.parse().unwrap_or(u64::MAX)).ok_or(InvalidSocketId)
        };
        let (node, serial) = text.split_once('.').ok_or(InvalidSocketId)?;
        Ok(Self { node: number(node)?, serial: number(serial)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read() {
        let id = SocketId::new(NodeId::from_random(u64::MAX), 42);
        assert_eq!(id.to_string(), "9007199254740991.42");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_two_numbers_with_a_dot_are_an_id() {
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "a.b", "1.2 ", "-1.2", "+1.2", "1.2\n", "1:2", "١.٢"]
        {
            assert_eq!(text.parse::<SocketId>(), Err(InvalidSocketId), "{text:?}");
        }
        assert!("99999999999999999999999.1".parse::<SocketId>().is_ok());
    }
}
