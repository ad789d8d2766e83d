//! What this node holds: the truth, out of which everything in Redis can be entered again.

use std::collections::HashMap;

use app_manager::app::AppId;
use serde_json::value::RawValue;

use super::{
    Wants,
    scripts::{Change, Kind, Target},
};
use crate::{
    cluster::redis::keys::{Shard, name, name_of_app},
    hub::Topic,
    protocol::{ChannelName, event::Member},
};

/// The entries of this node, whether or not Redis knows of them yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: HashMap<Entry, Holding>,
    /// Channels whose count has changed. Some may be here twice, or not be held any more.
    counts: Vec<Topic>,
    /// The last serial number given.
    serial: u64,
}

/// What can be held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Entry {
    Channel(Topic),
    Member(Topic, Box<str>),
    User(AppId, Box<str>),
    Connections(AppId),
}

/// An entry at one time: the same that left and came back has another serial number, so that an answer that comes late
/// changes nothing for it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) entry: Entry,
    serial: u64,
}

#[derive(Debug)]
struct Holding {
    serial: u64,
    /// Whether Redis has had it. What was entered into an empty Redis for the second time is not news.
    is_entered: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Channel { subscriptions: u32, is_count_due: bool, wants: Wants },
    Member { info: Option<Box<RawValue>>, wants: Wants },
    User,
    Connections(u32),
}

impl Held {
    /// A channel has its first subscriber here.
    pub(super) fn enter(&mut self, topic: &Topic, wants: Wants) -> (Claim, Change) {
        let what = What::Channel { subscriptions: 1, is_count_due: false, wants };
        (
            self.put(Entry::Channel(topic.clone()), what),
            Change::Enter { subscriptions: 1, wants, is_quiet: false },
        )
    }

    /// A channel has so many subscribers here; whether it is the first count that waits to be told.
    pub(super) fn count(&mut self, topic: &Topic, now: u32) -> bool {
        let entry = Entry::Channel(topic.clone());
        let Some(Holding { what: What::Channel { subscriptions, is_count_due, .. }, .. }) =
            self.entries.get_mut(&entry)
        else {
            return false;
        };
        if *subscriptions == now {
            return false;
        }
        *subscriptions = now;
        if !std::mem::replace(is_count_due, true) {
            self.counts.push(topic.clone());
        }
        self.counts.len() == 1
    }

    /// The counts that have changed since this was asked last.
    pub(super) fn take_counts(&mut self) -> Vec<(Target, Change)> {
        let mut changes = Vec::with_capacity(self.counts.len());
        for topic in self.counts.drain(..) {
            let entry = Entry::Channel(topic);
            if let Some(holding) = self.entries.get_mut(&entry)
                && let What::Channel { subscriptions, is_count_due, .. } = &mut holding.what
                && std::mem::take(is_count_due)
            {
                changes.push((entry.target(), Change::Count { subscriptions: *subscriptions }));
            }
        }
        changes
    }

    /// The count of a channel, which then does not wait any more; `None` if the channel is not held.
    pub(super) fn take_count(&mut self, topic: &Topic) -> Option<(Target, Change)> {
        let entry = Entry::Channel(topic.clone());
        let What::Channel { subscriptions, is_count_due, .. } = &mut self.entries.get_mut(&entry)?.what
        else {
            return None;
        };
        *is_count_due = false;
        Some((entry.target(), Change::Count { subscriptions: *subscriptions }))
    }

    /// A member has the first connection here.
    pub(super) fn join(
        &mut self,
        topic: &Topic,
        member: &Member,
        limit: u32,
        wants: Wants,
        roster: bool,
    ) -> (Claim, Change) {
        let info = member.user_info.clone();
        let what = What::Member { info: info.clone(), wants };
        let claim = self.put(Entry::Member(topic.clone(), member.user_id.clone()), what);
        (claim, Change::Join { info, limit: Some(limit), wants, roster, is_quiet: false })
    }

    /// A user has the first signed-in connection here.
    pub(super) fn sign_in(&mut self, app: &AppId, user_id: &str) -> (Claim, Change) {
        (self.put(Entry::User(app.clone(), user_id.into()), What::User), Change::SignIn)
    }

    /// An app has one more connection here.
    pub(super) fn connect(&mut self, app: &AppId, limit: Option<u32>) -> (Claim, Change) {
        let entry = Entry::Connections(app.clone());
        let change = Change::Connect { connections: 1, limit };
        if let Some(holding) = self.entries.get_mut(&entry)
            && let What::Connections(connections) = &mut holding.what
        {
            *connections += 1;
            return (Claim { entry, serial: holding.serial }, change);
        }
        (self.put(entry, What::Connections(1)), change)
    }

    /// An app has one connection less here.
    pub(super) fn disconnect(&mut self, app: &AppId) -> Option<(Target, Change)> {
        let entry = Entry::Connections(app.clone());
        self.drop_connection(&entry).then(|| (entry.target(), Change::Disconnect))
    }

    /// The app wants other webhooks: gives what is to be entered again for that, each in its own place.
    pub(super) fn want(
        &mut self,
        app: &AppId,
        wants: impl Fn(&Entry) -> Option<Wants>,
    ) -> Vec<(Target, Claim, Change)> {
        let mut changes = Vec::new();
        for (entry, holding) in &mut self.entries {
            let (Entry::Channel(topic) | Entry::Member(topic, _)) = entry else { continue };
            let (What::Channel { wants: wanted, .. } | What::Member { wants: wanted, .. }) =
                &mut holding.what
            else {
                continue;
            };
            if topic.app == *app
                && let Some(wants) = wants(entry).filter(|wants| wants != wanted)
            {
                *wanted = wants;
                let claim = Claim { entry: entry.clone(), serial: holding.serial };
                changes.push((entry.target(), claim, holding.what.enter_again(false)));
            }
        }
        changes
    }

    /// An app that had no bound for its connections has one: so many are here already.
    pub(super) fn adopt(&mut self, app: &AppId, connections: u32) -> Option<(Target, Claim, Change)> {
        let entry = Entry::Connections(app.clone());
        let counted = match self.entries.get(&entry).map(|holding| &holding.what) {
            Some(What::Connections(counted)) => *counted,
            _ => 0,
        };
        let missing = connections.checked_sub(counted).filter(|missing| *missing > 0)?;
        let claim = match self.entries.get_mut(&entry) {
            Some(holding) => {
                holding.what = What::Connections(connections);
                Claim { entry, serial: holding.serial }
            }
            None => self.put(entry, What::Connections(connections)),
        };
        Some((claim.entry.target(), claim, Change::Connect { connections: missing, limit: None }))
    }

    /// An entry is over; `None` if it is not held.
    pub(super) fn end(&mut self, entry: &Entry) -> Option<(Target, Change)> {
        self.entries.remove(entry).map(|_| (entry.target(), Change::Undo(entry.kind())))
    }

    /// Redis has this now.
    pub(super) fn confirm(&mut self, claim: &Claim) {
        if let Some(holding) = self.entries.get_mut(&claim.entry)
            && holding.serial == claim.serial
        {
            holding.is_entered = true;
        }
    }

    /// Redis would not have this.
    pub(super) fn refuse(&mut self, claim: &Claim) {
        if let Entry::Connections(_) = claim.entry {
            self.drop_connection(&claim.entry);
        } else if self.entries.get(&claim.entry).is_some_and(|holding| holding.serial == claim.serial) {
            self.entries.remove(&claim.entry);
        }
    }

    /// Everything, to be entered again; no limit keeps out who is already here. In the shards where `is_empty_again`,
    /// what Redis has had before is entered quietly: only Redis has forgotten it.
    pub(super) fn all(&mut self, is_empty_again: impl Fn(Shard) -> bool) -> Vec<(Target, Claim, Change)> {
        self.counts.clear();
        let changes = self.entries.iter_mut().map(|(entry, holding)| {
            let target = entry.target();
            let is_quiet = holding.is_entered && is_empty_again(target.shard);
            let change = holding.what.enter_again(is_quiet);
            (target, Claim { entry: entry.clone(), serial: holding.serial }, change)
        });
        changes.collect()
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn put(&mut self, entry: Entry, what: What) -> Claim {
        self.serial += 1;
        let serial = self.serial;
        self.entries.insert(entry.clone(), Holding { serial, is_entered: false, what });
        Claim { entry, serial }
    }

    /// Whether there was a connection to drop.
    fn drop_connection(&mut self, entry: &Entry) -> bool {
        let Some(Holding { what: What::Connections(connections), .. }) = self.entries.get_mut(entry) else {
            return false;
        };
        *connections -= 1;
        if *connections == 0 {
            self.entries.remove(entry);
        }
        true
    }
}

impl What {
    fn enter_again(&mut self, is_quiet: bool) -> Change {
        match self {
            Self::Channel { subscriptions, is_count_due, wants } => {
                *is_count_due = false;
                Change::Enter { subscriptions: *subscriptions, wants: *wants, is_quiet }
            }
            Self::Member { info, wants } => {
                Change::Join { info: info.clone(), limit: None, wants: *wants, roster: false, is_quiet }
            }
            Self::User => Change::SignIn,
            Self::Connections(connections) => Change::Connect { connections: *connections, limit: None },
        }
    }
}

impl Entry {
    /// Where it is in Redis.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Channel(topic) => Target::of(topic, ""),
            Self::Member(topic, user_id) => Target::of(topic, user_id),
            // Where watchers hear of the user.
            Self::User(app, user_id) => {
                let channel = ChannelName::of_watched_user(user_id);
                Target::of(&Topic { app: app.clone(), channel }, user_id)
            }
            Self::Connections(app) => {
                let name = format!("{}:", name_of_app(app));
                Target { shard: Shard::of_app(app), name, user_id: "".into() }
            }
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Channel(_) => Kind::Channel,
            Self::Member(..) => Kind::Member,
            Self::User(..) => Kind::User,
            Self::Connections(_) => Kind::Connections,
        }
    }
}

impl Target {
    fn of(topic: &Topic, user_id: &str) -> Self {
        Self { shard: Shard::of_topic(topic), name: name(topic), user_id: user_id.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WEBHOOKS: Wants = Wants { arrival: false, departure: false };

    fn topic() -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse("presence-x", 200).unwrap() }
    }

    fn member(user_id: &str) -> Member {
        Member { user_id: user_id.into(), user_info: None }
    }

    #[test]
    fn what_is_refused_late_does_not_concern_who_came_back() {
        let mut held = Held::default();
        let (refused, _) = held.join(&topic(), &member("a"), 1, NO_WEBHOOKS, false);
        held.end(&Entry::Member(topic(), "a".into())).unwrap();
        let (again, _) = held.join(&topic(), &member("a"), 1, NO_WEBHOOKS, false);
        held.refuse(&refused);
        assert_eq!(held.len(), 1);
        held.refuse(&again);
        assert_eq!(held.len(), 0);
        assert!(held.end(&Entry::Member(topic(), "a".into())).is_none());
    }

    #[test]
    fn many_changes_of_a_count_are_told_once() {
        let mut held = Held::default();
        assert!(!held.count(&topic(), 2));
        held.enter(&topic(), NO_WEBHOOKS);
        assert!(held.count(&topic(), 2));
        held.count(&topic(), 3);
        let counts = held.take_counts();
        assert!(matches!(*counts, [(_, Change::Count { subscriptions: 3 })]), "{counts:?}");
        assert!(!held.count(&topic(), 3));
        assert!(held.take_counts().is_empty());
    }

    #[test]
    fn only_what_an_emptied_redis_had_is_entered_quietly() {
        let mut held = Held::default();
        let (claim, _) = held.enter(&topic(), NO_WEBHOOKS);
        let is_quiet = |held: &mut Held, is_empty_again: bool| match &*held.all(|_| is_empty_again) {
            [(_, _, Change::Enter { is_quiet, .. })] => *is_quiet,
            others => panic!("{others:?}"),
        };
        assert!(!is_quiet(&mut held, true));
        held.confirm(&claim);
        assert!(is_quiet(&mut held, true));
        assert!(!is_quiet(&mut held, false));
    }

    #[test]
    fn only_what_an_app_wants_otherwise_is_entered_again() {
        let mut held = Held::default();
        held.enter(&topic(), NO_WEBHOOKS);
        held.join(&topic(), &member("a"), 9, NO_WEBHOOKS, false);
        held.enter(&Topic { app: "2".into(), ..topic() }, NO_WEBHOOKS);
        held.sign_in(&"1".into(), "a");
        let departures = Wants { arrival: false, departure: true };
        let of_members =
            |entry: &Entry| Some(if matches!(entry, Entry::Member(..)) { departures } else { NO_WEBHOOKS });
        let changes = held.want(&"1".into(), of_members);
        assert!(
            matches!(&*changes, [(_, _, Change::Join { wants, limit: None, .. })] if *wants == departures),
            "{changes:?}"
        );
        assert!(held.want(&"1".into(), of_members).is_empty());
    }

    #[test]
    fn connections_that_were_not_counted_are_when_there_is_a_bound() {
        let mut held = Held::default();
        let app = AppId::from("1");
        let added = |change| match change {
            Some((_, _, Change::Connect { connections, limit: None })) => connections,
            None => 0,
            other => panic!("{other:?}"),
        };
        held.connect(&app, Some(9));
        assert_eq!(added(held.adopt(&app, 3)), 2);
        assert_eq!(added(held.adopt(&app, 3)), 0);
        assert!((0..3).all(|_| held.disconnect(&app).is_some()));
        assert!(held.disconnect(&app).is_none());
        assert_eq!(added(held.adopt(&app, 2)), 2);
        assert!(held.end(&Entry::Connections(app.clone())).is_some());
        assert!(held.disconnect(&app).is_none());
    }

    #[test]
    fn connections_are_one_entry_with_a_number() {
        let mut held = Held::default();
        let app = AppId::from("1");
        held.connect(&app, None);
        let (second, _) = held.connect(&app, Some(1));
        assert_eq!(held.len(), 1);
        held.refuse(&second);
        assert!(held.disconnect(&app).is_some());
        assert!(held.disconnect(&app).is_none());
        assert_eq!(held.len(), 0);
    }
}
