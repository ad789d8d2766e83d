//! The verbs: what can be done with channels, users and connections.
//!
//! The only room that touches the hub, the census, the cache and the webhooks; connections and the HTTP API call it and never see
//! them. Each verb keeps one promise about order: whatever a subscriber is told about a channel comes in the order in
//! which it happened, beginning with its own `subscription_succeeded`.

mod clustered;
mod counts;
mod hearing;
mod journal;
mod recalling;
mod resync;
mod subscriptions;
mod users;

use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use app_manager::{app::App, apps::Apps};
use thiserror::Error;
use tokio::time::timeout;

pub use subscriptions::{ClientFrame, Speaker, Subscription};
pub use users::{SignIn, UserSession};

pub use crate::{
    cache::CachedEvent,
    cluster::census::{Kinds, MembersFull, Occupancy},
    hub::Full,
};
use crate::{
    cache::LocalCache,
    cluster::{Cluster, Occupied, RedisCache, Shard, census::Census},
    hub::{Flush, Hub, Topic},
    protocol::{ChannelName, Close, Event, Frame, SocketId, event},
    tally::Tally,
    webhooks::Webhooks,
};
use counts::CountTeller;
pub use journal::tell_of_journal;

/// How long a publisher waits for a channel that has more to deliver than it may hold.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle to all channels of all apps. Cheap to clone: everybody holds the same ones.
#[derive(Clone, Debug)]
pub struct Channels {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: Hub,
    census: Census,
    cache: LocalCache,
    /// Where the last events of cache channels are kept; none where that is in this node.
    kept: OnceLock<RedisCache>,
    webhooks: Webhooks,
    apps: Apps,
    /// What users are told whose connections the customer's backend ends.
    terminated: Close,
    tally: Arc<Tally>,
    /// The other nodes; none where this one is the whole server.
    cluster: OnceLock<Cluster>,
    counts: CountTeller,
}

/// A channel has more to deliver than it can; the publisher should try again a little later.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("over capacity: too many events are waiting to be delivered, try again in a moment")]
pub struct Overloaded;

impl Channels {
    /// No channels yet. `terminated` is what users are told whose connections the customer's backend ends.
    pub fn new(apps: Apps, webhooks: Webhooks, terminated: Close, tally: Arc<Tally>) -> Self {
        let (hub, census, cache) = (Hub::new(Arc::clone(&tally)), Census::default(), LocalCache::default());
        let (cluster, kept, counts) = (OnceLock::new(), OnceLock::new(), CountTeller::default());
        let shared = Shared { hub, census, cache, kept, webhooks, apps, terminated, tally, cluster, counts };
        Self { shared: Arc::new(shared) }
    }

    /// From now on these channels are those of other nodes as well. To be called before anybody comes: they need the
    /// channels to hear, and the channels need them to speak.
    pub fn join_cluster(&self, cluster: Cluster) {
        assert!(self.shared.cluster.set(cluster).is_ok(), "a node is in one cluster");
    }

    /// The other nodes.
    fn cluster(&self) -> Option<&Cluster> {
        self.shared.cluster.get()
    }

    /// Counts a connection of an app in; false if the app has all that it may have.
    pub async fn connect(&self, app: &App) -> bool {
        let limit = app.limits.max_connections.and_then(NonZeroU32::new);
        match (self.cluster(), limit) {
            // Without a limit there is nothing to agree on. Without Redis, what this node has is all that is known.
            (Some(cluster), Some(_)) => match cluster.census.connect(&app.id, limit).await {
                Ok(has_room) => has_room && self.shared.census.connect(&app.id, None),
                Err(_) => self.shared.census.connect(&app.id, None),
            },
            _ => self.shared.census.connect(&app.id, limit),
        }
    }

    /// Counts a connection out that was counted in.
    pub fn disconnect(&self, app: &App) {
        self.shared.census.disconnect(&app.id);
        // Where there is no bound, nobody else has counted it.
        if let Some(cluster) = self.cluster() {
            cluster.census.disconnect(&app.id);
        }
    }

    /// An app is another one now: what Redis was told of it when its clients came is put right.
    pub fn app_changed(&self, app: &App) {
        let Some(cluster) = self.cluster() else { return };
        let census = &cluster.census;
        census.want(
            &app.id,
            |channel| clustered::wants_of_channel(app, channel),
            |channel| clustered::wants_of_members(app, channel),
        );
        let is_bounded = app.limits.max_connections.is_some();
        census.bound(&app.id, is_bounded.then(|| self.shared.census.connections(&app.id)));
    }

    /// Delivers an event to every subscriber of every channel but `except`. When this is done, the event has been
    /// written or queued for all of them; on cache channels, whoever subscribes on any node gets it, unless Redis is away.
    ///
    /// # Errors
    /// If a channel stays too full to take it. Channels before it in the list may have got it.
    pub async fn publish(
        &self,
        app: &App,
        channels: &[ChannelName],
        event: Event<'_>,
        except: Option<SocketId>,
    ) -> Result<(), Overloaded> {
        let (tally, started) = (&self.shared.tally, Instant::now());
        for channel in channels {
            let topic = topic(app, channel);
            let frame = event::published(channel, event);
            if channel.is_cache() {
                self.publish_cached(&topic, &frame, event, except).await?;
            } else {
                self.tell_others(&topic, &frame, except)?;
                let enqueue = || self.shared.hub.enqueue(&topic, &frame, except);
                run(with_patience(enqueue).await?);
            }
            tally.apps.with(&app.id, |tally| tally.api_events.one());
        }
        tally.publish_times.record(started.elapsed());
        self.await_kept(app, channels).await;
        Ok(())
    }

    /// All in one while the place is held, so that who subscribes now gets the event once: again from the cache, this one
    /// or that of all nodes, or live.
    async fn publish_cached(
        &self,
        topic: &Topic,
        frame: &Frame,
        event: Event<'_>,
        except: Option<SocketId>,
    ) -> Result<(), Overloaded> {
        let Shared { hub, census, cache, .. } = &*self.shared;
        let publish = || {
            let place = census.place(topic);
            hub.check_room(topic)?;
            let flush = self.have_kept(topic, frame, except).map(|()| {
                cache.put(topic, CachedEvent::new(frame, event.data.len()));
                hub.enqueue_always(topic, frame, except)
            });
            drop(place);
            Ok(flush)
        };
        run(with_patience(publish).await??);
        Ok(())
    }

    /// Waits until events on cache channels are where whoever subscribes on another node finds them.
    async fn await_kept(&self, app: &App, channels: &[ChannelName]) {
        let Some(kept) = self.kept() else { return };
        for channel in channels.iter().filter(|channel| channel.is_cache()) {
            kept.kept(&topic(app, channel)).await;
        }
    }

    /// Tells the nodes that have subscribers of the channel of an event. Before anybody here gets it: what is refused
    /// must not have been heard by some.
    fn tell_others(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Result<(), Overloaded> {
        match self.cluster() {
            Some(cluster) => cluster.bus.publish(topic, frame, except).map_err(|_| Overloaded),
            None => Ok(()),
        }
    }

    /// The occupied channels of an app whose names begin with `prefix`.
    pub async fn list(&self, app: &App, prefix: &str) -> Vec<(ChannelName, Occupancy)> {
        let here = || self.shared.census.occupied(&app.id, prefix);
        let Some(cluster) = self.cluster() else { return here() };
        let Occupied { mut channels, away } = cluster.census.occupied(&app.id, prefix).await;
        if !away.is_empty() {
            let shard = |channel: &ChannelName| Shard::of_topic(&topic(app, channel));
            channels.extend(here().into_iter().filter(|(channel, _)| away.contains(&shard(channel))));
        }
        channels
    }

    /// How many channels of each kind are occupied.
    pub fn kinds(&self) -> &Kinds {
        self.shared.census.kinds()
    }

    /// How full a channel is.
    pub async fn occupancy(&self, app: &App, channel: &ChannelName) -> Occupancy {
        let topic = topic(app, channel);
        if let Some(cluster) = self.cluster()
            && let Ok(occupancy) = cluster.census.occupancy(&topic).await
        {
            return occupancy;
        }
        self.shared.census.place(&topic).occupancy()
    }

    /// What a new subscriber of a cache channel would get again.
    pub async fn cached(&self, app: &App, channel: &ChannelName) -> Option<CachedEvent> {
        self.look_up(&topic(app, channel)).await
    }

    /// The ids of the users in a presence channel.
    pub async fn users(&self, app: &App, channel: &ChannelName) -> Vec<Box<str>> {
        let topic = topic(app, channel);
        if let Some(cluster) = self.cluster()
            && let Ok(users) = cluster.census.members(&topic).await
        {
            return users;
        }
        self.shared.census.members(&topic)
    }

    /// Tells what was held back until this second of the node's clock: counts of subscribers that change often, and
    /// users who are gone and have not come back. To be called every second.
    pub fn tick(&self, now: u32) {
        self.tell_due_counts(now);
        self.tell_departures(now);
    }

    /// Puts what must not be refused into a channel's inbox, and leaves the flushing to the caller.
    fn announce(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Option<Flush> {
        self.shared.hub.enqueue_always(topic, frame, except)
    }
}

/// Does something as soon as the channel has room for it.
async fn with_patience<T>(mut action: impl FnMut() -> Result<T, Full>) -> Result<T, Overloaded> {
    loop {
        match action() {
            Ok(done) => return Ok(done),
            Err(full) => timeout(PATIENCE, full.room()).await.map_err(|_| Overloaded)?,
        }
    }
}

/// Does the duties that putting events into inboxes brought, now that nothing is held any more.
fn run(duties: impl IntoIterator<Item = Flush>) {
    duties.into_iter().for_each(Flush::run);
}

fn topic(app: &App, channel: &ChannelName) -> Topic {
    Topic { app: app.id.clone(), channel: channel.clone() }
}
