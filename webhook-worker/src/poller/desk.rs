//! Where fates are told, and in which order they are passed on.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use tokio::sync::{Mutex, mpsc};

use super::line::Settled;
use crate::worker::Fate;

/// Those who pass fates on to the queue at the same time; and as many again for dead letters.
const SETTLERS: usize = 4;

/// Fates that wait to be passed on; then those who tell them wait. As many again for dead letters.
const FATES: usize = 256;

/// Tells fates. Cheap to clone: all clones tell the same.
///
/// Dead letters of a group are all passed on by the same settler, so that they come into their queue in the order in which
/// they died. All else has no order, and is passed on by whoever has time: so it does not wait for a queue of dead letters
/// that is slow.
#[derive(Clone)]
pub(super) struct Desk {
    fates: mpsc::Sender<Settled>,
    dead: Arc<[mpsc::Sender<Settled>]>,
}

/// Where a settler gets fates from.
pub(super) type Fates = Arc<Mutex<mpsc::Receiver<Settled>>>;

impl Desk {
    /// A desk, and what is told there, for one settler each.
    pub(super) fn open() -> (Self, Vec<Fates>) {
        let (fates, told) = mpsc::channel(FATES);
        let (dead, told_dead): (Vec<_>, Vec<_>) =
            (0..SETTLERS).map(|_| mpsc::channel(FATES / SETTLERS)).unzip();
        let told = Arc::new(Mutex::new(told));
        let mut of_settlers = vec![told; SETTLERS];
        of_settlers.extend(told_dead.into_iter().map(|told| Arc::new(Mutex::new(told))));
        (Self { fates, dead: dead.into() }, of_settlers)
    }

    /// Tells one, as soon as there is room for it.
    pub(super) async fn tell(&self, settled: Settled) {
        let settlers = match settled.fate {
            Fate::Dead { .. } => &self.dead[self.place(settled.message.line())],
            Fate::Delivered | Fate::Abandoned => &self.fates,
        };
        // An error would say that the settlers are gone, and the whole poller with them.
        let _ = settlers.send(settled).await;
    }

    fn place(&self, line: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.dead.len() as u64).expect("it is less than a length")
    }
}
