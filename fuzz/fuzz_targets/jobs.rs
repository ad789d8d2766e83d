//! Messages of a queue: whatever is in one, it is read without a panic, and what is read stays what it is on its way through
//! further queues.

#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_worker::{job::Job, message};

/// Bytes of the text that says why a message is no job: it goes to the log, and with a dead letter.
const MAX_REASON: usize = 1_000;

fuzz_target!(|body: &str| {
    match message::read(body) {
        Ok(job) => {
            let again = Job::from_json(job.to_json().as_bytes()).expect("a job is one in every queue");
            assert!(again == job && again.group() == job.group());
        }
        Err(error) => {
            let reason = error.to_string();
            assert!(!reason.is_empty() && reason.len() <= MAX_REASON, "{reason}");
        }
    }
});
