//! A map that has a bound: when it is full, it forgets what nobody has asked for lately.

use std::{collections::HashMap, hash::Hash};

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    known: HashMap<K, Known<V>>,
    most: usize,
    /// How often it was asked: the clock by which the silent entries are found.
    clock: u64,
}

#[derive(Debug)]
struct Known<V> {
    value: V,
    asked_at: u64,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// One that has nothing yet, and never has more than `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most, clock: 0 }
    }

    /// What is known of this one.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.clock += 1;
        let known = self.known.get_mut(key)?;
        known.asked_at = self.clock;
        Some(&mut known.value)
    }

    /// Remembers one that is not known.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.is_full() {
            self.forget_half();
        }
        self.clock += 1;
        self.known.insert(key, Known { value, asked_at: self.clock });
    }

    /// Whether something is forgotten to make room for the next one.
    pub(super) fn is_full(&self) -> bool {
        self.known.len() == self.most
    }

    /// Forgets what is not to be kept.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&V) -> bool) {
        self.known.retain(|_, known| is_kept(&known.value));
    }

    /// Forgets the half that has been silent for longer.
    fn forget_half(&mut self) {
        let mut times: Vec<_> = self.known.values().map(|known| known.asked_at).collect();
        let (_, &mut median, _) = times.select_nth_unstable(self.most / 2);
        self.known.retain(|_, known| known.asked_at >= median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_silent_is_forgotten() {
        const MOST: usize = 100;
        let mut recent = Recent::new(MOST);
        recent.insert(0, 0);
        for key in 1..=3 * MOST {
            recent.insert(key, key);
            assert!(recent.get_mut(&0).is_some(), "{key}");
            assert!(recent.known.len() <= MOST);
        }
        assert_eq!(recent.get_mut(&(3 * MOST)), Some(&mut (3 * MOST)));
        assert_eq!(recent.get_mut(&1), None);
    }

    #[test]
    fn what_is_not_to_be_kept_makes_room() {
        let mut recent = Recent::new(4);
        (0..4).for_each(|key| recent.insert(key, key));
        assert!(recent.is_full());
        recent.retain(|value| *value != 2);
        assert!(!recent.is_full());
        assert_eq!(recent.get_mut(&2), None);
        assert_eq!(recent.get_mut(&3), Some(&mut 3));
    }
}
