//! Gets messages, hands their jobs to the lanes, and learns their fates.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::ready,
    sync::Arc,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use super::{
    Shared, VISIBILITY,
    desk::Desk,
    line::{self, HandedOver, Outlook, Settled},
};
use crate::{
    cloud::{Failure, Received, pause},
    message,
    worker::{Fate, NotTaken},
};

/// How long a request waits for messages. It is never broken off, because the queue could answer all the same, and
/// nobody would have the messages until their time is over; so this is also what the end of a poller may have to wait for.
const WAIT: Duration = Duration::from_secs(5);

/// For how long others, or this process later, are to have what the lanes have no room for, when it was received for the
/// first time. Each further time it is as much longer: what waits behind a dead endpoint for long is not to take the receives
/// of everybody else, nor to be received so often that the queue gives it up.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// It is never longer than this.
const LONGEST: Duration = Duration::from_mins(10);

pub(super) struct Receiver {
    shared: Arc<Shared>,
    desk: Desk,
    /// The lines of what is not through.
    under_way: SelectAll<BoxStream<'static, Settled>>,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, desk: Desk) -> Self {
        Self { shared, desk, under_way: SelectAll::new() }
    }

    /// Receives until it is to stop, and then waits for what is under way.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let (shared, desk, mut failures) = (Arc::clone(&self.shared), self.desk.clone(), 0);
        while !*stopping.borrow() {
            // After a failure it is good to know soon whether it is over.
            let wait = if failures == 0 { WAIT } else { Duration::ZERO };
            let mut receiving = Box::pin(shared.queue.receive(wait, VISIBILITY));
            let received = loop {
                tokio::select! {
                    received = &mut receiving => break received,
                    Some(settled) = self.under_way.next() => desk.tell(settled).await,
                }
            };
            shared.figures.counts.is_reached.store(received.is_ok(), Relaxed);
            match received {
                Ok(messages) => {
                    failures = 0;
                    let returned = self.take_all(messages);
                    let is_stopping = *stopping.borrow();
                    let time = |receives| if is_stopping { Duration::ZERO } else { come_again(receives) };
                    give_back(&shared, returned, time).await;
                }
                Err(failure) => {
                    self.rest(&failure, failures, &mut stopping).await;
                    failures += 1;
                }
            }
        }
        while let Some(settled) = self.under_way.next().await {
            desk.tell(settled).await;
        }
    }

    /// Waits before the next try, while what is under way goes on.
    async fn rest(&mut self, failure: &Failure, failures: u32, stopping: &mut watch::Receiver<bool>) {
        self.shared.figures.failed();
        warn!(%failure, "no webhooks can be received: {failure}");
        let desk = self.desk.clone();
        let mut resting = Box::pin(sleep(pause(failures)));
        loop {
            tokio::select! {
                () = &mut resting => return,
                Some(settled) = self.under_way.next() => desk.tell(settled).await,
                _ = stopping.changed() => return,
            }
        }
    }

    /// Hands over what came, in order. What follows in the group of a message for which there is no room has to wait
    /// as well. These come back.
    fn take_all(&mut self, messages: Vec<Received>) -> Vec<Received> {
        let Shared { held, attempts, figures, .. } = &*self.shared;
        let (mut returned, mut blocked) = (Vec::new(), HashSet::new());
        let mut lines: HashMap<String, Vec<HandedOver>> = HashMap::new();
        for message in messages {
            figures.counts.received.fetch_add(1, Relaxed);
            if !held.insert(&message) {
                continue;
            }
            let (name, before) = (message.line().to_owned(), attempts.recall(&message.id, message.receives));
            let taken = if blocked.contains(&name) { None } else { self.take(&message, before) };
            if let Some(outlook) = taken {
                lines.entry(name).or_default().push(HandedOver { message, before, outlook });
            } else {
                attempts.remember(&message.id, message.receives, before);
                returned.push(message);
                blocked.insert(name);
            }
        }
        self.under_way.extend(lines.into_values().map(|of_line| line::fates(of_line).boxed()));
        returned
    }

    /// Hands over the job of a message that had so many attempts before. `None` if there is no room for it.
    fn take(&self, message: &Received, before: u32) -> Option<Outlook> {
        let mut job = match message::read(&message.body) {
            Ok(job) => job,
            Err(error) => {
                warn!(message_id = message.id, %error, "message {} cannot be delivered", message.id);
                let fate = Fate::Dead { cause: error.to_string(), attempts: 0 };
                return Some(Outlook { counted: 0, fate: Box::pin(ready(fate)) });
            }
        };
        job.attempts = job.attempts.saturating_add(before);
        let counted = job.attempts;
        match self.shared.lanes.push(job) {
            Ok(pending) => Some(Outlook { counted, fate: Box::pin(pending) }),
            Err(NotTaken::Full(_) | NotTaken::Draining(_)) => None,
        }
    }
}

/// How long a message that was received so often and found no room is left alone.
fn come_again(receives: u32) -> Duration {
    COME_AGAIN.saturating_mul(receives.max(1)).min(LONGEST)
}

/// Leaves messages to others, and perhaps to this process later, once the time is over for each by its number of receives.
async fn give_back(shared: &Shared, returned: Vec<Received>, time: impl Fn(u32) -> Duration) {
    shared.figures.counts.returned.fetch_add(returned.len() as u64, Relaxed);
    let mut handles: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
    for message in returned {
        shared.held.remove(&message.id);
        handles.entry(time(message.receives)).or_default().push(message.handle);
    }
    for (time, handles) in handles {
        if let Err(failure) = shared.queue.hide(&handles, time).await {
            // Then they come again after their usual time.
            shared.figures.failed();
            warn!(%failure, "{} webhooks could not be given back at once: {failure}", handles.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_again_and_again_comes_less_and_less_often() {
        for (receives, seconds) in [(0, 10), (1, 10), (2, 20), (7, 70), (60, 600), (61, 600), (u32::MAX, 600)]
        {
            assert_eq!(come_again(receives), Duration::from_secs(seconds));
        }
        // So a webhook that is given up after five minutes has been received eight times, and not thirty times.
        assert!((1..=8).map(come_again).sum::<Duration>() > Duration::from_mins(5));
    }
}
