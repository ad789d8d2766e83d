//! What the nodes of one server share through Redis.
//!
//! Suggested reading order: [`keys`], where things are; [`link`], how they are reached; [`bus`], what nodes tell each
//! other; [`census`], who is where; [`share`], who does which part of what one node alone may do; [`queue`], where
//! webhooks wait.

pub mod bus;
pub mod census;
pub mod keys;
pub mod link;
pub mod queue;
pub mod share;
