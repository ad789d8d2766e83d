//! What must hold when many clients come at once.

mod descriptors;
mod function;
mod outages;
pub(crate) mod queues;
mod slow_readers;
mod two_nodes;
mod webhooks;
