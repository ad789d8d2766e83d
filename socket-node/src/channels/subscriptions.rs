//! Coming to a channel, leaving it, and speaking on it as a client.

use std::sync::Arc;

use app_manager::{app::App, webhook::EventKind};
use webhook_worker::event::{WebhookEvent, as_text};

use super::{
    Channels, MembersFull, Shared,
    recalling::{Recalled, Replay},
    run, topic,
};
use crate::{
    cluster::census::{Edge, Place},
    hub::{Flush, Full, Socket, Topic, pulse},
    protocol::{ChannelName, Event, Frame, event, event::Member},
    tally::AppTally,
    webhooks::Webhooks,
};

/// A connection's subscription to a channel. It must be given back with [`Channels::unsubscribe`].
#[derive(Debug)]
pub struct Subscription {
    channel: ChannelName,
    /// Which member the connection is, on presence channels.
    user_id: Option<Box<str>>,
}

/// The client that sends an event.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// Its connection, which does not get the event.
    pub socket: &'a Arc<Socket>,
    /// Where its events are counted.
    pub tally: &'a AppTally,
}

/// Whether subscribers of a channel are told how many they are.
pub(super) fn tells_count(app: &App, channel: &ChannelName) -> bool {
    app.features.subscription_count && !channel.is_presence()
}

impl Subscription {
    pub(super) const fn new(channel: ChannelName, user_id: Option<Box<str>>) -> Self {
        Self { channel, user_id }
    }

    /// The channel, and which member it is.
    pub(super) fn parts(&self) -> (&ChannelName, Option<&str>) {
        (&self.channel, self.user_id.as_deref())
    }

    /// To what.
    pub const fn channel(&self) -> &ChannelName {
        &self.channel
    }
}

impl Channels {
    /// Subscribes a connection that is not subscribed yet and may be. On presence channels it comes as `member`. The
    /// connection is told of its success before anything else happens to it on this channel.
    ///
    /// # Errors
    /// If the channel would have too many members; nothing has changed then.
    pub async fn subscribe(
        &self,
        app: &Arc<App>,
        socket: &Arc<Socket>,
        channel: ChannelName,
        member: Option<Member>,
    ) -> Result<Subscription, MembersFull> {
        if let Some(cluster) = self.cluster() {
            return self.subscribe_clustered(cluster, app, socket, channel, member).await;
        }
        let Shared { hub, census, webhooks, .. } = &*self.shared;
        let topic = topic(app, &channel);
        let user_id = member.as_ref().map(|member| member.user_id.clone());
        let tells_count = tells_count(app, &channel);

        let recalled = self.recall_for(app, &topic).await;
        let mut place = census.place(&topic);
        let news = match member {
            Some(member) => {
                let notice = event::member_added(&channel, &member);
                let edge = place.join_member(member, app.limits.max_presence_members_per_channel)?;
                (edge == Edge::First).then_some(notice)
            }
            None => None,
        };
        if place.join() == Edge::First {
            webhooks.arrived(app, &topic, None);
        }
        if news.is_some() {
            webhooks.arrived(app, &topic, user_id.as_deref());
        }
        hub.subscribe(&topic, socket, &self.greeting(app, &topic, &place, recalled));
        let news = news.and_then(|notice| self.announce(&topic, &notice, Some(socket.id())));
        let count = tells_count.then(|| self.announce_count(app, &topic, &mut place)).flatten();
        drop(place);
        run(news.into_iter().chain(count));
        Ok(Subscription { channel, user_id })
    }

    /// Ends a subscription; nothing more is sent to the connection on this channel.
    pub fn unsubscribe(&self, app: &Arc<App>, socket: &Arc<Socket>, subscription: &Subscription) {
        if let Some(cluster) = self.cluster() {
            return self.unsubscribe_clustered(cluster, app, socket, subscription);
        }
        let Shared { hub, census, webhooks, .. } = &*self.shared;
        let Subscription { channel, user_id } = subscription;
        let tells_count = tells_count(app, channel);
        let topic = topic(app, channel);

        let mut place = census.place(&topic);
        hub.unsubscribe(&topic, socket.id());
        let removed = user_id.as_deref().filter(|user_id| place.leave_member(user_id) == Edge::Last);
        if removed.is_some() {
            webhooks.departed(app, &topic, removed);
        }
        if place.leave() == Edge::Last {
            webhooks.departed(app, &topic, None);
        }
        let news =
            removed.and_then(|user_id| self.announce(&topic, &event::member_removed(channel, user_id), None));
        let count = tells_count.then(|| self.announce_count(app, &topic, &mut place)).flatten();
        drop(place);
        run(news.into_iter().chain(count));
    }

    /// Hands a client's event to all other subscribers.
    ///
    /// # Errors
    /// If the channel has too much to deliver; the connection should wait for room, and so its client does too.
    pub fn client_event(
        &self,
        app: &Arc<App>,
        speaker: Speaker<'_>,
        subscription: &Subscription,
        event: Event<'_>,
    ) -> Result<(), (Full, ClientFrame)> {
        let Subscription { channel, user_id } = subscription;
        if Webhooks::are_wanted(app, EventKind::ClientEvent, channel) {
            self.shared.webhooks.tell(app, client_event(speaker.socket, subscription, event));
        }
        let frame = event::client_event(channel, event, user_id.as_deref());
        self.forward(speaker, ClientFrame { topic: topic(app, channel), frame })
    }

    /// The same for an event that had to wait.
    ///
    /// # Errors
    /// If there is still no room.
    pub fn forward(&self, speaker: Speaker<'_>, event: ClientFrame) -> Result<(), (Full, ClientFrame)> {
        let Speaker { socket, tally } = speaker;
        match self.shared.hub.enqueue(&event.topic, &event.frame, Some(socket.id())) {
            Ok(flush) => {
                // A client is told of nothing that becomes of its events; that other nodes did not hear is counted.
                if self.tell_others(&event.topic, &event.frame, Some(socket.id())).is_err() {
                    self.shared.tally.unheard.one();
                }
                tally.client_events.one();
                run(flush);
                Ok(())
            }
            Err(full) => Err((full, event)),
        }
    }

    /// What has to be known before somebody is [greeted](Self::greeting) who wants to hear what it missed.
    pub(super) async fn recall_for<'a>(&'a self, app: &App, topic: &'a Topic) -> Option<Recalled<'a>> {
        self.recall(topic, Webhooks::are_wanted(app, EventKind::CacheMiss, &topic.channel)).await
    }

    /// What a new subscriber gets before any event: that it is one, and on cache channels what it missed.
    pub(super) fn greeting(
        &self,
        app: &Arc<App>,
        topic: &Topic,
        place: &Place<'_>,
        recalled: Option<Recalled<'_>>,
    ) -> Vec<Frame> {
        let channel = &topic.channel;
        let success = if channel.is_presence() {
            event::presence_subscription_succeeded(channel, place.members().into_iter())
        } else {
            event::subscription_succeeded(channel)
        };
        if !channel.is_cache() {
            return vec![success];
        }
        let is_first = match self.replay(topic, recalled) {
            Replay::Event(last) => return vec![success, last.frame().clone()],
            Replay::Miss { is_first } => is_first,
        };
        if is_first && Webhooks::are_wanted(app, EventKind::CacheMiss, channel) {
            self.shared.webhooks.tell(app, WebhookEvent::CacheMiss { channel: channel.to_string() });
        }
        vec![success, event::cache_miss(channel)]
    }

    /// Puts the new count of subscribers into the inbox, if it is to be told now.
    fn announce_count(&self, app: &Arc<App>, topic: &Topic, place: &mut Place<'_>) -> Option<Flush> {
        let channel = &topic.channel;
        let count = place.count_to_tell(pulse::now())?;
        self.tell_webhooks_of_count(app, channel, count);
        self.announce(topic, &event::subscription_count(channel, count), None)
    }

    pub(super) fn tell_webhooks_of_count(&self, app: &Arc<App>, channel: &ChannelName, count: u32) {
        if Webhooks::are_wanted(app, EventKind::SubscriptionCount, channel) {
            let (channel, subscription_count) = (channel.to_string(), count.into());
            self.shared.webhooks.tell(app, WebhookEvent::SubscriptionCount { channel, subscription_count });
        }
    }

    pub(super) fn tell_due_counts(&self, now: u32) {
        let Shared { census, apps, .. } = &*self.shared;
        for topic in census.due_counts(now) {
            // It has subscribers, so it is known, unless it has just been deleted.
            let Some(app) = apps.known(topic.app.as_str()) else { continue };
            if self.cluster().is_some() {
                self.tell_count_later(&app, &topic);
                continue;
            }
            let mut place = census.place(&topic);
            let count = self.announce_count(&app, &topic, &mut place);
            drop(place);
            run(count);
        }
    }
}

/// A client's event as a webhook tells of it.
fn client_event(socket: &Arc<Socket>, subscription: &Subscription, event: Event<'_>) -> WebhookEvent {
    WebhookEvent::ClientEvent {
        channel: subscription.channel.to_string(),
        event: as_text(event.name),
        data: as_text(event.data),
        socket_id: socket.id().to_string(),
        user_id: subscription.user_id.as_deref().map(str::to_owned),
    }
}

/// A client's event, encoded for its channel.
#[derive(Debug)]
pub struct ClientFrame {
    topic: Topic,
    frame: Frame,
}
