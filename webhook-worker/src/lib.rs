//! What a webhook is, and how it reaches the customer's endpoint.
//!
//! A server reports what happened on an app's channels as [`event::WebhookEvent`]s. Events for one target become a
//! [`job::Job`]: one request whose body is rendered once and never changes again. A job travels through whichever
//! queue is configured, without the app's secret, and is signed when it is delivered. All queues end here, in the
//! same code, so that a webhook behaves alike whether it went through memory, a stream or a cloud's queue.
//!
//! This package knows apps and HTTP. It does not know sockets, channels' subscribers or any particular queue: those
//! hand it jobs and are told each job's fate.
//!
//! Suggested reading order:
//! 1. [`event`]: the seven things that a webhook can tell, in Pusher's JSON.
//! 2. [`job`]: one request, which events share it, and how it looks in a queue.
//! 3. [`target`]: which URLs may be called, so that no customer can aim the server at its own network.
//! 4. [`deliver`]: one attempt, and what its answer means.
//! 5. [`retry`]: when the next attempt is due, and when there is none.
//! 6. [`worker`]: many jobs at once, in order per channel, where one dead endpoint costs the others nothing.
//! 7. [`message`]: the job in what a cloud's queue brings.
//! 8. `attempts`: how many of them a message has had, as far as anybody knows.
//! 9. [`batch`]: what such a queue hands over at once, with one attempt for each job; `src/bin/lambda.rs` is around it.
//! 10. `cloud` (with the feature `aws`): Amazon's queues, topics and functions.
//! 11. `poller` (with the feature `poller`): works such a queue off; `src/bin/poller.rs` is around it.
//! 12. [`settings`]: what can be set about all this.

mod attempts;
pub mod batch;
#[cfg(feature = "aws")]
pub mod cloud;
pub mod deliver;
pub mod event;
pub mod job;
pub mod log;
pub mod message;
#[cfg(feature = "poller")]
pub mod poller;
pub mod retry;
pub mod settings;
pub mod target;
pub mod worker;
