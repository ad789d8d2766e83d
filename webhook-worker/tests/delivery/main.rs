//! Webhooks through the front door: real requests to a real receiver on the loopback interface.

mod attempts;
mod batches;
mod fixtures;
#[cfg(feature = "lambda")]
mod lambda;
mod lanes;
mod receiver;
