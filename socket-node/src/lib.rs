//! The Socket Rush server: WebSockets, fan-out and the HTTP API of a Pusher-compatible node.
//!
//! Suggested reading order: [`config`], what a user can set; [`protocol`], what clients and server say to each other;
//! [`hub`], how an event reaches the sockets of this node; [`cluster`], what nodes know together; [`channels`], the
//! verbs that tie these together, and [`webhooks`], where they report to; [`connection`] and [`http`], who uses them; [`node`], how all of it is built, and
//! [`listener`] and [`shutdown`], how it begins and ends; [`tally`] and [`metrics`], what is counted on the way; [`command`], what the binary does beside serving.

pub mod cache;
pub mod channels;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod http;
pub mod hub;
pub mod limits;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod node;
pub mod protocol;
pub mod shutdown;
pub mod tally;
pub mod tls;
pub mod webhooks;
