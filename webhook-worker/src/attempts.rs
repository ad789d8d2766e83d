//! How many attempts a message of a queue in SQS has had.
//!
//! The queue says how often it has handed a message over, and nothing can be written on one. But not each receive leads to an
//! attempt: messages are given back unsent for want of room, because an earlier one of their group has failed, or because
//! their endpoint is left alone. So whoever gives messages back remembers what they have had.
//!
//! What others have received meanwhile, or a process before this one, counts as one attempt a receive. That is too many for
//! what they have given back unsent, and too few for what they have tried several times before they died; nobody could know
//! better. So with several workers of one queue the count is approximate. It decides how long the gaps grow and what a
//! receiver is told, and never whether there is a further attempt: that is a matter of time, and of the queue's
//! `maxReceiveCount`.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Messages that are remembered at most: as many as a queue has under way at a time, those among them that were given back for
/// a while. Of more, those are forgotten that were remembered first. They take some 10 MB.
const REMEMBERED: usize = 120_000;

/// What this process knows of messages that it has given back.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Half of what may be remembered at most.
    young: HashMap<Box<str>, Past>,
    /// What was young when that was full.
    old: HashMap<Box<str>, Past>,
}

/// What a message had behind it when it was given back.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    receives: u32,
    attempts: u32,
}

impl Attempts {
    /// How many attempts a message had before this receive, which is the so-manieth. It is not remembered any more then.
    pub(crate) fn recall(&self, id: &str, receives: u32) -> u32 {
        let past = {
            let mut memory = self.memory.lock();
            memory.young.remove(id).or_else(|| memory.old.remove(id)).unwrap_or_default()
        };
        let by_others = receives.saturating_sub(past.receives).saturating_sub(1);
        past.attempts.saturating_add(by_others)
    }

    /// Remembers a message that comes again: how often it was received, and how many attempts it had in all that time.
    pub(crate) fn remember(&self, id: &str, receives: u32, attempts: u32) {
        let mut memory = self.memory.lock();
        if memory.young.len() >= REMEMBERED / 2 {
            memory.old = std::mem::take(&mut memory.young);
        }
        memory.young.insert(id.into(), Past { receives, attempts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receives_of_which_nothing_is_known_count_as_one_attempt_each() {
        let attempts = Attempts::default();
        // Approximate counts may also be nought.
        for (receives, expected) in [(0, 0), (1, 0), (2, 1), (7, 6), (u32::MAX, u32::MAX - 1)] {
            assert_eq!(attempts.recall("a", receives), expected);
        }
    }

    #[test]
    fn what_was_given_back_unsent_has_had_no_more_attempts_than_before() {
        let attempts = Attempts::default();
        for receives in 1..=5 {
            assert_eq!(attempts.recall("a", receives), 0);
            attempts.remember("a", receives, 0);
        }
        assert_eq!(attempts.recall("b", 3), 2);
        attempts.remember("b", 3, 5);
        assert_eq!(attempts.recall("b", 4), 5);
    }

    #[test]
    fn what_others_received_meanwhile_counts() {
        let attempts = Attempts::default();
        attempts.remember("a", 2, 0);
        assert_eq!(attempts.recall("a", 6), 3);
        // It was remembered for one receive.
        assert_eq!(attempts.recall("a", 7), 6);
        // The queue counts approximately.
        attempts.remember("a", 7, 4);
        assert_eq!(attempts.recall("a", 5), 4);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_youngest_half_is_safe() {
        let attempts = Attempts::default();
        let id = |number: usize| number.to_string();
        for number in 0..2 * REMEMBERED {
            attempts.remember(&id(number), 2, 0);
        }
        let remembered = {
            let memory = attempts.memory.lock();
            memory.young.len() + memory.old.len()
        };
        assert!((REMEMBERED / 2..=REMEMBERED).contains(&remembered), "{remembered}");
        assert_eq!(attempts.recall(&id(2 * REMEMBERED - REMEMBERED / 2), 3), 0);
        assert_eq!(attempts.recall(&id(0), 3), 2);
    }
}
