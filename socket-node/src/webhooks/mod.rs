//! Webhooks, from what happened on a channel to a job in the queue.
//!
//! [`channels`](crate::channels) reports transitions while it holds the channel's place, and is never kept waiting:
//! what is reported here is filtered by what the app wants, and goes into a queue. From there on a task of its own
//! gathers events into requests ([`gatherer`], [`windows`]). Departures are held back for a moment, and vanish together
//! with the return of whoever left ([`flaps`]). They wait in a queue of this process, of all nodes or of
//! a cloud ([`queue`], `cloud`); the delivery itself is `webhook-worker`'s. Whatever finds a queue full
//! is counted ([`losses`]).

#[cfg(feature = "aws")]
mod cloud;
#[cfg(test)]
mod fixtures;
mod flaps;
mod gatherer;
mod losses;
mod queue;
mod receipt;
#[cfg(test)]
mod tests;
mod windows;

use std::{sync::Arc, time::Duration};

use app_manager::{app::App, webhook::EventKind};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use webhook_worker::{event::WebhookEvent, worker::Snapshot};

use crate::{cluster::QueueFigures, hub::Topic, protocol::ChannelName};
#[cfg(feature = "aws")]
pub use cloud::CloudQueue;
use flaps::{Departure, Flaps};
use gatherer::Gatherer;
use losses::Losses;
pub use queue::Queue;
pub use receipt::Receipt;

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
    queue: Queue,
    losses: Arc<Losses>,
}

/// What goes to the gatherer.
#[derive(Debug)]
enum Report {
    /// Something happened that at least one target of the app wants to hear of.
    Event(Arc<App>, WebhookEvent, Option<Receipt>),
    /// What comes from now on is to be offered to the queue again and again if it has no room.
    Ending,
    /// Everything before this is to be handed to the queue now; the answer says that it was.
    Flush(oneshot::Sender<()>),
}

impl Webhooks {
    /// Webhooks that end in this queue, and the task that gathers them.
    pub fn new(queue: Queue) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (reports, inbox) = mpsc::channel(MAX_REPORTED);
        let webhooks = Self::reporting_to(reports, queue.clone());
        let gatherer = Gatherer::new(inbox, queue, Arc::clone(&webhooks.shared.losses));
        let clerk = webhooks.clone();
        let work = async move {
            tokio::join!(gatherer.run(), clerk.settle_departures());
        };
        (webhooks, work)
    }

    fn reporting_to(reports: mpsc::Sender<Report>, queue: Queue) -> Self {
        let (flaps, departed, losses) = (Flaps::default(), Notify::new(), Arc::default());
        Self { shared: Arc::new(Shared { flaps, departed, reports, queue, losses }) }
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
        if self.shared.reports.try_send(Report::Event(Arc::clone(app), event, None)).is_err() {
            self.shared.losses.add(1, &"they happen faster than they can be queued");
        }
    }

    /// The same for somebody who can wait until there is room, and wants to know when it was told.
    pub async fn tell_for_sure(&self, app: &Arc<App>, event: WebhookEvent, receipt: Receipt) {
        // An error would say that the gatherer is gone, and everything with it.
        let _ = self.shared.reports.send(Report::Event(Arc::clone(app), event, Some(receipt))).await;
    }

    /// A channel has its first subscriber, or with `user_id` that user's first connection. If a departure is held
    /// back, both never happened. To be called while the channel's place is held, as [`departed`](Self::departed) is:
    /// that keeps the two in order.
    pub fn arrived(&self, app: &Arc<App>, topic: &Topic, user_id: Option<&str>) {
        let edge = Edge::of(user_id);
        if !edge.is_wanted(app, &topic.channel) || self.shared.flaps.cancel(topic, user_id) {
            return;
        }
        if Self::are_wanted(app, edge.arrival, &topic.channel) {
            self.tell(app, arrival_event(topic, user_id));
        }
    }

    /// A channel has lost its last subscriber, or with `user_id` that user's last connection; for a moment it may
    /// still be taken back.
    pub fn departed(&self, app: &Arc<App>, topic: &Topic, user_id: Option<&str>) {
        if !Edge::of(user_id).is_wanted(app, &topic.channel) {
            return;
        }
        let (app, topic, user_id) = (Arc::clone(app), topic.clone(), user_id.map(Box::from));
        self.shared.flaps.hold(Departure { app, topic, user_id }, |oldest| self.tell_departure(&oldest));
        self.shared.departed.notify_one();
    }

    /// How many events were lost because they found no room in a queue.
    pub fn lost(&self) -> u64 {
        self.shared.losses.count()
    }

    /// Waits for departures to become final, for ever.
    async fn settle_departures(self) {
        loop {
            match self.shared.flaps.next_due() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => self.shared.departed.notified().await,
            }
            self.shared.flaps.settle_due(|departure| self.tell_departure(&departure));
        }
    }

    fn tell_departure(&self, departure: &Departure) {
        let Departure { app, topic, user_id } = departure;
        let user_id = user_id.as_deref();
        if Self::are_wanted(app, Edge::of(user_id).departure, &topic.channel) {
            self.tell(app, departure_event(topic, user_id));
        }
    }

    /// What has become of the jobs so far.
    pub fn deliveries(&self) -> Snapshot {
        self.shared.queue.deliveries()
    }

    /// The figures of the queue that all nodes work off, if this is one of them.
    pub fn shared_queue(&self) -> Option<&QueueFigures> {
        self.shared.queue.shared()
    }

    /// Waits until it is known that the queue is there, as long as the patience lasts. Where it is a cloud's, it may not be.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn find_queue(&self, patience: Duration) -> anyhow::Result<()> {
        self.shared.queue.find(patience).await
    }

    /// Jobs of this node that are on their way to a queue that outlives it.
    pub fn leaving(&self) -> u64 {
        self.shared.queue.leaving()
    }

    /// How often that queue was out of reach.
    pub fn queue_outages(&self) -> u64 {
        self.shared.queue.outages()
    }

    /// Hands everything to the queue, held departures too, and waits until it is delivered or somewhere that outlives
    /// this node, as long as the patience lasts. Gives the number of jobs for which that is not so.
    pub async fn drain(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        // An error would say that time is over; the queue says what that costs.
        let _ = timeout_at(deadline, self.hand_everything_over()).await;
        self.shared.queue.drain(deadline.saturating_duration_since(Instant::now())).await
    }

    async fn hand_everything_over(&self) {
        let (flushed, is_flushed) = oneshot::channel();
        let reports = &self.shared.reports;
        // An error would say that the gatherer is gone, and everything with it.
        let _ = reports.send(Report::Ending).await;
        self.shared.flaps.settle_all(|departure| self.tell_departure(&departure));
        let _ = reports.send(Report::Flush(flushed)).await;
        let _ = is_flushed.await;
    }
}

/// The two sides of coming and going, as targets choose them.
#[derive(Clone, Copy)]
struct Edge {
    arrival: EventKind,
    departure: EventKind,
}

impl Edge {
    const OF_CHANNELS: Self =
        Self { arrival: EventKind::ChannelOccupied, departure: EventKind::ChannelVacated };
    const OF_MEMBERS: Self = Self { arrival: EventKind::MemberAdded, departure: EventKind::MemberRemoved };

    const fn of(user_id: Option<&str>) -> Self {
        if user_id.is_some() { Self::OF_MEMBERS } else { Self::OF_CHANNELS }
    }

    /// Whether either side is wanted. Where it is one alone, the other still decides whether it is told.
    fn is_wanted(self, app: &App, channel: &ChannelName) -> bool {
        [self.arrival, self.departure].into_iter().any(|kind| Webhooks::are_wanted(app, kind, channel))
    }
}

fn arrival_event(topic: &Topic, user_id: Option<&str>) -> WebhookEvent {
    let channel = topic.channel.as_str().to_owned();
    match user_id {
        Some(user_id) => WebhookEvent::MemberAdded { channel, user_id: user_id.to_owned() },
        None => WebhookEvent::ChannelOccupied { channel },
    }
}

fn departure_event(topic: &Topic, user_id: Option<&str>) -> WebhookEvent {
    let channel = topic.channel.as_str().to_owned();
    match user_id {
        Some(user_id) => WebhookEvent::MemberRemoved { channel, user_id: user_id.to_owned() },
        None => WebhookEvent::ChannelVacated { channel },
    }
}
