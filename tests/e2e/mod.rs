//! What clients and customers' servers can see of one node, by theme.

mod handshake;
mod liveness;

mod drain;
mod tls;

mod channels;
mod presence;

mod client_events;

mod cache;
mod counts;

mod users;
mod watchlist;

mod webhooks;

mod authorized;
mod limits;
mod metrics;

mod errors;
mod logs;
mod secrecy;
pub(crate) mod settings;

mod authorization;
mod bad_frames;
mod bad_handshake;
mod bad_messages;
mod bad_names;
mod http_auth;
mod http_events;
mod http_reads;
