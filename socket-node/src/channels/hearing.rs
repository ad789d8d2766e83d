//! What other nodes say: events, notices of who came and went, and commands.

use super::{CachedEvent, Channels, Shared, run};
use crate::{
    cluster::{
        Command, Heard, NoticeKind,
        census::{Change, Notice},
    },
    hub::Topic,
    protocol::{Frame, SocketId, event, event::Member},
};

impl Channels {
    /// Takes in what was heard. It is called in the order in which Redis said it, and never waits.
    pub fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Event { topic, except, frame } => self.hear_event(topic, except, &frame),
            Heard::Notice { topic, notice } => {
                self.hear_notice(topic, notice.kind, notice.version, notice.member);
            }
            Heard::Command(Command::TerminateUser { app, user }) => {
                self.close_connections_of(&app.as_str().into(), &user);
            }
            Heard::Command(Command::AppChanged { app }) => self.shared.apps.changed(&app),
        }
    }

    fn hear_event(&self, topic: &Topic, except: Option<SocketId>, frame: &Frame) {
        let Shared { hub, census, cache, .. } = &*self.shared;
        let flush = if topic.channel.is_cache() {
            // Held, so that who subscribes now gets the event once: again from the cache or live.
            let place = census.place(topic);
            if let Some(data) = event::published_data(frame) {
                cache.put(topic, CachedEvent::new(frame, data.len()));
            }
            let flush = hub.enqueue_heard(topic, frame, except);
            drop(place);
            flush
        } else {
            hub.enqueue_heard(topic, frame, except)
        };
        run(flush);
    }

    fn hear_notice(&self, topic: &Topic, kind: NoticeKind, version: u64, member: Member) {
        let change = match kind {
            NoticeKind::Joined => Change::Joined(member),
            NoticeKind::Left => Change::Left(member.user_id),
            NoticeKind::Online => return self.tell_watchers(topic, &[&member.user_id], &[]),
            NoticeKind::Offline => return self.tell_watchers(topic, &[], &[&member.user_id]),
        };
        let mut place = self.shared.census.place(topic);
        let change = place.hear(Notice { version, change });
        let flush = change.and_then(|change| self.tell_changes(topic, vec![change]));
        drop(place);
        run(flush);
    }

    fn tell_watchers(&self, topic: &Topic, online: &[&str], offline: &[&str]) {
        let notice = event::watchlist_events(online, offline);
        run(self.announce(topic, &notice, None));
    }
}
