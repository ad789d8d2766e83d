//! Names of which the store said that they are nobody's.

use std::collections::{HashMap, VecDeque};

use super::cache::Name;
use crate::store::LookupError;

/// Names that are remembered. The gate lets fewer through in the time for which a miss is good; if that is set to be
/// long, the oldest are forgotten.
const MOST: usize = 1_000;

/// The names, and until when it is so, in milliseconds of the cache's clock.
#[derive(Debug, Default)]
pub(super) struct Misses {
    until: HashMap<Name, (u64, Miss)>,
    /// In the order in which they came. All are good for equally long.
    queue: VecDeque<(u64, Name)>,
}

/// What the store said: that there is no such app, or something that cannot be used as one.
pub(super) type Miss = Result<(), LookupError>;

impl Misses {
    pub(super) fn put(&mut self, name: Name, miss: Miss, now: u64, until: u64) {
        self.forget_old(now);
        if self.queue.len() >= MOST {
            self.forget_first();
        }
        self.queue.push_back((until, name.clone()));
        self.until.insert(name, (until, miss));
    }

    pub(super) fn get(&self, name: &Name, now: u64) -> Option<&Miss> {
        self.until.get(name).filter(|(until, _)| *until > now).map(|(_, miss)| miss)
    }

    /// The name is somebody's.
    pub(super) fn remove(&mut self, name: &Name) {
        self.until.remove(name);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// So that what came once does not stay for ever.
    pub(super) fn forget_old(&mut self, now: u64) {
        while self.queue.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
        if self.queue.is_empty() {
            // The room that a flood needed is given back, too.
            self.clear();
        }
    }

    fn forget_first(&mut self) {
        if let Some((until, name)) = self.queue.pop_front()
            && self.until.get(&name).is_some_and(|(current, _)| *current == until)
        {
            self.until.remove(&name);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }
}
