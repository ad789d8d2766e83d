//! The Pusher protocol, version 7, as text in and values out. No I/O, no clock, nothing of ours imported.
//!
//! Suggested reading order: [`channel_name`] and [`socket_id`], the names of things; [`message`], what clients
//! say; [`event`], what the server says; [`close`], how it ends; [`frame`] and [`decoder`], the WebSocket
//! framing (RFC 6455) around all of it.

pub mod channel_name;
pub mod close;
pub mod decoder;
pub mod event;
pub mod frame;
pub mod message;
pub mod socket_id;

pub use channel_name::{ChannelName, ChannelNameError};
pub use close::Close;
pub use decoder::{Decoder, Incoming};
pub use event::Event;
pub use frame::Frame;
pub use message::ClientMessage;
pub use socket_id::{NodeId, SocketId};
