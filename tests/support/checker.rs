//! Judges what clients heard by what was published: nothing lost, nothing twice, nothing out of order, and how late.
//!
//! It knows nothing of sockets, so that its own tests can show that it would notice each of these.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

/// One attempt to publish.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    /// Whether the publisher was told that it succeeded. If not, it may have all the same.
    acknowledged: bool,
}

/// One event that came to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Its number among the events of its channel.
    pub(crate) sequence: u64,
    /// When it came.
    pub(crate) at: Instant,
}

/// What one client heard on one channel while it was subscribed, which was longer than anything was published there.
#[derive(Clone, Debug)]
struct Log {
    channel: String,
    heard: Vec<Heard>,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    /// By channel, then by number.
    sent: BTreeMap<String, BTreeMap<u64, Sent>>,
    logs: Vec<Log>,
}

impl Checker {
    /// Takes down that an event was published, and whether that was acknowledged. Numbers grow along each channel.
    pub(crate) fn sent(&mut self, channel: &str, sequence: u64, at: Instant, acknowledged: bool) {
        let earlier =
            self.sent.entry(channel.to_owned()).or_default().insert(sequence, Sent { at, acknowledged });
        assert!(earlier.is_none(), "number {sequence} was given twice on {channel}");
    }

    /// Takes down all that one client heard on one channel, in the order in which it came.
    pub(crate) fn heard(&mut self, channel: &str, heard: Vec<Heard>) {
        self.logs.push(Log { channel: channel.to_owned(), heard });
    }

    /// What all of it comes to.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut latencies = Vec::new();
        let nothing = BTreeMap::new();
        for log in &self.logs {
            let sent = self.sent.get(&log.channel).unwrap_or(&nothing);
            verdict.judge(log, sent);
            let known = log.heard.iter().filter_map(|heard| Some((heard, sent.get(&heard.sequence)?)));
            latencies.extend(known.map(|(heard, sent)| heard.at.saturating_duration_since(sent.at)));
        }
        latencies.sort_unstable();
        verdict.heard = latencies.len();
        verdict.slowest = latencies.last().copied().unwrap_or_default();
        verdict.p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
        verdict
    }
}

/// How clients were served, counted over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Events that came.
    pub(crate) heard: usize,
    /// Acknowledged events that did not come.
    pub(crate) lost: usize,
    /// Events that came although they had come before.
    pub(crate) duplicated: usize,
    /// Events that came after one that was published later.
    pub(crate) reordered: usize,
    /// Events that nobody has published.
    pub(crate) invented: usize,
    /// The time from publishing to hearing that one of a hundred events exceeded.
    pub(crate) p99: Duration,
    /// The longest such time.
    pub(crate) slowest: Duration,
}

impl Verdict {
    /// Counts what is wrong with one log.
    fn judge(&mut self, log: &Log, sent: &BTreeMap<u64, Sent>) {
        let (mut known, mut last) = (HashSet::new(), None);
        for Heard { sequence, .. } in &log.heard {
            if !sent.contains_key(sequence) {
                self.invented += 1;
            } else if !known.insert(*sequence) {
                self.duplicated += 1;
            } else if last > Some(*sequence) {
                self.reordered += 1;
            } else {
                last = Some(*sequence);
            }
        }
        let acknowledged = sent.iter().filter(|(_, sent)| sent.acknowledged);
        self.lost += acknowledged.filter(|(sequence, _)| !known.contains(sequence)).count();
    }

    /// Fails the test unless every client heard everything once and in order.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!((self.lost, self.duplicated, self.reordered, self.invented), (0, 0, 0, 0), "{self}");
        assert!(self.heard > 0, "nobody heard anything");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heard, lost, duplicated, reordered, invented, p99, slowest } = self;
        write!(
            formatter,
            "heard={heard} lost={lost} duplicated={duplicated} reordered={reordered} invented={invented} p99={p99:?} \
             slowest={slowest:?}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: u64 = 100;

    const LATENCY: Duration = Duration::from_millis(3);

    /// A hundred events on each of two channels and what two clients heard of them, of which the second log of the
    /// first channel is changed by the test. Number 50 of each was not acknowledged.
    fn verdict_on(change: impl FnOnce(&mut Vec<Heard>)) -> Verdict {
        let (mut checker, start) = (Checker::default(), Instant::now());
        let sent_at = |sequence| start + Duration::from_millis(sequence);
        for channel in ["a", "b"] {
            for sequence in 0..EVENTS {
                checker.sent(channel, sequence, sent_at(sequence), sequence != 50);
            }
        }
        let sound: Vec<_> =
            (0..EVENTS).map(|sequence| Heard { sequence, at: sent_at(sequence) + LATENCY }).collect();
        let mut changed = sound.clone();
        change(&mut changed);
        for (channel, heard) in [("a", sound.clone()), ("a", changed), ("b", sound)] {
            checker.heard(channel, heard);
        }
        checker.verdict()
    }

    fn sound() -> Verdict {
        Verdict { heard: 300, p99: LATENCY, slowest: LATENCY, ..Verdict::default() }
    }

    #[test]
    fn a_sound_log_is_accepted() {
        let verdict = verdict_on(|_| {});
        assert_eq!(verdict, sound());
        verdict.assert_sound();
    }

    #[test]
    fn an_event_dropped_anywhere_is_lost() {
        for dropped in [0, 49, 99] {
            let verdict = verdict_on(|heard| {
                heard.remove(dropped);
            });
            assert_eq!(verdict, Verdict { lost: 1, heard: 299, ..sound() }, "{dropped}");
        }
    }

    #[test]
    fn an_event_that_was_not_acknowledged_may_be_missing_and_may_come() {
        let verdict = verdict_on(|heard| {
            heard.remove(50);
        });
        assert_eq!(verdict, Verdict { heard: 299, ..sound() });
    }

    #[test]
    fn two_events_swapped_anywhere_are_reordered() {
        for (first, second, reordered) in [(0, 1, 1), (98, 99, 1), (10, 20, 10)] {
            let verdict = verdict_on(|heard| heard.swap(first, second));
            assert_eq!(verdict.reordered, reordered, "{first} and {second}");
            assert_eq!((verdict.lost, verdict.duplicated, verdict.invented), (0, 0, 0));
        }
    }

    #[test]
    fn an_event_repeated_anywhere_is_a_duplicate_and_nothing_else() {
        for (repeated, after) in [(0, 1), (0, 100), (99, 100)] {
            let verdict = verdict_on(|heard| heard.insert(after, heard[repeated]));
            assert_eq!((verdict.duplicated, verdict.heard), (1, 301), "{repeated} after {after}");
            assert_eq!((verdict.lost, verdict.reordered, verdict.invented), (0, 0, 0));
        }
    }

    #[test]
    fn an_event_that_nobody_published_is_invented() {
        let verdict = verdict_on(|heard| heard[99].sequence = EVENTS);
        assert_eq!((verdict.invented, verdict.lost), (1, 1));
    }

    #[test]
    fn a_client_that_heard_nothing_lost_everything() {
        let verdict = verdict_on(Vec::clear);
        assert_eq!((verdict.lost, verdict.heard), (99, 200));
    }

    #[test]
    fn lateness_of_more_than_one_in_a_hundred_shows() {
        let late = Duration::from_secs(9);
        let delayed = |count| {
            move |heard: &mut Vec<Heard>| heard[..count].iter_mut().for_each(|heard| heard.at += late)
        };
        assert_eq!(verdict_on(delayed(0)).slowest, LATENCY);
        let two = verdict_on(delayed(2));
        assert_eq!((two.p99, two.slowest), (LATENCY, LATENCY + late));
        assert_eq!(verdict_on(delayed(4)).p99, LATENCY + late);
    }

    #[test]
    fn a_test_fails_on_an_unsound_log_and_on_an_empty_one() {
        let unsound = verdict_on(|heard| heard.swap(7, 8));
        for verdict in [unsound, Verdict::default()] {
            assert!(std::panic::catch_unwind(|| verdict.assert_sound()).is_err(), "{verdict}");
        }
    }
}
