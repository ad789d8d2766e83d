//! What the tests speak with: a node or several, a client, the HTTP API; and what nodes need, which can be broken.

pub(crate) mod api;
pub(crate) mod aws;
pub(crate) mod aws_faults;
pub(crate) mod checker;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod database;
pub(crate) mod haproxy;
pub(crate) mod node;
pub(crate) mod poller;
pub(crate) mod port;
pub(crate) mod process;
mod program;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod sentinels;
pub(crate) mod signing;
pub(crate) mod stores;
pub(crate) mod tls;
pub(crate) mod wiretap;
