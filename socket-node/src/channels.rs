//! The verbs: what can be done with channels, users and connections.
//!
//! The only room that touches the hub, the census, the cache and the webhooks; connections and the HTTP API call it and never see
//! them. Each verb keeps one promise about order: whatever a subscriber is told about a channel comes in the order in
//! which it happened, beginning with its own `subscription_succeeded`.

mod subscriptions;
mod users;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use app_manager::{
    app::{App, AppId},
    apps::Apps,
};
use thiserror::Error;

pub use subscriptions::{ClientFrame, Subscription};
pub use users::{SignIn, UserSession};

pub use crate::{
    cache::CachedEvent,
    cluster::census::{Kinds, MembersFull, Occupancy},
    hub::Full,
};
use crate::{
    cache::LocalCache,
    cluster::census::Census,
    hub::{Flush, Hub, Topic},
    protocol::{ChannelName, Close, Event, Frame, SocketId, event},
    tally::Tally,
    webhooks::Webhooks,
};

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
    webhooks: Webhooks,
    apps: Apps,
    /// What users are told whose connections the customer's backend ends.
    terminated: Close,
    tally: Arc<Tally>,
}

/// A channel has more to deliver than it can; the publisher should try again a little later.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("over capacity: too many events are waiting to be delivered, try again in a moment")]
pub struct Overloaded;

impl Channels {
    /// No channels yet. `terminated` is what users are told whose connections the customer's backend ends.
    pub fn new(apps: Apps, webhooks: Webhooks, terminated: Close, tally: Arc<Tally>) -> Self {
        let (hub, census, cache) = (Hub::new(Arc::clone(&tally)), Census::default(), LocalCache::default());
        Self { shared: Arc::new(Shared { hub, census, cache, webhooks, apps, terminated, tally }) }
    }

    /// Counts a connection of an app in; false if the app has all that it may have.
    pub fn connect(&self, app: &App) -> bool {
        let limit = app.limits.max_connections.and_then(NonZeroU32::new);
        self.shared.census.connect(&app.id, limit)
    }

    /// Counts a connection out that was counted in.
    pub fn disconnect(&self, app: &AppId) {
        self.shared.census.disconnect(app);
    }

    /// Delivers an event to every subscriber of every channel but `except`. When this is done, the event has been
    /// written or queued for all of them.
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
            while let Err(full) = self.try_publish(&topic, &frame, event, except) {
                tokio::time::timeout(PATIENCE, full.room()).await.map_err(|_| Overloaded)?;
            }
            tally.apps.of(&app.id).api_events.one();
        }
        tally.publish_times.record(started.elapsed());
        Ok(())
    }

    fn try_publish(
        &self,
        topic: &Topic,
        frame: &Frame,
        event: Event<'_>,
        except: Option<SocketId>,
    ) -> Result<(), Full> {
        let Shared { hub, census, cache, .. } = &*self.shared;
        let flush = if topic.channel.is_cache() {
            // Held, so that who subscribes now gets the event once: again from the cache or live.
            let place = census.place(topic);
            let flush = hub.enqueue(topic, frame, except)?;
            cache.put(topic, frame, event);
            drop(place);
            flush
        } else {
            hub.enqueue(topic, frame, except)?
        };
        if let Some(flush) = flush {
            flush.run();
        }
        Ok(())
    }

    /// The occupied channels of an app whose names begin with `prefix`.
    pub async fn list(&self, app: &App, prefix: &str) -> Vec<(ChannelName, Occupancy)> {
        self.shared.census.occupied(&app.id, prefix)
    }

    /// How many channels of each kind are occupied.
    pub fn kinds(&self) -> &Kinds {
        self.shared.census.kinds()
    }

    /// How full a channel is.
    pub async fn occupancy(&self, app: &App, channel: &ChannelName) -> Occupancy {
        self.shared.census.place(&topic(app, channel)).occupancy()
    }

    /// What a new subscriber of a cache channel would get again.
    pub async fn cached(&self, app: &App, channel: &ChannelName) -> Option<CachedEvent> {
        self.shared.cache.get(&topic(app, channel))
    }

    /// The ids of the users in a presence channel.
    pub async fn users(&self, app: &App, channel: &ChannelName) -> Vec<Box<str>> {
        self.shared.census.members(&topic(app, channel))
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

fn topic(app: &App, channel: &ChannelName) -> Topic {
    Topic { app: app.id.clone(), channel: channel.clone() }
}
