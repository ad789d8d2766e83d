//! One channel's entry in the census, held while it changes.

use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    Edge, Kinds, Shard,
    roster::{Change, Joining, Notice, Roster},
};
use crate::{hub::Topic, protocol::event::Member};

/// Up to so many subscribers every change of their count is told; above, only every few seconds.
const TELL_EACH_UP_TO: u32 = 100;

/// Seconds between two counts told to a channel with many subscribers.
const TELL_EVERY: u32 = 5;

/// What the census keeps of an occupied channel.
#[derive(Debug, Default)]
pub(super) struct ChannelState {
    subscriptions: u32,
    /// When the count of subscribers was told last.
    told: u32,
    /// Whether a reminder to tell the count is on its way.
    is_reminded: bool,
    /// Only presence channels have members.
    roster: Option<Box<Roster>>,
}

/// How full a channel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Subscribed connections.
    pub subscriptions: u32,
    /// Distinct users; 0 where it is no presence channel.
    pub users: u32,
}

impl Occupancy {
    /// Whether anybody is subscribed.
    pub const fn is_occupied(self) -> bool {
        self.subscriptions > 0
    }
}

/// The channel has all the members that it may have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the channel has reached its limit of {limit} members")]
pub struct MembersFull {
    /// What the app allows.
    pub limit: u32,
}

/// A channel whose count is to be told later.
#[derive(Debug)]
pub(super) struct Reminder {
    pub(super) due: u32,
    pub(super) topic: Topic,
}

/// One channel, held: nobody else changes it, or brings it into another order, until this is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    shard: MutexGuard<'a, Shard>,
    topic: &'a Topic,
    reminders: &'a Mutex<Vec<Reminder>>,
    kinds: &'a Kinds,
}

impl<'a> Place<'a> {
    pub(super) const fn new(
        shard: MutexGuard<'a, Shard>,
        topic: &'a Topic,
        reminders: &'a Mutex<Vec<Reminder>>,
        kinds: &'a Kinds,
    ) -> Self {
        Self { shard, topic, reminders, kinds }
    }

    /// A subscriber comes.
    pub fn join(&mut self) -> Edge {
        let state = self.entry();
        state.subscriptions += 1;
        if state.subscriptions > 1 {
            return Edge::None;
        }
        self.kinds.occupied(&self.topic.channel);
        Edge::First
    }

    /// A subscriber leaves that had come before.
    pub fn leave(&mut self) -> Edge {
        let Some(channels) = self.shard.get_mut(&self.topic.app) else { return Edge::None };
        let Some(state) = channels.get_mut(&self.topic.channel) else { return Edge::None };
        state.subscriptions -= 1;
        if state.subscriptions > 0 {
            return Edge::None;
        }
        channels.remove(&self.topic.channel);
        self.kinds.vacated(&self.topic.channel);
        if channels.is_empty() {
            self.shard.remove(&self.topic.app);
        }
        Edge::Last
    }

    /// A connection of a member comes; it still has to [`join`](Self::join). The limit is on members, not on their
    /// connections.
    ///
    /// # Errors
    /// If one more member would be too many.
    pub fn join_member(&mut self, member: Member, limit: u32) -> Result<Edge, MembersFull> {
        let roster = self.roster_entry();
        if !roster.has(&member.user_id) {
            if roster.len() >= limit {
                return Err(MembersFull { limit });
            }
            roster.connect(&member);
            roster.apply(&Change::Joined(member));
            return Ok(Edge::First);
        }
        roster.connect(&member);
        Ok(Edge::None)
    }

    /// A connection of a member leaves; it still has to [`leave`](Self::leave).
    pub fn leave_member(&mut self, user_id: &str) -> Edge {
        let Some(roster) = self.roster_mut() else { return Edge::None };
        if !roster.disconnect(user_id) {
            return Edge::None;
        }
        roster.apply(&Change::Left(user_id.into()));
        Edge::Last
    }

    /// A connection of a user wants to come where other nodes have members as well. If it has to be asked, it has to
    /// be told by [`end_join`](Self::end_join) how that ended.
    pub fn begin_join(&mut self, member: &Member) -> Joining {
        self.roster_entry().begin_join(member)
    }

    /// A connection that asked came, or did not.
    pub fn end_join(&mut self, user_id: &str, has_come: bool) {
        if let Some(roster) = self.roster_mut() {
            roster.end_join(user_id, has_come);
        }
    }

    /// A connection of a user leaves where other nodes have members as well; true if it was the last here. The user
    /// is a member until the notice of it is heard.
    pub fn begin_leave(&mut self, user_id: &str) -> bool {
        self.roster_mut().is_some_and(|roster| roster.disconnect(user_id))
    }

    /// Makes a change that nobody could be asked about; false if there is nothing to change.
    pub fn apply(&mut self, change: &Change) -> bool {
        self.roster_mut().is_some_and(|roster| roster.apply(change))
    }

    /// Answers when every notice up to a version was heard.
    pub fn heard_of(&mut self, version: u64) -> oneshot::Receiver<()> {
        self.roster_entry().heard_of(version)
    }

    /// Takes a notice in; gives what it changed. Nobody is told of channels without subscribers here.
    pub fn hear(&mut self, notice: Notice) -> Option<Change> {
        self.state()?;
        self.roster_entry().hear(notice)
    }

    /// From here to the next [`read`](Self::read), notices are only kept: some may have been missed.
    pub fn lose_track(&mut self) {
        if let Some(roster) = self.roster_mut() {
            roster.lose_track();
        }
    }

    /// Takes over who is there at a version; gives what that changed. See [`Roster::read`].
    pub fn read(&mut self, version: u64, members: Vec<Member>, forget: bool) -> Vec<Change> {
        if self.state().is_none() {
            return Vec::new();
        }
        self.roster_entry().read(version, members, forget)
    }

    /// The members, in the order of their ids.
    pub fn members(&self) -> Vec<&Member> {
        self.roster().map(|roster| roster.members().collect()).unwrap_or_default()
    }

    /// How full the channel is.
    pub fn occupancy(&self) -> Occupancy {
        self.state().map(ChannelState::occupancy).unwrap_or_default()
    }

    /// The count of subscribers, if it is to be told at this second. If it must wait, a reminder is set.
    pub fn count_to_tell(&mut self, now: u32) -> Option<u32> {
        let channels = self.shard.get_mut(&self.topic.app)?;
        let state = channels.get_mut(&self.topic.channel)?;
        let is_due = now.saturating_sub(state.told) >= TELL_EVERY;
        if state.subscriptions <= TELL_EACH_UP_TO || is_due {
            state.told = now;
            state.is_reminded = false;
            return Some(state.subscriptions);
        }
        if !std::mem::replace(&mut state.is_reminded, true) {
            self.reminders.lock().push(Reminder { due: state.told + TELL_EVERY, topic: self.topic.clone() });
        }
        None
    }

    fn state(&self) -> Option<&ChannelState> {
        self.shard.get(&self.topic.app)?.get(&self.topic.channel)
    }

    fn entry(&mut self) -> &mut ChannelState {
        let channels = self.shard.entry(self.topic.app.clone()).or_default();
        channels.entry(self.topic.channel.clone()).or_default()
    }

    fn roster(&self) -> Option<&Roster> {
        self.state()?.roster.as_deref()
    }

    fn roster_entry(&mut self) -> &mut Roster {
        self.entry().roster.get_or_insert_default()
    }

    fn roster_mut(&mut self) -> Option<&mut Roster> {
        let channels = self.shard.get_mut(&self.topic.app)?;
        channels.get_mut(&self.topic.channel)?.roster.as_deref_mut()
    }
}

impl ChannelState {
    pub(super) fn occupancy(&self) -> Occupancy {
        let users = self.roster.as_ref().map_or(0, |roster| roster.len());
        Occupancy { subscriptions: self.subscriptions, users }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Census, *};
    use crate::protocol::ChannelName;

    fn topic() -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse("presence-x", 200).unwrap() }
    }

    fn member(user_id: &str) -> Member {
        Member { user_id: user_id.into(), user_info: None }
    }

    #[test]
    fn the_first_and_the_last_subscriber_are_edges() {
        let (census, topic) = (Census::default(), topic());
        assert_eq!(census.place(&topic).join(), Edge::First);
        assert_eq!(census.place(&topic).join(), Edge::None);
        assert_eq!(census.place(&topic).leave(), Edge::None);
        assert_eq!(census.place(&topic).leave(), Edge::Last);
        assert_eq!(census.place(&topic).leave(), Edge::None);
        assert!(census.occupied(&topic.app, "").is_empty());
    }

    #[test]
    fn a_member_with_two_connections_counts_once() {
        let (census, topic) = (Census::default(), topic());
        let mut place = census.place(&topic);
        assert_eq!(place.join_member(member("a"), 2), Ok(Edge::First));
        assert_eq!(place.join_member(member("a"), 2), Ok(Edge::None));
        assert_eq!(place.occupancy().users, 1);
        assert_eq!(place.leave_member("a"), Edge::None);
        assert_eq!(place.leave_member("a"), Edge::Last);
        assert_eq!(place.leave_member("a"), Edge::None);
        assert_eq!(place.members().len(), 0);
    }

    #[test]
    fn the_limit_is_on_members_not_on_connections() {
        let (census, topic) = (Census::default(), topic());
        let mut place = census.place(&topic);
        place.join_member(member("a"), 1).unwrap();
        assert_eq!(place.join_member(member("b"), 1), Err(MembersFull { limit: 1 }));
        assert_eq!(place.join_member(member("a"), 1), Ok(Edge::None));
    }

    #[test]
    fn counts_of_large_channels_are_told_every_five_seconds() {
        let (census, topic) = (Census::default(), topic());
        let mut place = census.place(&topic);
        for _ in 0..100 {
            place.join();
            assert!(place.count_to_tell(50).is_some());
        }
        place.join();
        assert_eq!(place.count_to_tell(52), None);
        assert_eq!(place.count_to_tell(53), None);
        drop(place);
        assert!(census.due_counts(54).is_empty());
        assert_eq!(census.due_counts(55), std::slice::from_ref(&topic));
        assert_eq!(census.place(&topic).count_to_tell(55), Some(101));
        assert!(census.due_counts(100).is_empty());
    }
}
