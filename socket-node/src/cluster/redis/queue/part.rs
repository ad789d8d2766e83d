//! What the reader knows of one stream.

use std::collections::{HashMap, HashSet, VecDeque};

use app_manager::webhook::Endpoint;
use webhook_worker::job::Job;

/// What Redis calls an entry of a stream. Entries are ordered by it, though their text is not.
pub(super) type EntryId = Box<str>;

/// Before every entry.
pub(super) const BEGINNING: &str = "0-0";

/// One of the streams.
#[derive(Debug)]
pub(super) struct Part {
    /// Whether this node works it off.
    pub(super) is_ours: bool,
    /// Whether nothing is read for the moment, so that it may be given up when it is idle.
    pub(super) is_paused: bool,
    /// The last entry that was read.
    pub(super) position: EntryId,
    /// What was read and is still in the stream, as far as is known. Remains when the stream is lost: what is in the
    /// lanes then is still delivered, and is not to be handed to them twice if the stream comes back.
    pub(super) held: HashSet<EntryId>,
    /// What the lanes had no room for, in order for each endpoint.
    waiting: HashMap<Endpoint, VecDeque<(EntryId, Job)>>,
    waiting_count: usize,
}

impl Part {
    pub(super) fn new() -> Self {
        Self {
            is_ours: false,
            is_paused: false,
            position: BEGINNING.into(),
            held: HashSet::new(),
            waiting: HashMap::new(),
            waiting_count: 0,
        }
    }

    /// Reads everything again that is not held.
    pub(super) fn rewind(&mut self) {
        self.position = BEGINNING.into();
    }

    /// Takes note of whose the stream is.
    pub(super) fn set_ours(&mut self, is_ours: bool) {
        if self.is_ours != is_ours {
            self.is_ours = is_ours;
            self.is_paused = false;
            self.rewind();
            self.forget_waiting();
        }
    }

    /// Leaves what the lanes have not got to whoever reads the stream next.
    pub(super) fn forget_waiting(&mut self) {
        for (id, _) in self.waiting.drain().flat_map(|(_, jobs)| jobs) {
            self.held.remove(&id);
        }
        self.waiting_count = 0;
    }

    /// Nothing of it is with this node.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Whether a job for this endpoint has to stand behind another one.
    pub(super) fn has_waiting_for(&self, endpoint: &Endpoint) -> bool {
        self.waiting.contains_key(endpoint)
    }

    /// Keeps a job for later.
    pub(super) fn wait(&mut self, id: EntryId, job: Job) {
        self.waiting_count += 1;
        self.waiting.entry(job.endpoint.clone()).or_default().push_back((id, job));
    }

    /// Offers what waits, for each endpoint in order until a job comes back.
    pub(super) fn offer_again(&mut self, mut offer: impl FnMut(EntryId, Job) -> Option<(EntryId, Job)>) {
        let count = &mut self.waiting_count;
        self.waiting.retain(|_, jobs| {
            while let Some((id, job)) = jobs.pop_front() {
                if let Some(refused) = offer(id, job) {
                    jobs.push_front(refused);
                    return true;
                }
                *count -= 1;
            }
            false
        });
    }
}
