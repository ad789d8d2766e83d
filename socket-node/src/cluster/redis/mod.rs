//! What the nodes of one server share through Redis.
//!
//! Suggested reading order: [`keys`], where things are; [`link`], how they are reached; [`bus`], what nodes tell each
//! other; [`census`], who is where.

pub mod bus;
pub mod census;
pub mod keys;
pub mod link;
