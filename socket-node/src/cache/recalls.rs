//! What has to be known while a channel's last event is recalled from a cache that nodes share, and afterwards.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::hub::Topic;

/// The channels of which something has to be known.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    channels: Mutex<HashMap<Topic, Channel>>,
}

/// It is remembered while it is recalled or in step, and no longer.
#[derive(Debug, Default)]
struct Channel {
    /// How many recalls are under way.
    recalls: u32,
    /// How many events have happened since it is remembered.
    news: u64,
    /// Everything that happened since a recall in this generation was heard.
    in_step: Option<u64>,
}

/// A channel's last event is being recalled, until this is dropped.
#[derive(Debug)]
pub struct Recall<'a> {
    all: &'a Recalls,
    topic: &'a Topic,
    /// The channel's news when it began.
    news: u64,
}

impl Recalls {
    pub(super) fn begin<'a>(&'a self, topic: &'a Topic) -> Recall<'a> {
        let mut channels = self.channels.lock();
        let channel = channels.entry(topic.clone()).or_default();
        channel.recalls += 1;
        Recall { all: self, topic, news: channel.news }
    }

    pub(super) fn note_news(&self, topic: &Topic) {
        if let Some(channel) = self.channels.lock().get_mut(topic) {
            channel.news += 1;
        }
    }

    pub(super) fn in_step(&self, topic: &Topic) -> Option<u64> {
        self.channels.lock().get(topic)?.in_step
    }

    pub(super) fn set_in_step(&self, topic: &Topic, generation: u64) {
        self.channels.lock().entry(topic.clone()).or_default().in_step = Some(generation);
    }

    pub(super) fn fall_out_of_step(&self, topic: &Topic) {
        self.change(topic, |channel| channel.in_step = None);
    }

    /// Changes what is known of a channel, and forgets it if that is nothing any more.
    fn change(&self, topic: &Topic, change: impl FnOnce(&mut Channel)) {
        let mut channels = self.channels.lock();
        let Some(channel) = channels.get_mut(topic) else { return };
        change(channel);
        if channel.recalls == 0 && channel.in_step.is_none() {
            channels.remove(topic);
        }
    }
}

impl Recall<'_> {
    /// Whether something has happened in the channel since it began: then that is the last event.
    pub fn is_overtaken(&self) -> bool {
        self.all.channels.lock().get(self.topic).is_some_and(|channel| channel.news > self.news)
    }

    /// The channel.
    pub const fn topic(&self) -> &Topic {
        self.topic
    }
}

impl Drop for Recall<'_> {
    fn drop(&mut self) {
        self.all.change(self.topic, |channel| channel.recalls -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    #[test]
    fn a_channel_is_remembered_only_while_it_is_recalled_or_in_step() {
        let recalls = Recalls::default();
        let topic = Topic { app: "1".into(), channel: ChannelName::parse("cache-x", 200).unwrap() };
        let known = || recalls.channels.lock().len();
        recalls.note_news(&topic);
        assert_eq!(known(), 0);
        let (first, second) = (recalls.begin(&topic), recalls.begin(&topic));
        recalls.note_news(&topic);
        assert!(first.is_overtaken() && second.is_overtaken());
        drop(first);
        assert_eq!(known(), 1);
        recalls.set_in_step(&topic, 1);
        drop(second);
        assert_eq!(known(), 1);
        recalls.fall_out_of_step(&topic);
        assert_eq!(known(), 0);
    }
}
