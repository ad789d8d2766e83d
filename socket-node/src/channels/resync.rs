//! Putting right what was missed while Redis, or the way to it, was away.
//!
//! Who is a member is read again as soon as this node hears and is heard. At first only those who are new are taken
//! over: a Redis that has lost everything hears of members from their nodes, one after the other. After as long as a
//! dead node's lease lasts, whoever is still not there is gone.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Channels, run};
use crate::{
    cluster::{BusState, CensusState, Cluster},
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
    /// Puts right what was missed, for as long as the node lives.
    pub async fn keep_in_step(self, readiness: Readiness) {
        let Some(cluster) = self.cluster().cloned() else { return };
        let (mut bus, mut census) = (cluster.bus.state(), cluster.census.state());
        readiness.set_apart(true);
        let mut known = None;
        let mut forget_at: Option<Instant> = None;
        loop {
            let now = generation(*bus.borrow_and_update(), *census.borrow_and_update());
            if now != known {
                known = now;
                readiness.set_apart(now.is_none());
                self.lose_track();
                if now.is_some() {
                    self.read_rosters(&cluster, false).await;
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
                    self.read_rosters(&cluster, true).await;
                }
            }
        }
    }

    /// From now on notices are only kept: some were missed.
    fn lose_track(&self) {
        for topic in self.shared.census.presence_channels() {
            self.shared.census.place(&topic).lose_track();
        }
    }

    async fn read_rosters(&self, cluster: &Cluster, forget: bool) {
        for topic in self.shared.census.presence_channels() {
            // What cannot be read now is read when the state changes again.
            let Ok(roster) = cluster.census.snapshot(&topic).await else { return };
            self.take_over(&topic, roster.version, roster.members, forget);
        }
    }

    fn take_over(&self, topic: &Topic, version: u64, members: Vec<Member>, forget: bool) {
        let mut place = self.shared.census.place(topic);
        let changes = place.read(version, members, forget);
        let flush = self.tell_changes(topic, changes);
        drop(place);
        run(flush);
    }
}

fn generation(bus: BusState, census: CensusState) -> Option<Generation> {
    match (bus, census) {
        (BusState::Listening(heard), CensusState::Entered(entered)) => Some(Generation { heard, entered }),
        _ => None,
    }
}
