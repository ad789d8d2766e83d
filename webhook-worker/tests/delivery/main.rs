//! Webhooks through the front door: real requests to a real receiver on the loopback interface.

mod attempts;
mod fixtures;
mod lanes;
mod receiver;
