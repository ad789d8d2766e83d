//! What came at once of one group, in the order in which its fates are told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::{Stream, StreamExt as _, future::BoxFuture, stream};

use crate::{cloud::Received, worker::Fate};

/// A message that was handed over.
pub(super) struct HandedOver {
    pub(super) message: Received,
    /// Attempts that it had before this receive.
    pub(super) before: u32,
    pub(super) outlook: Outlook,
}

/// What is to become of a message.
pub(super) struct Outlook {
    /// Attempts that its job was handed over with: those before this receive, and what was written in it besides.
    pub(super) counted: u32,
    pub(super) fate: BoxFuture<'static, Fate>,
}

/// What became of a message.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) message: Received,
    pub(super) fate: Fate,
    /// Attempts that it has had since it was put into the queue, as far as anybody knows.
    pub(super) attempts: u32,
    pub(super) line: Line,
}

/// What messages that came at once of one group have in common. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    is_broken: Arc<AtomicBool>,
}

impl Line {
    /// Says that a dead letter of the line was not taken and comes again. Those behind it are to come again too: a queue
    /// that keeps the order then hands all of them over behind it.
    pub(super) fn break_off(&self) {
        self.is_broken.store(true, Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }
}

/// The fates of these, one after the other. The lanes end them in this order, so nothing waits that is through; but for
/// what is no job, and whose fate is known at once.
pub(super) fn fates(of_line: Vec<HandedOver>) -> impl Stream<Item = Settled> + Send {
    let line = Line::default();
    stream::iter(of_line).then(move |handed_over| settled(handed_over, line.clone()))
}

async fn settled(handed_over: HandedOver, line: Line) -> Settled {
    let HandedOver { message, before, outlook: Outlook { counted, fate } } = handed_over;
    let fate = fate.await;
    let made = match &fate {
        Fate::Dead { attempts, .. } => attempts.saturating_sub(counted),
        // Of what was abandoned, nobody says whether it was tried.
        Fate::Delivered | Fate::Abandoned => 1,
    };
    Settled { message, fate, attempts: before.saturating_add(made), line }
}
