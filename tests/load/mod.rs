//! What must hold when many clients come at once.

mod descriptors;
mod function;
mod slow_readers;
mod two_nodes;
mod webhooks;
