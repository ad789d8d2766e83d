//! The queue of webhooks in a real Redis, worked off by several nodes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod deaths;
mod flow;
mod outages;
mod receiver;
#[path = "../support/redis.rs"]
mod redis_server;
mod shares;
mod world;
