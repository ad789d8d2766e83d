//! Coming to a channel and leaving it where several nodes are one server.
//!
//! A node tells the census of its first and its last subscriber of a channel, and of its first and last connection of
//! a member, and hears of all members what every node hears: a member has come, on its own node too, when the notice
//! of it arrives. What is told to the census is handed in while the channel's place is held, so that Redis learns
//! of it in the order in which it happened here; what Redis answers is awaited without anything being held.
//!
//! While Redis is away, a node goes on with what it knows by itself. What it could not say and hear meanwhile is put
//! right as soon as Redis is back ([`resync`](super::resync)).

use std::{sync::Arc, time::Duration};

use app_manager::{app::App, webhook::EventKind};
use tokio::time::timeout;

use super::{Channels, Subscription, run, subscriptions::tells_count, topic};
use crate::{
    cluster::{
        Cluster, JoinError, Joined, Wants,
        census::{Change, Edge, Joining, MembersFull, Place},
    },
    hub::{Flush, Socket, Topic},
    protocol::{ChannelName, event, event::Member},
    webhooks::Webhooks,
};

/// How long a member waits for the notice of its own coming, which takes as long as an answer from Redis.
const PATIENCE: Duration = Duration::from_secs(5);

impl Channels {
    /// See [`Channels::subscribe`].
    pub(super) async fn subscribe_clustered(
        &self,
        cluster: &Cluster,
        app: &Arc<App>,
        socket: &Arc<Socket>,
        channel: ChannelName,
        member: Option<Member>,
    ) -> Result<Subscription, MembersFull> {
        let topic = topic(app, &channel);
        let user_id = member.as_ref().map(|member| member.user_id.clone());
        let tells_count = tells_count(app, &channel);
        let is_heard = self.arrive(cluster, app, &topic).await;
        if let Some(member) = member
            && let Err(full) = self.join(cluster, app, &topic, member).await
        {
            self.depart(cluster, &topic);
            return Err(full);
        }
        let recalled = if is_heard { self.recall_for(app, &topic).await } else { None };
        let place = self.shared.census.place(&topic);
        self.shared.hub.subscribe(&topic, socket, &self.greeting(app, &topic, &place, recalled));
        drop(place);
        if tells_count {
            self.tell_count_later(app, &topic);
        }
        Ok(Subscription::new(channel, user_id))
    }

    /// Makes room for one more subscriber: when this is done, this node hears what is published on the channel, and all
    /// nodes know that it is occupied; false if Redis is away.
    async fn arrive(&self, cluster: &Cluster, app: &App, topic: &Topic) -> bool {
        let (heard, entered) = {
            let mut place = self.shared.census.place(topic);
            let entered = match place.join() {
                Edge::First => Some(cluster.census.enter(topic, wants_of_channel(app, &topic.channel))),
                _ => {
                    cluster.census.count(topic, place.occupancy().subscriptions);
                    None
                }
            };
            (cluster.bus.listen(topic), entered)
        };
        // Without Redis there is nobody to hear, and nobody to tell: what is missed is put right when it is back.
        let heard = heard.await;
        if let Some(entered) = entered {
            let _ = entered.await;
        }
        heard.is_ok()
    }

    fn depart(&self, cluster: &Cluster, topic: &Topic) {
        let mut place = self.shared.census.place(topic);
        self.leave(cluster, topic, &mut place);
    }

    /// Takes back what [`arrive`](Self::arrive) did.
    fn leave(&self, cluster: &Cluster, topic: &Topic, place: &mut Place<'_>) {
        if place.leave() == Edge::Last {
            cluster.census.leave(topic);
            cluster.bus.unlisten(topic);
            if topic.channel.is_cache() {
                self.shared.cache.fall_out_of_step(topic);
            }
        } else {
            cluster.census.count(topic, place.occupancy().subscriptions);
        }
    }

    /// Makes a user a member, or one more connection of a member that it is already.
    async fn join(
        &self,
        cluster: &Cluster,
        app: &App,
        topic: &Topic,
        member: Member,
    ) -> Result<(), MembersFull> {
        let limit = app.limits.max_presence_members_per_channel;
        let answer = {
            let mut place = self.shared.census.place(topic);
            match place.begin_join(&member) {
                Joining::IsMember => return Ok(()),
                Joining::Asks { roster } => {
                    cluster.census.join(topic, &member, limit, wants_of_members(app, &topic.channel), roster)
                }
            }
        };
        match answer.await {
            Ok(joined) => {
                self.joined(topic, &member.user_id, joined).await;
                Ok(())
            }
            Err(JoinError::Full { limit }) => {
                self.shared.census.place(topic).end_join(&member.user_id, false);
                Err(MembersFull { limit })
            }
            Err(JoinError::Away(_)) => {
                let mut place = self.shared.census.place(topic);
                place.end_join(&member.user_id, true);
                let flush = self.presume(topic, &mut place, Change::Joined(member));
                drop(place);
                run(flush);
                Ok(())
            }
        }
    }

    /// Waits until this node has heard of it as all others do.
    async fn joined(&self, topic: &Topic, user_id: &str, joined: Joined) {
        let (flush, heard) = {
            let mut place = self.shared.census.place(topic);
            let roster = joined.roster.map(|roster| place.read(joined.version, roster, false));
            place.end_join(user_id, true);
            (self.tell_changes(topic, roster.unwrap_or_default()), place.heard_of(joined.version))
        };
        run(flush);
        // If Redis goes away just now, the roster is read again when it is back.
        let _ = timeout(PATIENCE, heard).await;
    }

    /// See [`Channels::unsubscribe`].
    pub(super) fn unsubscribe_clustered(
        &self,
        cluster: &Cluster,
        app: &Arc<App>,
        socket: &Arc<Socket>,
        subscription: &Subscription,
    ) {
        let (channel, user_id) = subscription.parts();
        let tells_count = tells_count(app, channel);
        let topic = topic(app, channel);
        let mut place = self.shared.census.place(&topic);
        self.shared.hub.unsubscribe(&topic, socket.id());
        let mut flush = None;
        if let Some(user_id) = user_id
            && place.begin_leave(user_id)
        {
            cluster.census.part(&topic, user_id);
            if cluster.census.is_away(&topic) {
                flush = self.presume(&topic, &mut place, Change::Left(user_id.into()));
            }
        }
        self.leave(cluster, &topic, &mut place);
        drop(place);
        run(flush);
        if tells_count {
            self.tell_count_later(app, &topic);
        }
    }

    /// Makes a change that the census cannot be told of.
    fn presume(&self, topic: &Topic, place: &mut Place<'_>, change: Change) -> Option<Flush> {
        if place.apply(&change) { self.tell_changes(topic, vec![change]) } else { None }
    }

    /// Tells the subscribers here of changes, while the place is held in which they were made.
    pub(super) fn tell_changes(&self, topic: &Topic, changes: Vec<Change>) -> Option<Flush> {
        let channel = &topic.channel;
        let mut duty = None;
        for change in changes {
            let notice = match change {
                Change::Joined(member) => event::member_added(channel, &member),
                Change::Left(user_id) => event::member_removed(channel, &user_id),
            };
            // Only the first can give the duty to flush; it is for all.
            duty = self.announce(topic, &notice, None).or(duty);
        }
        duty
    }
}

/// Whether the app's webhooks tell of a channel's occupation and vacation.
pub(super) fn wants_of_channel(app: &App, channel: &ChannelName) -> Wants {
    wants(app, channel, EventKind::ChannelOccupied, EventKind::ChannelVacated)
}

/// Whether the app's webhooks tell of a channel's members.
pub(super) fn wants_of_members(app: &App, channel: &ChannelName) -> Wants {
    wants(app, channel, EventKind::MemberAdded, EventKind::MemberRemoved)
}

fn wants(app: &App, channel: &ChannelName, arrival: EventKind, departure: EventKind) -> Wants {
    let is_wanted = |kind| Webhooks::are_wanted(app, kind, channel);
    Wants { arrival: is_wanted(arrival), departure: is_wanted(departure) }
}
