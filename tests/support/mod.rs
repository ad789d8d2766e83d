//! What the tests speak with: a node, a client, the HTTP API.

pub(crate) mod api;
pub(crate) mod client;
pub(crate) mod node;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod signing;
pub(crate) mod tls;
