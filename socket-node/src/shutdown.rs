//! Going away without anybody noticing: from the signal to the last connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, interval, sleep},
};
use tracing::info;

use crate::{connection::Sockets, protocol::Close};

/// Whether this node wants more work. Cheap to clone: all clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    shared: Arc<Unready>,
}

/// Why a node may not want more work.
#[derive(Debug, Default)]
struct Unready {
    draining: AtomicBool,
    /// Nobody hears it, and it hears nobody.
    apart: watch::Sender<bool>,
}

impl Readiness {
    /// From now on, and for good, load balancers and clients should go elsewhere.
    pub fn drain(&self) {
        // Nothing else is published by it, so no order with other memory is needed.
        self.shared.draining.store(true, Relaxed);
    }

    /// Whether the other nodes are out of reach: who is connected stays, but others are better off elsewhere.
    pub fn set_apart(&self, is_apart: bool) {
        self.shared.apart.send_replace(is_apart);
    }

    /// Whether [`set_apart`](Self::set_apart) said so last.
    pub fn is_apart(&self) -> bool {
        *self.shared.apart.borrow()
    }

    /// Waits until it is no longer so.
    pub async fn not_apart(&self) {
        let mut apart = self.shared.apart.subscribe();
        // It ends with the readiness, which is here.
        let _together = apart.wait_for(|is_apart| !is_apart).await;
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }
}

/// SIGTERM and SIGINT, each of which asks the node to go.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// If the runtime cannot take them over.
    pub fn take_over() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Time between two waves: clients come back at once, and not all of them at the same moment.
const BETWEEN_WAVES: Duration = Duration::from_millis(50);

/// Connections that are closed in one go, unless the grace is too short for so few: 1,000 a second, which the other
/// nodes do not feel.
const WAVE: usize = 50;

/// Time for the last clients to hang up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Time for connections that were cut to leave their channels.
const CLEANING_UP: Duration = Duration::from_millis(500);

/// The plan of a shutdown: half of the grace for closing connections, half of the rest for clients to hang up, and
/// what is left for webhooks. Whoever is done earlier leaves more to those who follow.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    begin: Instant,
    grace: Duration,
}

impl Drain {
    /// One that begins now.
    pub fn within(grace: Duration) -> Self {
        Self { begin: Instant::now(), grace }
    }

    /// Sends all clients away, wave by wave, and waits until they have hung up; those that do not are cut off.
    pub async fn send_away(&self, sockets: &Sockets) {
        let all = sockets.all();
        info!(connections = all.len(), "closing {} connections", all.len());
        in_waves(&all, self.grace / 2, |socket| socket.close(&Close::SHUTTING_DOWN)).await;
        drop(all);
        let hung_up_by = (self.begin + self.grace * 3 / 4).min(Instant::now() + LAST_WORDS);
        wait_until_empty(sockets, hung_up_by).await;
        for socket in sockets.all() {
            socket.abort();
        }
        wait_until_empty(sockets, (Instant::now() + CLEANING_UP).min(self.webhooks_by())).await;
    }

    /// By when webhooks are delivered or given up.
    pub fn webhooks_by(&self) -> Instant {
        self.begin + self.grace * 7 / 8
    }

    /// By when requests under way are answered or given up: a little early, for the process has to end as well.
    pub fn end(&self) -> Instant {
        self.begin + self.grace * 15 / 16
    }
}

/// Closes connections wave by wave, all of them in `time`.
pub async fn in_waves<T>(all: &[T], time: Duration, close: impl Fn(&T)) {
    let mut waves = interval(BETWEEN_WAVES);
    for wave in all.chunks(wave_size(all.len(), time)) {
        waves.tick().await;
        wave.iter().for_each(&close);
    }
}

/// How many connections to close in one go, so that all are closed in `time`.
fn wave_size(connections: usize, time: Duration) -> usize {
    let waves = usize::try_from(time.as_millis() / BETWEEN_WAVES.as_millis()).unwrap_or(usize::MAX);
    connections.div_ceil(waves.max(1)).max(WAVE)
}

async fn wait_until_empty(sockets: &Sockets, deadline: Instant) {
    while sockets.count() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_closed_at_once_and_many_over_half_the_grace() {
        let ten_seconds = Duration::from_secs(10);
        assert_eq!(wave_size(0, ten_seconds), WAVE);
        assert_eq!(wave_size(10_000, ten_seconds), WAVE);
        assert_eq!(wave_size(100_000, ten_seconds), 500);
        assert_eq!(wave_size(100_000, Duration::ZERO), 100_000);
    }
}
