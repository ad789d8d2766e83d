//! What the nodes of one server know together. With the local driver there is one node, and it knows everything.

pub mod census;
pub mod redis;
