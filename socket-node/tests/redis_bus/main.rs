//! The bus with a real Redis server: what nodes tell each other arrives in order and once, whatever befalls Redis.

mod cache;
mod faults;
mod flow;
mod node;
mod proxy;
#[path = "../support/redis.rs"]
mod redis_server;
mod storms;
