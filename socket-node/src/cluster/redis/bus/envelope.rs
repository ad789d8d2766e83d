//! What stands around a message between nodes, so that whoever hears it knows what it is, from whom, and whether it is
//! a repeat.
//!
//! Numbers are big-endian. What a node says of its own accord begins with
//!
//! ```text
//! version u8 = 1 | kind u8 | flags u8 | reserved u8 | node u64 | incarnation u32 | sequence u64
//! ```
//!
//! which is followed for an event by its [`Place`]: since u64, number u32; and then, if bit 0 of the flags is set, by the
//! socket that is not to get it: node u64, serial u64. The rest is the body: for an event the WebSocket frame exactly as
//! sockets get it, for a command JSON. Flags that are not known mean
//! something about delivery that this node could not honour, so such a message counts as unknown. What the census says
//! has a [`Notice`]'s head instead: there, Redis itself is the origin, and makes the order.

use std::fmt;

use bytes::{Buf as _, Bytes};

use super::{Command, Notice, notice};
use crate::protocol::{Frame, NodeId, SocketId};

/// The version of all that is said here. Another one is another language, and not for us.
pub(super) const VERSION: u8 = 1;

/// An event for subscribers.
const EVENT: u8 = 0;

/// A [`Command`]. Kinds 1 to 4 are notices.
const COMMAND: u8 = 5;

/// The flag of an excluded socket.
const EXCEPT: u8 = 0b1;

/// Length of the head of a command: what all heads begin with.
const HEAD: usize = 24;

/// Length of the head of an event without an excluded socket.
const EVENT_HEAD: usize = HEAD + 12;

/// Length of an excluded socket's id.
const SOCKET: usize = 16;

/// Who says something: one life of a node's bus. A life that begins later has the higher incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) node: u64,
    pub(super) incarnation: u32,
}

/// The place of a message among all that its origin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) origin: Origin,
    pub(super) sequence: u64,
}

/// The place of an event among all that its origin says on the same topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The sequence of the first of them. An origin does not remember every topic for ever: when it has forgotten one, it
    /// begins to count anew, with a later sequence.
    pub(super) since: u64,
    /// How many were before.
    pub(super) number: u32,
}

/// What is inside.
#[derive(Debug)]
pub(super) enum Content {
    /// For the subscribers of the topic, but for one of them.
    Event { place: Place, except: Option<SocketId>, frame: Frame },
    /// For the node itself.
    Command(Command),
}

/// A message, understood.
#[derive(Debug)]
pub(super) enum Message {
    /// Said by a node.
    Said(Sender, Content),
    /// Said by the census.
    Noticed(Notice),
}

/// The bytes in front of a body.
#[derive(Debug)]
pub(super) struct Head {
    bytes: [u8; EVENT_HEAD + SOCKET],
    length: usize,
}

impl Origin {
    pub(super) fn new(node: NodeId, incarnation: u32) -> Self {
        Self { node: node.number(), incarnation }
    }
}

/// As names of keys have it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.node, self.incarnation)
    }
}

impl Head {
    /// In front of an event's frame.
    pub(super) fn event(sender: Sender, place: Place, except: Option<SocketId>) -> Self {
        let mut head = Self::new(EVENT, sender);
        head.add(&place.since.to_be_bytes());
        head.add(&place.number.to_be_bytes());
        if let Some(socket) = except {
            head.bytes[2] = EXCEPT;
            head.add(&socket.node().to_be_bytes());
            head.add(&socket.serial().to_be_bytes());
        }
        head
    }

    /// In front of a command.
    pub(super) fn command(sender: Sender) -> Self {
        Self::new(COMMAND, sender)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn new(kind: u8, Sender { origin, sequence }: Sender) -> Self {
        let mut bytes = [0; EVENT_HEAD + SOCKET];
        bytes[..2].copy_from_slice(&[VERSION, kind]);
        bytes[4..12].copy_from_slice(&origin.node.to_be_bytes());
        bytes[12..16].copy_from_slice(&origin.incarnation.to_be_bytes());
        bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
        Self { bytes, length: HEAD }
    }

    fn add(&mut self, field: &[u8]) {
        self.bytes[self.length..self.length + field.len()].copy_from_slice(field);
        self.length += field.len();
    }
}

impl Message {
    /// Reads what came. `None` is not understood: garbage, or said by a node that knows more than this one. The bytes
    /// are not copied.
    pub(super) fn read(bytes: Bytes) -> Option<Self> {
        let [version, kind] = *bytes.first_chunk()?;
        match (version, kind) {
            (VERSION, EVENT) => read_event(bytes),
            (VERSION, COMMAND) => read_command(&bytes),
            (VERSION, _) => Notice::read(notice::Kind::of(kind)?, &bytes[2..]).map(Self::Noticed),
            (_, _) => None,
        }
    }
}

/// The head is skipped and not cut off: that would cost an allocation.
fn read_event(mut bytes: Bytes) -> Option<Message> {
    let head: &[u8; EVENT_HEAD] = bytes.first_chunk()?;
    let sender = Sender::read(head)?;
    let place = Place { since: number(&head[HEAD..])?, number: short_number(&head[HEAD + 8..])? };
    let (except, start) = match head[2] {
        0 => (None, EVENT_HEAD),
        EXCEPT => {
            let id = bytes.get(EVENT_HEAD..EVENT_HEAD + SOCKET)?;
            (Some(SocketId::from_halves(number(id)?, number(&id[8..])?)), EVENT_HEAD + SOCKET)
        }
        _ => return None,
    };
    bytes.advance(start);
    Some(Message::Said(sender, Content::Event { place, except, frame: Frame::from_encoded(bytes)? }))
}

fn read_command(bytes: &[u8]) -> Option<Message> {
    let (head, body) = bytes.split_first_chunk::<HEAD>()?;
    let sender = Sender::read(head)?;
    match head[2] {
        0 => Some(Message::Said(sender, Content::Command(Command::read(body)?))),
        _ => None,
    }
}

impl Sender {
    /// Reads it out of a head.
    fn read(head: &[u8]) -> Option<Self> {
        let origin = Origin { node: number(head.get(4..)?)?, incarnation: short_number(head.get(12..)?)? };
        Some(Self { origin, sequence: number(head.get(16..)?)? })
    }
}

/// The number that these bytes begin with.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_be_bytes)
}

/// The same of a short one.
fn short_number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::event;

    fn sealed(head: &Head, body: &[u8]) -> Bytes {
        [head.bytes(), body].concat().into()
    }

    const PLACE: Place = Place { since: 1, number: 0 };

    fn sender() -> impl Strategy<Value = Sender> {
        (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(node, incarnation, sequence)| Sender {
            origin: Origin { node, incarnation },
            sequence,
        })
    }

    #[test]
    fn the_head_of_an_event_is_what_other_versions_of_the_server_expect_to_the_byte() {
        let sender = Sender { origin: Origin { node: 0x0102, incarnation: 3 }, sequence: 4 };
        let place = Place { since: 7, number: 8 };
        let head = Head::event(sender, place, Some(SocketId::from_halves(5, 6)));
        let expected = [
            [1, 0, 1, 0],
            [0, 0, 0, 0],
            [0, 0, 1, 2],
            [0, 0, 0, 3],
            [0, 0, 0, 0],
            [0, 0, 0, 4],
            [0, 0, 0, 0],
            [0, 0, 0, 7],
            [0, 0, 0, 8],
            [0, 0, 0, 0],
            [0, 0, 0, 5],
            [0, 0, 0, 0],
            [0, 0, 0, 6],
        ];
        assert_eq!(head.bytes(), expected.concat());
        assert_eq!(Head::event(sender, place, None).bytes().len(), 36);
        assert_eq!(Head::command(sender).bytes().len(), 24);
    }

    proptest! {
        #[test]
        fn an_event_survives_being_written_and_read(
            sender in sender(),
            (since, number) in any::<(u64, u32)>(),
            except in proptest::option::of((any::<u64>(), any::<u64>())),
            code in any::<u16>(),
        ) {
            let except = except.map(|(node, serial)| SocketId::from_halves(node, serial));
            let frame = event::error(Some(code), "a text");
            let place = Place { since, number };
            let read = Message::read(sealed(&Head::event(sender, place, except), frame.bytes()));
            let Some(Message::Said(from, Content::Event { place: at, except: socket, frame: body })) = read else {
                panic!("{read:?}");
            };
            prop_assert_eq!((from, at, socket, body), (sender, place, except, frame));
        }

        #[test]
        fn a_command_survives_being_written_and_read(sender in sender(), app in "[0-9]+", user in ".*") {
            let command = Command::TerminateUser { app, user };
            let read = Message::read(sealed(&Head::command(sender), &command.to_bytes()));
            let Some(Message::Said(from, Content::Command(body))) = read else {
                panic!("{read:?}");
            };
            prop_assert_eq!((from, body), (sender, command));
        }

        #[test]
        fn anything_can_be_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            Message::read(bytes.into());
        }

        #[test]
        fn anything_after_a_known_beginning_can_be_read_without_a_panic(
            kind in 0_u8..8,
            flags in 0_u8..3,
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            Message::read([&[VERSION, kind, flags, 0][..], &rest].concat().into());
        }

        #[test]
        fn a_message_that_was_cut_short_is_not_understood(sender in sender(), cut in 0..70_usize) {
            let whole = sealed(&Head::event(sender, PLACE, Some(SocketId::from_halves(1, 2))), event::pong().bytes());
            let part = whole.slice(..cut.min(whole.len() - 1));
            prop_assert!(Message::read(part).is_none());
        }
    }

    #[test]
    fn other_versions_kinds_and_flags_are_not_understood() {
        let sender = Sender { origin: Origin { node: 1, incarnation: 1 }, sequence: 1 };
        let known = sealed(&Head::event(sender, PLACE, None), event::pong().bytes());
        assert!(Message::read(known.clone()).is_some());
        for (place, value) in [(0, 0), (0, 2), (1, 6), (1, 255), (2, 2), (2, 3)] {
            let mut bytes = known.to_vec();
            bytes[place] = value;
            assert!(Message::read(bytes.into()).is_none(), "{value} at {place}");
        }
    }
}
