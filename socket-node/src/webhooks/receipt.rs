//! What somebody wants to know who keeps an event until webhooks have told of it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::AcqRel},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A debt that an event is owed: one for each request that it leads to. When all are settled, whoever keeps the event
/// may forget it. A receipt that is dropped unsettled is a debt for ever, so that somebody else takes over.
#[derive(Debug)]
pub struct Receipt(Arc<Debt>);

#[derive(Debug)]
struct Debt {
    /// What the event is called by whoever keeps it: the same for all who may ever tell of it.
    cause: Box<str>,
    /// When it happened, in milliseconds since 1970.
    time_ms: u64,
    owed: AtomicU32,
    settled: Mutex<Option<oneshot::Sender<()>>>,
}

impl Receipt {
    /// The receipt of an event, and what resolves when everything is settled, or fails when it never will be.
    pub fn new(cause: String, time_ms: u64) -> (Self, oneshot::Receiver<()>) {
        let (settled, is_settled) = oneshot::channel();
        let (owed, settled) = (AtomicU32::new(1), Mutex::new(Some(settled)));
        (Self(Arc::new(Debt { cause: cause.into(), time_ms, owed, settled })), is_settled)
    }

    /// What the event is called.
    pub(super) fn cause(&self) -> &str {
        &self.0.cause
    }

    /// When it happened.
    pub(super) fn time_ms(&self) -> u64 {
        self.0.time_ms
    }

    /// One more of the same event.
    pub(super) fn another(&self) -> Self {
        self.0.owed.fetch_add(1, AcqRel);
        Self(Arc::clone(&self.0))
    }

    /// Everything that this one is for has been done.
    pub fn settle(self) {
        if self.0.owed.fetch_sub(1, AcqRel) == 1
            && let Some(settled) = self.0.settled.lock().take()
        {
            // Nobody may want to know any more.
            let _ = settled.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn an_event_is_settled_when_all_of_its_receipts_are() {
        let (receipt, mut settled) = Receipt::new("a".into(), 1);
        let another = receipt.another();
        receipt.settle();
        assert_eq!(settled.try_recv(), Err(TryRecvError::Empty));
        another.settle();
        assert_eq!(settled.try_recv(), Ok(()));
    }

    #[test]
    fn a_receipt_that_is_lost_is_never_settled() {
        let (receipt, mut settled) = Receipt::new("a".into(), 1);
        drop(receipt.another());
        receipt.settle();
        assert_eq!(settled.try_recv(), Err(TryRecvError::Closed));
    }
}
