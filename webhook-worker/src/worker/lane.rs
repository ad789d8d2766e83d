//! All jobs for one endpoint, and the task that delivers them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use app_manager::webhook::Endpoint;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{
    Context, Shared,
    circuit::Circuit,
    order::{Order, Ticket},
    parcel::{Fate, Parcel},
};
use crate::{deliver::Outcome, job::Job, target};

/// An endpoint's lane. Its task owns it, so there are no locks in it.
pub(super) struct Lane {
    endpoint: Endpoint,
    /// The endpoint in logs.
    shown: String,
    context: Arc<Context>,
    /// To sign off when there is nothing to do.
    shared: Weak<Shared>,
    inbox: mpsc::Receiver<Parcel>,
    /// Every job of the lane that is not through.
    parcels: HashMap<Ticket, Parcel>,
    next_ticket: Ticket,
    order: Order,
    /// Jobs that may run as soon as a request may be made.
    ready: VecDeque<Ticket>,
    /// Jobs whose next attempt is not due yet, the earliest on top.
    retries: BinaryHeap<Reverse<(Instant, Ticket)>>,
    under_way: FuturesUnordered<Attempt>,
    circuit: Circuit,
    /// When the lane last had a job.
    busy_at: Instant,
}

/// A request under way, and whose it is.
type Attempt = Pin<Box<dyn Future<Output = (Ticket, Outcome)> + Send>>;

impl Lane {
    pub(super) fn new(
        endpoint: Endpoint,
        inbox: mpsc::Receiver<Parcel>,
        context: Arc<Context>,
        shared: Weak<Shared>,
    ) -> Self {
        Self {
            shown: target::shown(&endpoint),
            endpoint,
            context,
            shared,
            inbox,
            parcels: HashMap::new(),
            next_ticket: 0,
            order: Order::default(),
            ready: VecDeque::new(),
            retries: BinaryHeap::new(),
            under_way: FuturesUnordered::new(),
            circuit: Circuit::new(),
            busy_at: Instant::now(),
        }
    }

    /// Delivers until there has been nothing to deliver for a while, or nobody is left to push.
    pub(super) async fn run(mut self) {
        loop {
            self.start_what_may_start();
            let wake_at = self.wake_at();
            tokio::select! {
                parcel = self.inbox.recv() => match parcel {
                    Some(parcel) => self.take(parcel),
                    None => return,
                },
                Some((ticket, outcome)) = self.under_way.next() => self.settle(ticket, outcome),
                () = sleep_until(wake_at.unwrap_or(self.busy_at)), if wake_at.is_some() => {
                    if self.is_idle() && self.sign_off() {
                        return;
                    }
                    self.ready_what_is_due();
                }
            }
        }
    }

    fn take(&mut self, parcel: Parcel) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if self.order.join(ticket, &parcel.job) {
            self.ready.push_back(ticket);
        }
        self.parcels.insert(ticket, parcel);
    }

    fn start_what_may_start(&mut self) {
        while self.under_way.len() < self.circuit.allowed(&self.context.limits) {
            let Some(ticket) = self.ready.pop_front() else { return };
            let parcel = self.parcels.get(&ticket).expect("a job stays until it is through");
            if parcel.is_overdue(self.context.limits.schedule) {
                self.give_up(ticket, "its time ran out while it waited for its turn");
                continue;
            }
            let attempt = parcel.attempts + 1;
            let attempt = attempt_within(
                Arc::clone(&self.context),
                self.circuit.is_good(),
                Arc::clone(&parcel.job),
                attempt,
            );
            self.under_way.push(Box::pin(async move { (ticket, attempt.await) }));
        }
    }

    fn settle(&mut self, ticket: Ticket, outcome: Outcome) {
        self.context.counters.attempted();
        let is_asked = !matches!(&outcome, Outcome::Retry { cause, .. } if !cause.is_of_the_endpoint());
        if let Some(parcel) = self.parcels.get_mut(&ticket) {
            parcel.attempts += u32::from(is_asked);
            parcel.unasked += u32::from(!is_asked);
        }
        match outcome {
            Outcome::Delivered { .. } => {
                self.circuit.succeeded();
                self.context.counters.delivered();
                self.end(ticket, Fate::Delivered);
            }
            Outcome::Refused { cause } => self.give_up(ticket, &cause.to_string()),
            Outcome::Retry { cause, retry_after } => {
                let limits = &self.context.limits;
                if cause.is_of_the_endpoint() {
                    self.circuit.failed(limits.tolerated_failures, limits.probe_rest);
                }
                let parcel = self.parcels.get_mut(&ticket).expect("a job stays until it is through");
                debug!(delivery = %parcel.job.id, endpoint = self.shown, %cause, "webhook {} failed", parcel.job.id);
                parcel.last_failure = Some(cause.to_string());
                match parcel.next_attempt(limits.schedule, retry_after) {
                    Some(due) => {
                        self.context.counters.retried();
                        self.retries.push(Reverse((due, ticket)));
                    }
                    None => self.give_up(ticket, "its time is over"),
                }
            }
        }
    }

    /// Ends a job as a dead letter. The last failure, if there was one, says more than that there was no further try.
    fn give_up(&mut self, ticket: Ticket, why: &str) {
        let Some(parcel) = self.parcels.get(&ticket) else { return };
        let cause = match &parcel.last_failure {
            Some(failure) => format!("{why}; {failure}"),
            None => why.to_owned(),
        };
        let (job, attempts) = (&parcel.job, parcel.attempts);
        warn!(
            delivery = %job.id, app_id = %job.app_id, endpoint = self.shown, attempts, cause,
            "gave up webhook {}", job.id
        );
        self.context.counters.dead();
        self.end(ticket, Fate::Dead { cause, attempts });
    }

    fn end(&mut self, ticket: Ticket, fate: Fate) {
        let parcel = self.parcels.remove(&ticket).expect("a job stays until it is through");
        self.ready.extend(self.order.leave(&parcel.job));
        self.busy_at = Instant::now();
        parcel.end(fate);
    }

    fn ready_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ticket))) = self.retries.peek().copied()
            && due <= now
        {
            self.retries.pop();
            self.ready.push_back(ticket);
        }
    }

    /// When something is to be done that no message and no answer calls for.
    fn wake_at(&self) -> Option<Instant> {
        let retry = self.retries.peek().map(|Reverse((due, _))| *due);
        let probe =
            self.circuit.rests_until().filter(|_| !self.ready.is_empty() && self.under_way.is_empty());
        let idle = self.is_idle().then(|| self.busy_at + self.context.limits.idle);
        [retry, probe, idle].into_iter().flatten().min()
    }

    fn is_idle(&self) -> bool {
        self.parcels.is_empty()
    }

    fn sign_off(&self) -> bool {
        self.shared.upgrade().is_none_or(|shared| shared.sign_off(&self.endpoint, &self.inbox))
    }
}

/// One attempt, as soon as there is a permit for it: out of the common share in good standing, else the reserve.
async fn attempt_within(
    context: Arc<Context>,
    in_good_standing: bool,
    job: Arc<Job>,
    attempt: u32,
) -> Outcome {
    let share = if in_good_standing { &context.requests } else { &context.probes };
    let _permit = share.acquire().await.expect("the shares are never closed");
    context.deliverer.attempt_for(&context.apps, &job, attempt).await
}
