//! What must hold when many clients come at once.

mod descriptors;
mod slow_readers;
mod webhooks;
