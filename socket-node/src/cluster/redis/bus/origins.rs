//! How far each origin has been heard, so that what it says again after a lost connection is not heard twice.
//!
//! Redis passes everything on in one order, and an origin that is not sure begins again at a message that everybody has
//! heard at least once: so a number that is not above the last one is always a repeat.

use super::{
    envelope::{Origin, Sender},
    recent::Recent,
};

/// Origins that are remembered. There is one for every node that runs; those of the past are forgotten in time.
const MOST: usize = 4_096;

#[derive(Debug)]
pub(super) struct Origins {
    /// By the number of the node.
    heard: Recent<u64, Last>,
}

/// The last message of an origin.
#[derive(Debug)]
struct Last {
    incarnation: u32,
    sequence: u64,
}

impl Origins {
    /// Whether this message is heard for the first time; it counts as heard now.
    pub(super) fn is_new(&mut self, Sender { origin, sequence }: Sender) -> bool {
        let Origin { node, incarnation } = origin;
        let last = Last { incarnation, sequence };
        match self.heard.get_mut(&node) {
            Some(known) => {
                let is_new = (incarnation, sequence) > (known.incarnation, known.sequence);
                if is_new {
                    *known = last;
                }
                is_new
            }
            None => {
                self.heard.insert(node, last);
                true
            }
        }
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self { heard: Recent::new(MOST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(node: u64, incarnation: u32, sequence: u64) -> Sender {
        Sender { origin: Origin { node, incarnation }, sequence }
    }

    #[test]
    fn what_was_heard_is_not_new_again() {
        let mut origins = Origins::default();
        for (incarnation, sequence, is_new) in [
            (1, 5, true),
            (1, 5, false),
            (1, 4, false),
            (1, 9, true),
            (2, 1, true),
            (1, 10, false),
            (2, 2, true),
        ] {
            assert_eq!(origins.is_new(sender(1, incarnation, sequence)), is_new, "{incarnation} {sequence}");
        }
        assert!(origins.is_new(sender(2, 1, 1)), "another node counts for itself");
    }

    #[test]
    fn only_silent_origins_are_forgotten() {
        let mut origins = Origins::default();
        for node in 0..2 * MOST as u64 {
            origins.is_new(sender(node, 1, 1));
            origins.is_new(sender(0, 1, node + 2));
        }
        assert!(!origins.is_new(sender(0, 1, 2)));
        assert!(!origins.is_new(sender(2 * MOST as u64 - 1, 1, 1)));
    }
}
