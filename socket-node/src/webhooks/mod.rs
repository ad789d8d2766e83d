//! Webhooks, from what happened on a channel to a job in the queue.
//!
//! [`channels`](crate::channels) reports transitions while it holds the channel's place, and is never kept waiting:
//! what is reported here is filtered by what the app wants, and goes into a queue. From there on a task of its own
//! gathers events into requests. Departures are held back for a moment, and vanish together with the return of
//! whoever left ([`flaps`]); the delivery itself is `webhook-worker`'s.

mod flaps;
mod gatherer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use app_manager::{app::App, webhook::EventKind};
use tokio::sync::{Notify, mpsc};
use tracing::warn;
use webhook_worker::{event::WebhookEvent, worker::Lanes};

use crate::{hub::Topic, protocol::ChannelName};
use flaps::{Departure, Flaps};
use gatherer::Gatherer;

/// Events between the report and the gathering. The gatherer only copies, so that it never falls behind for long.
const MAX_REPORTED: usize = 65_536;

/// Where everything is reported that webhooks may tell of. Cheap to clone: all clones report to the same place.
#[derive(Clone, Debug)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flaps: Flaps,
    /// Wakes the task that waits for departures to become final.
    departed: Notify,
    reports: mpsc::Sender<Report>,
    lanes: Lanes,
    /// Events that found the queue full.
    dropped: AtomicU64,
}

/// What goes to the gatherer.
#[derive(Debug)]
enum Report {
    /// Something happened that at least one target of the app wants to hear of.
    Event(Arc<App>, WebhookEvent),
    /// Everything before this is to be handed to the lanes now; the answer says that it was.
    Flush(tokio::sync::oneshot::Sender<()>),
}

impl Webhooks {
    /// Webhooks that end in these lanes, and the task that gathers them.
    pub fn new(lanes: Lanes) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (reports, inbox) = mpsc::channel(MAX_REPORTED);
        let gatherer = Gatherer::new(inbox, lanes.clone());
        let shared = Shared {
            flaps: Flaps::default(),
            departed: Notify::new(),
            reports,
            lanes,
            dropped: AtomicU64::new(0),
        };
        let webhooks = Self { shared: Arc::new(shared) };
        let clerk = webhooks.clone();
        let work = async move {
            tokio::join!(gatherer.run(), clerk.settle_departures());
        };
        (webhooks, work)
    }

    /// Whether any target of the app wants such an event, so that nobody has to make one in vain.
    pub fn are_wanted(app: &App, kind: EventKind, channel: &ChannelName) -> bool {
        let webhooks = &app.webhooks;
        webhooks.enabled
            && !channel.is_internal()
            && webhooks.targets.iter().any(|target| target.wants(kind, channel.as_str()))
    }

    /// Tells of something that happened.
    pub fn tell(&self, app: &Arc<App>, event: WebhookEvent) {
        if self.shared.reports.try_send(Report::Event(Arc::clone(app), event)).is_err() {
            let dropped = self.shared.dropped.fetch_add(1, Relaxed) + 1;
            if dropped.is_power_of_two() {
                warn!(
                    dropped,
                    "webhook events come faster than they can be queued: {dropped} are lost so far"
                );
            }
        }
    }

    /// A channel has its first subscriber, or with `user_id` that user's first connection. If a departure is held
    /// back, both never happened.
    pub fn arrived(&self, app: &Arc<App>, topic: &Topic, user_id: Option<&str>) {
        let event = arrival(topic, user_id);
        if !self.shared.flaps.cancel(topic, user_id) && Self::are_wanted(app, event.kind(), &topic.channel) {
            self.tell(app, event);
        }
    }

    /// A channel has lost its last subscriber, or with `user_id` that user's last connection; for a moment it may
    /// still be taken back.
    pub fn departed(&self, app: &Arc<App>, topic: &Topic, user_id: Option<&str>) {
        let channel = &topic.channel;
        // Arrivals must be cancelled also where only they are told.
        let kinds = [arrival(topic, user_id).kind(), departure(topic, user_id).kind()];
        if kinds.into_iter().any(|kind| Self::are_wanted(app, kind, channel)) {
            self.shared.flaps.hold(Arc::clone(app), topic, user_id);
            self.shared.departed.notify_one();
        }
    }

    /// Waits for departures to become final, for ever.
    async fn settle_departures(self) {
        loop {
            match self.shared.flaps.next_due() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => self.shared.departed.notified().await,
            }
            self.shared.flaps.settle_due(|departure| self.tell_departure(departure));
        }
    }

    fn tell_departure(&self, Departure { app, topic, user_id }: Departure) {
        let event = departure(&topic, user_id.as_deref());
        if Self::are_wanted(&app, event.kind(), &topic.channel) {
            self.tell(&app, event);
        }
    }

    /// Hands everything to the lanes, held departures too, and waits until it is delivered, as long as the patience
    /// lasts. Gives the number of jobs that were not.
    pub async fn drain(&self, patience: Duration) -> u64 {
        self.shared.flaps.settle_all(|departure| self.tell_departure(departure));
        let (flushed, is_flushed) = tokio::sync::oneshot::channel();
        if self.shared.reports.send(Report::Flush(flushed)).await.is_ok() {
            // An error would say that the gatherer is gone, and everything with it.
            let _ = is_flushed.await;
        }
        self.shared.lanes.drain(patience).await
    }
}

fn arrival(topic: &Topic, user_id: Option<&str>) -> WebhookEvent {
    let channel = topic.channel.as_str().to_owned();
    match user_id {
        Some(user_id) => WebhookEvent::MemberAdded { channel, user_id: user_id.to_owned() },
        None => WebhookEvent::ChannelOccupied { channel },
    }
}

fn departure(topic: &Topic, user_id: Option<&str>) -> WebhookEvent {
    let channel = topic.channel.as_str().to_owned();
    match user_id {
        Some(user_id) => WebhookEvent::MemberRemoved { channel, user_id: user_id.to_owned() },
        None => WebhookEvent::ChannelVacated { channel },
    }
}
