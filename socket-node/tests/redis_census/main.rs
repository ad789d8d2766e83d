//! The census of several nodes in a real Redis.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deaths;
mod edges;
mod journals;
mod limits;
mod names;
mod races;
#[path = "../support/redis.rs"]
mod redis_server;
mod slow_way;
mod world;
