//! The deadlines of one connection, without a timer of its own: the node's sweep looks at all of them once a second.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::protocol::Close;

/// Seconds that a probed peer has to answer; Pusher recommends as many.
const PONG_TIMEOUT: u32 = 30;

/// Seconds that a peer has to take its goodbye and hang up.
const LINGER: u32 = 10;

/// The same for a peer that has left its probe unanswered: it is not there to read a goodbye, and others wait to hear that
/// it has left.
const SILENT_LINGER: u32 = 2;

/// Whole seconds since the process first asked, beginning with 1, so that 0 can stand for never. Steps of the wall
/// clock do not touch it.
pub fn now() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(START.elapsed().as_secs()).unwrap_or(u32::MAX - 1).saturating_add(1)
}

/// When what happened last, in seconds of [`now`]; 0 is never.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Something was heard from the peer.
    heard: AtomicU32,
    /// A probe was sent that has not been answered yet.
    probed: AtomicU32,
    /// By then the connection must be authorised.
    authorize_by: AtomicU32,
    /// The goodbye was said.
    closing: AtomicU32,
}

/// What the sweep has to do for a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Ask whether the peer is still there.
    Probe,
    /// End the connection, and say why.
    Close(Close),
    /// It had its goodbye long enough: hang up.
    Abort,
}

impl Pulse {
    pub(super) fn new(now: u32) -> Self {
        Self {
            heard: AtomicU32::new(now),
            probed: AtomicU32::new(0),
            authorize_by: AtomicU32::new(0),
            closing: AtomicU32::new(0),
        }
    }

    pub(super) fn heard(&self, now: u32) {
        self.heard.store(now, Relaxed);
        if self.probed.load(Relaxed) != 0 {
            self.probed.store(0, Relaxed);
        }
    }

    /// Sets the time by which the connection must be authorised, or with 0 that it is.
    pub(super) fn set_authorize_by(&self, second: u32) {
        self.authorize_by.store(second, Relaxed);
    }

    pub(super) fn closing(&self, now: u32) {
        self.closing.store(now, Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed) != 0
    }

    /// What is due at this time. A [`Verdict::Probe`] counts as sent.
    pub(super) fn check(&self, now: u32, activity_timeout: u32) -> Verdict {
        let is_due = |since: u32, wait: u32| since != 0 && now.saturating_sub(since) >= wait;
        let probed = self.probed.load(Relaxed);
        let is_silent = is_due(probed, PONG_TIMEOUT);
        if self.is_closing() {
            let linger = if is_silent { SILENT_LINGER } else { LINGER };
            return if is_due(self.closing.load(Relaxed), linger) { Verdict::Abort } else { Verdict::Fine };
        }
        let authorize_by = self.authorize_by.load(Relaxed);
        if authorize_by != 0 && now >= authorize_by {
            return Verdict::Close(Close::NOT_AUTHORIZED);
        }
        if is_silent {
            return Verdict::Close(Close::PONG_NOT_RECEIVED);
        }
        if probed == 0 && is_due(self.heard.load(Relaxed), activity_timeout) {
            self.probed.store(now, Relaxed);
            return Verdict::Probe;
        }
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_probed_once_and_then_given_up() {
        let pulse = Pulse::new(100);
        assert_eq!(pulse.check(159, 60), Verdict::Fine);
        assert_eq!(pulse.check(160, 60), Verdict::Probe);
        assert_eq!(pulse.check(189, 60), Verdict::Fine);
        assert_eq!(pulse.check(190, 60), Verdict::Close(Close::PONG_NOT_RECEIVED));
        pulse.closing(190);
        assert_eq!(pulse.check(191, 60), Verdict::Fine);
        assert_eq!(pulse.check(192, 60), Verdict::Abort);
    }

    #[test]
    fn who_speaks_after_all_has_its_time_to_read_why_it_was_given_up() {
        let pulse = Pulse::new(100);
        assert_eq!(pulse.check(160, 60), Verdict::Probe);
        assert_eq!(pulse.check(190, 60), Verdict::Close(Close::PONG_NOT_RECEIVED));
        pulse.closing(190);
        pulse.heard(191);
        assert_eq!(pulse.check(199, 60), Verdict::Fine);
        assert_eq!(pulse.check(200, 60), Verdict::Abort);
    }

    #[test]
    fn any_sign_of_life_answers_the_probe() {
        let pulse = Pulse::new(100);
        assert_eq!(pulse.check(160, 60), Verdict::Probe);
        pulse.heard(161);
        assert_eq!(pulse.check(220, 60), Verdict::Fine);
        assert_eq!(pulse.check(221, 60), Verdict::Probe);
    }

    #[test]
    fn who_is_not_authorised_in_time_is_sent_away() {
        let pulse = Pulse::new(100);
        pulse.set_authorize_by(105);
        assert_eq!(pulse.check(104, 60), Verdict::Fine);
        assert_eq!(pulse.check(105, 60), Verdict::Close(Close::NOT_AUTHORIZED));
        pulse.set_authorize_by(0);
        assert_eq!(pulse.check(105, 60), Verdict::Fine);
    }

    #[test]
    fn who_does_not_hang_up_after_the_goodbye_is_hung_up_on() {
        let pulse = Pulse::new(100);
        pulse.closing(200);
        assert_eq!(pulse.check(209, 60), Verdict::Fine);
        assert_eq!(pulse.check(210, 60), Verdict::Abort);
    }
}
