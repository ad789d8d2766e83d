//! The members of a presence channel, as this node knows them.
//!
//! Where there is one node, it knows all of them by itself. Where there are several, a member has come or left when
//! the notice of it is heard, on the member's own node as on any other. Notices carry a version, and a roster that was
//! read at some version takes only those above it: so all nodes tell the same things in the same order.

use std::collections::{BTreeMap, HashSet};

use tokio::sync::oneshot;

use crate::protocol::event::Member;

/// Notices that are kept while the roster is being read. What is beyond is found when it is read again.
const MAX_EARLY: usize = 4_096;

/// Who is a member, and through how many connections of this node.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By user id; in its order they stand in the lists that clients get.
    entries: BTreeMap<Box<str>, Entry>,
    /// How many of the entries are members.
    members: u32,
    /// Where other nodes have members as well.
    heard: Option<Box<Heard>>,
}

/// A user who is a member, or is about to be one through this node.
#[derive(Debug)]
struct Entry {
    /// As the first of the user's connections gave it.
    member: Member,
    is_member: bool,
    /// Connections of this node.
    connections: u32,
    /// Connections of this node that wait to hear whether there is room.
    joining: u32,
}

/// How far this node has heard.
#[derive(Debug, Default)]
struct Heard {
    /// That of the last notice that the roster takes account of; none until it was read.
    version: Option<u64>,
    /// Notices that came before.
    early: Vec<Notice>,
    /// Those who wait for a version.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

/// A member came or left, on whichever node.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its place among all notices of the channel.
    pub version: u64,
    /// What happened.
    pub change: Change,
}

/// What happens to a roster.
#[derive(Clone, Debug)]
pub enum Change {
    /// A member came.
    Joined(Member),
    /// A member left.
    Left(Box<str>),
}

/// How a connection comes to a channel in which other nodes have members as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// The user is a member through this node already.
    IsMember,
    /// It is to be asked whether there is room.
    Asks {
        /// Whether the answer has to bring the roster.
        roster: bool,
    },
}

impl Change {
    fn is_departure_of(&self, user_id: &str) -> bool {
        matches!(self, Self::Left(left) if **left == *user_id)
    }
}

impl Entry {
    const fn new(member: Member) -> Self {
        Self { member, is_member: false, connections: 0, joining: 0 }
    }

    const fn is_idle(&self) -> bool {
        !self.is_member && self.connections == 0 && self.joining == 0
    }
}

impl Roster {
    /// How many members there are.
    pub(super) const fn len(&self) -> u32 {
        self.members
    }

    /// The members, in the order of their ids.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.entries.values().filter(|entry| entry.is_member).map(|entry| &entry.member)
    }

    /// Whether the user is a member.
    pub(super) fn has(&self, user_id: &str) -> bool {
        self.entries.get(user_id).is_some_and(|entry| entry.is_member)
    }

    /// Makes a change that was not made yet; false if it was.
    pub(super) fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Joined(member) => {
                let entry = self.entry(member);
                let is_news = !std::mem::replace(&mut entry.is_member, true);
                if is_news {
                    entry.member = member.clone();
                    self.members += 1;
                }
                is_news
            }
            Change::Left(user_id) => {
                let Some(entry) = self.entries.get_mut(user_id) else { return false };
                let is_news = std::mem::replace(&mut entry.is_member, false);
                self.members -= u32::from(is_news);
                self.forget_if_idle(user_id);
                is_news
            }
        }
    }

    /// Counts a connection of this node in; true if it is the user's first here.
    pub(super) fn connect(&mut self, member: &Member) -> bool {
        let entry = self.entry(member);
        entry.connections += 1;
        entry.connections == 1
    }

    /// Counts a connection out; true if none of the user's is left here, or about to come.
    pub(super) fn disconnect(&mut self, user_id: &str) -> bool {
        let Some(entry) = self.entries.get_mut(user_id) else { return false };
        entry.connections -= 1;
        let is_last = entry.connections == 0 && entry.joining == 0;
        self.forget_if_idle(user_id);
        is_last
    }

    /// A connection wants to come.
    pub(super) fn begin_join(&mut self, member: &Member) -> Joining {
        let roster = self.heard.get_or_insert_default().version.is_none();
        let entry = self.entry(member);
        if entry.connections > 0 && entry.is_member {
            entry.connections += 1;
            return Joining::IsMember;
        }
        entry.joining += 1;
        Joining::Asks { roster }
    }

    /// A connection that asked came, or did not.
    pub(super) fn end_join(&mut self, user_id: &str, has_come: bool) {
        if let Some(entry) = self.entries.get_mut(user_id) {
            entry.joining -= 1;
            entry.connections += u32::from(has_come);
            self.forget_if_idle(user_id);
        }
    }

    /// Answers when everything up to a version was heard.
    pub(super) fn heard_of(&mut self, version: u64) -> oneshot::Receiver<()> {
        let (tell, answer) = oneshot::channel();
        self.heard.get_or_insert_default().waiting.push((version, tell));
        self.wake();
        answer
    }

    /// Takes a notice in; gives it back if it changed something.
    pub(super) fn hear(&mut self, notice: Notice) -> Option<Change> {
        let heard = self.heard.get_or_insert_default();
        let Some(version) = heard.version else {
            if heard.early.len() < MAX_EARLY {
                heard.early.push(notice);
            }
            return None;
        };
        if notice.version <= version {
            return None;
        }
        heard.version = Some(notice.version);
        let is_news = self.apply(&notice.change);
        self.wake();
        is_news.then_some(notice.change)
    }

    /// From here to the next [`read`](Self::read), notices are only kept: some may have been missed.
    pub(super) fn lose_track(&mut self) {
        if let Some(heard) = &mut self.heard {
            heard.version = None;
        }
    }

    /// Takes over who is there at a version; gives what that changed. Who is not there is only let go of if `forget`
    /// says so: a Redis that has lost everything hears of all members again, but not at once.
    pub(super) fn read(&mut self, version: u64, members: Vec<Member>, forget: bool) -> Vec<Change> {
        let heard = self.heard.get_or_insert_default();
        if heard.version.is_some_and(|known| known > version) {
            // What was heard meanwhile is newer than what was read.
            return Vec::new();
        }
        heard.version = Some(version);
        let early = std::mem::take(&mut heard.early);
        let mut changes = self.missing_from(&members);
        // Who was heard to leave and is not there any more has left.
        let has_left = |user: &str| early.iter().any(|notice| notice.change.is_departure_of(user));
        changes.retain(|change| forget || matches!(change, Change::Left(user) if has_left(user)));
        changes.extend(members.into_iter().map(Change::Joined));
        changes.retain(|change| self.apply(change));
        changes.extend(early.into_iter().filter_map(|notice| self.hear(notice)));
        self.wake();
        changes
    }

    fn missing_from(&self, members: &[Member]) -> Vec<Change> {
        let there: HashSet<&str> = members.iter().map(|member| &*member.user_id).collect();
        let gone = self.members().filter(|member| !there.contains(&*member.user_id));
        gone.map(|member| Change::Left(member.user_id.clone())).collect()
    }

    fn entry(&mut self, member: &Member) -> &mut Entry {
        self.entries.entry(member.user_id.clone()).or_insert_with(|| Entry::new(member.clone()))
    }

    fn forget_if_idle(&mut self, user_id: &str) {
        if self.entries.get(user_id).is_some_and(Entry::is_idle) {
            self.entries.remove(user_id);
        }
    }

    fn wake(&mut self) {
        let Some(heard) = &mut self.heard else { return };
        let Some(version) = heard.version else { return };
        for (_, waiting) in heard.waiting.extract_if(.., |(wanted, _)| *wanted <= version) {
            // Who waited may be gone.
            let _ = waiting.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(user_id: &str) -> Member {
        Member { user_id: user_id.into(), user_info: None }
    }

    fn joined(version: u64, user_id: &str) -> Notice {
        Notice { version, change: Change::Joined(member(user_id)) }
    }

    fn left(version: u64, user_id: &str) -> Notice {
        Notice { version, change: Change::Left(user_id.into()) }
    }

    fn ids(roster: &Roster) -> Vec<&str> {
        let ids: Vec<_> = roster.members().map(|member| &*member.user_id).collect();
        assert_eq!(ids.len(), roster.len() as usize);
        ids
    }

    fn words(changes: Vec<Change>) -> Vec<String> {
        let word = |change| match change {
            Change::Joined(member) => format!("+{}", member.user_id),
            Change::Left(user_id) => format!("-{user_id}"),
        };
        changes.into_iter().map(word).collect()
    }

    #[test]
    fn notices_that_the_roster_knows_of_change_nothing() {
        let mut roster = Roster::default();
        assert_eq!(words(roster.read(5, vec![member("a")], false)), ["+a"]);
        assert!(roster.hear(left(4, "a")).is_none() && roster.hear(left(5, "a")).is_none());
        assert!(roster.hear(joined(6, "a")).is_none(), "it is one already");
        assert!(roster.hear(left(7, "a")).is_some() && roster.hear(left(8, "b")).is_none());
        assert_eq!(ids(&roster), [""; 0]);
    }

    #[test]
    fn notices_that_come_before_the_roster_are_taken_in_after_it() {
        let mut roster = Roster::default();
        assert!(roster.hear(joined(2, "a")).is_none());
        assert!(roster.hear(left(4, "b")).is_none());
        assert_eq!(words(roster.read(3, vec![member("b"), member("c")], false)), ["+b", "+c", "-b"]);
        assert_eq!(ids(&roster), ["c"]);
    }

    #[test]
    fn who_asked_is_a_member_when_the_notice_was_heard() {
        let mut roster = Roster::default();
        assert_eq!(roster.begin_join(&member("a")), Joining::Asks { roster: true });
        assert_eq!(ids(&roster), [""; 0]);
        roster.read(3, Vec::new(), false);
        let mut answer = roster.heard_of(4);
        assert!(answer.try_recv().is_err());
        assert!(roster.hear(joined(4, "a")).is_some());
        assert!(answer.try_recv().is_ok());
        roster.end_join("a", true);
        assert_eq!(roster.begin_join(&member("a")), Joining::IsMember);
        assert!(!roster.disconnect("a"));
        assert!(roster.disconnect("a"), "the last one");
        assert_eq!(ids(&roster), ["a"], "until the notice of it is heard");
        assert!(roster.hear(left(5, "a")).is_some());
        assert_eq!(ids(&roster), [""; 0]);
    }

    #[test]
    fn a_user_with_somebody_on_the_way_is_not_gone() {
        let mut roster = Roster::default();
        roster.read(1, vec![member("a")], false);
        assert_eq!(roster.begin_join(&member("a")), Joining::Asks { roster: false });
        roster.end_join("a", true);
        // Its membership may be about to end, seen from another node.
        roster.hear(left(2, "a"));
        assert_eq!(roster.begin_join(&member("a")), Joining::Asks { roster: false });
        assert!(!roster.disconnect("a"));
        roster.end_join("a", false);
        assert!(roster.entries.is_empty());
    }

    #[test]
    fn who_was_heard_to_leave_while_the_roster_was_read_has_left() {
        let mut roster = Roster::default();
        roster.read(9, vec![member("a"), member("b")], false);
        roster.lose_track();
        assert!(roster.hear(left(10, "a")).is_none());
        assert_eq!(words(roster.read(11, vec![member("c")], false)), ["-a", "+c"]);
        assert_eq!(ids(&roster), ["b", "c"]);
    }

    #[test]
    fn those_who_are_not_there_are_let_go_of_only_when_it_is_said() {
        let mut roster = Roster::default();
        roster.read(9, vec![member("a"), member("b")], false);
        roster.lose_track();
        assert!(roster.hear(joined(2, "d")).is_none(), "until it is read again");
        assert_eq!(words(roster.read(1, vec![member("c")], false)), ["+c", "+d"]);
        assert_eq!(ids(&roster), ["a", "b", "c", "d"]);
        assert_eq!(words(roster.read(3, vec![member("b"), member("c"), member("d")], true)), ["-a"]);
        assert!(roster.read(2, Vec::new(), true).is_empty(), "older than what is known");
    }
}
