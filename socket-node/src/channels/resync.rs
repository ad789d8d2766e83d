//! Putting right what was missed while Redis, or the way to it, was away.
//!
//! Who is a member is read again as soon as this node hears and is heard. At first only those who are new are taken
//! over: a Redis that has lost everything hears of members from their nodes, one after the other. After as long as a
//! dead node's lease lasts, whoever is still not there is gone.

use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::{Channels, run};
use crate::{
    cluster::{BusState, CensusState, Cluster, Line, Shard},
    hub::Topic,
    protocol::event::Member,
    shutdown::Readiness,
};

/// How long members whom nobody has entered again are still believed in.
const BELIEVE: Duration = Duration::from_secs(12);

/// Which connections what is known was learnt on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Generation {
    heard: u64,
    entered: u64,
}

impl Channels {
    /// Puts right what was missed, for as long as the node lives: on each line for itself.
    pub async fn keep_in_step(self, readiness: Readiness) {
        let Some(cluster) = self.cluster() else { return };
        let apart = Apart::new(readiness, cluster.lines.iter().count());
        join_all(cluster.lines.iter().map(|line| self.keep_line_in_step(cluster, line, &apart))).await;
    }

    async fn keep_line_in_step(&self, cluster: &Cluster, line: &Line, apart: &Apart) {
        let (mut bus, mut census) = (cluster.bus.state(line.first()), cluster.census.state(line.first()));
        let mut known = None;
        let mut forget_at: Option<Instant> = None;
        loop {
            let now = generation(*bus.borrow_and_update(), *census.borrow_and_update());
            if now != known {
                apart.changed(known.is_none(), now.is_none());
                known = now;
                self.lose_track(line);
                if now.is_some() {
                    self.read_rosters(cluster, line, false).await;
                    forget_at = Some(Instant::now() + BELIEVE);
                }
            }
            let forget = async {
                match forget_at {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = bus.changed() => if changed.is_err() { return },
                changed = census.changed() => if changed.is_err() { return },
                () = forget, if known.is_some() => {
                    forget_at = None;
                    self.read_rosters(cluster, line, true).await;
                }
            }
        }
    }

    /// From now on notices are only kept: some were missed.
    fn lose_track(&self, line: &Line) {
        for topic in self.presence_channels(line) {
            self.shared.census.place(&topic).lose_track();
        }
    }

    async fn read_rosters(&self, cluster: &Cluster, line: &Line, forget: bool) {
        for topic in self.presence_channels(line) {
            // What cannot be read now is read when the state changes again.
            let Ok(roster) = cluster.census.snapshot(&topic).await else { return };
            self.take_over(&topic, roster.version, roster.members, forget);
        }
    }

    fn presence_channels(&self, line: &Line) -> impl Iterator<Item = Topic> {
        let channels = self.shared.census.presence_channels().into_iter();
        channels.filter(|topic| line.serves(Shard::of_topic(topic)))
    }

    fn take_over(&self, topic: &Topic, version: u64, members: Vec<Member>, forget: bool) {
        let mut place = self.shared.census.place(topic);
        let changes = place.read(version, members, forget);
        let flush = self.tell_changes(topic, changes);
        drop(place);
        run(flush);
    }
}

/// How many lines do not hear or are not heard. With one such, this node is no good place for new clients.
#[derive(Debug)]
struct Apart {
    readiness: Readiness,
    lines: Mutex<usize>,
}

impl Apart {
    /// All of the lines.
    fn new(readiness: Readiness, lines: usize) -> Self {
        readiness.set_apart(lines > 0);
        Self { readiness, lines: Mutex::new(lines) }
    }

    /// A line was or was not apart, and is or is not now.
    fn changed(&self, was_apart: bool, is_apart: bool) {
        let mut lines = self.lines.lock();
        *lines = *lines + usize::from(is_apart) - usize::from(was_apart);
        self.readiness.set_apart(*lines > 0);
    }
}

fn generation(bus: BusState, census: CensusState) -> Option<Generation> {
    match (bus, census) {
        (BusState::Listening(heard), CensusState::Entered(entered)) => Some(Generation { heard, entered }),
        _ => None,
    }
}
