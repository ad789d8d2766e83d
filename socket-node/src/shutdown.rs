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
    time::{Instant, interval, sleep},
};
use tracing::info;

use crate::{connection::Sockets, protocol::Close};

/// Whether this node wants more work. Cheap to clone: all clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// From now on, and for good, load balancers and clients should go elsewhere.
    pub fn drain(&self) {
        // Nothing else is published by it, so no order with other memory is needed.
        self.draining.store(true, Relaxed);
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
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

/// Connections that are closed in one go.
const WAVE: usize = 250;

/// Time between two waves: clients come back at once, and not all of them at the same moment.
const BETWEEN_WAVES: Duration = Duration::from_millis(50);

/// Time for the last clients to hang up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Sends all clients away, wave by wave, and waits until they have hung up.
pub async fn drain(sockets: &Sockets) {
    let all = sockets.all();
    info!(connections = all.len(), "closing {} connections", all.len());
    let mut waves = interval(BETWEEN_WAVES);
    for wave in all.chunks(WAVE) {
        waves.tick().await;
        for socket in wave {
            socket.close(&Close::SHUTTING_DOWN);
        }
    }
    drop(all);
    let deadline = Instant::now() + LAST_WORDS;
    while sockets.count() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}
