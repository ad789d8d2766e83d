//! How many channels of each kind are occupied.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::protocol::ChannelName;

/// What subscribing to a channel takes. Every one of these exists with a cache and without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Public,
    /// A signature.
    Private,
    /// A signature, and saying who one is.
    Presence,
    /// A signature, and a key to understand anything.
    Encrypted,
}

/// Counts of occupied channels, kept as they come and go: to look at all channels would hold them up.
#[derive(Debug, Default)]
pub struct Kinds([[AtomicUsize; 2]; Kind::ALL.len()]);

impl Kind {
    const ALL: [Self; 4] = [Self::Public, Self::Private, Self::Presence, Self::Encrypted];

    fn of(channel: &ChannelName) -> Self {
        if channel.is_presence() {
            Self::Presence
        } else if channel.is_encrypted() {
            Self::Encrypted
        } else if channel.needs_auth() {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Presence => "presence",
            Self::Encrypted => "encrypted",
        }
    }
}

impl Kinds {
    pub(super) fn occupied(&self, channel: &ChannelName) {
        self.count(channel).fetch_add(1, Relaxed);
    }

    pub(super) fn vacated(&self, channel: &ChannelName) {
        self.count(channel).fetch_sub(1, Relaxed);
    }

    /// The number of channels of each kind, without a cache and with one.
    pub fn all(&self) -> impl Iterator<Item = (Kind, [usize; 2])> {
        let counts = self.0.iter().map(|counts| [counts[0].load(Relaxed), counts[1].load(Relaxed)]);
        Kind::ALL.into_iter().zip(counts)
    }

    fn count(&self, channel: &ChannelName) -> &AtomicUsize {
        &self.0[Kind::of(channel) as usize][usize::from(channel.is_cache())]
    }
}
