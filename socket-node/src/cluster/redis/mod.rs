//! What the nodes of one server share through Redis.
//!
//! Suggested reading order: [`keys`], where things are; [`mod@line`], the ways there; [`link`], how a connection is opened,
//! with `owners`, to which server of a cluster, and `sentinels`, to which server that they watch; [`bus`], what nodes tell
//! each other; [`cache`], the last event of every cache channel; [`census`], who is where; [`share`], who does which part
//! of what one node alone may do; [`queue`], where webhooks wait.

pub mod bus;
pub mod cache;
pub mod census;
pub mod keys;
pub mod line;
pub mod link;
mod owners;
pub mod queue;
mod sentinels;
pub mod share;
