//! Many jobs at once: in order where order is promised, and apart from each other everywhere else.
//!
//! Each endpoint has a *lane* of its own, a task that owns all jobs for it. Nothing is shared between lanes but
//! the number of requests under way, and of that a lane gets a small part. In a lane, jobs that share a channel run
//! strictly one after the other, retries included; others run side by side.
//!
//! An endpoint has to earn its place: until it first succeeds, and again after some failures in a row, its lane makes
//! one request at a time, out of a reserve that endpoints in good standing never need. So those that are dead, however
//! many, cost a few requests, and the healthy ones do not notice.
//!
//! The local queue, a stream's consumer and a cloud queue's poller are all of this form: [`Lanes::push`] each job,
//! await its [`Pending`], and forget the job or keep it according to its [`Fate`].

mod circuit;
mod counters;
mod lane;
mod order;
mod parcel;

use std::{collections::HashMap, fmt, mem, sync::Arc, time::Duration};

use app_manager::{apps::Apps, webhook::Endpoint};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use self::{
    counters::Counters,
    lane::Lane,
    parcel::{Parcel, Room},
};
use crate::{deliver::Deliverer, job::Job, retry::Schedule};

pub use counters::Snapshot;
pub use parcel::{Fate, Pending};

/// Bounds of all that goes on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When failed attempts are repeated.
    pub schedule: Schedule,
    /// Jobs held in all, waiting and under way.
    pub jobs: u32,
    /// Jobs held for one endpoint. Nor does an endpoint hold more than a quarter of what is left for all others: of
    /// several dead ones, each gets less than the one before, and there is room for dozens of them beside one that is
    /// not.
    pub jobs_per_endpoint: usize,
    /// Requests under way to endpoints in good standing.
    pub requests: usize,
    /// Requests under way to endpoints that have yet to succeed, or have failed of late.
    pub probes: usize,
    /// Requests under way to one endpoint in good standing. One in bad standing gets one.
    pub requests_per_endpoint: usize,
    /// Failures in a row that cost an endpoint its good standing.
    pub tolerated_failures: u32,
    /// The rest between two requests to an endpoint in bad standing, so that a dead one with many jobs is not asked
    /// as fast as it can refuse.
    pub probe_rest: Duration,
    /// How long a lane without jobs is kept, and with it what is known of its endpoint.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            jobs: 50_000,
            jobs_per_endpoint: 10_000,
            requests: 512,
            probes: 128,
            requests_per_endpoint: 8,
            tolerated_failures: 5,
            probe_rest: Duration::from_millis(100),
            idle: Duration::from_secs(60),
        }
    }
}

/// Why a job was not taken. The job comes back with the refusal.
#[derive(Debug, Error)]
pub enum NotTaken {
    /// There are as many jobs as may be held, in all or for this endpoint. The caller keeps the job and comes again.
    #[error("there is no room for webhook {}", .0.id)]
    Full(Box<Job>),
    /// The lanes are being drained and take nothing more.
    #[error("webhook {} came during the shutdown", .0.id)]
    Draining(Box<Job>),
}

/// Delivers jobs until they are delivered or dead. Cheap to clone: all clones are the same lanes.
///
/// When the last clone is dropped, so is whatever has not been delivered; [`drain`](Self::drain) first.
#[derive(Clone)]
pub struct Lanes {
    shared: Arc<Shared>,
}

/// What all clones of [`Lanes`] hold. Lanes themselves hold it weakly, to sign off.
struct Shared {
    context: Arc<Context>,
    /// Room for [`Limits::jobs`].
    room: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    lanes: HashMap<Endpoint, LaneHandle>,
    /// Owns the lanes' tasks: they end with it.
    tasks: JoinSet<()>,
    draining: bool,
}

struct LaneHandle {
    inbox: mpsc::Sender<Parcel>,
    /// Room for [`Limits::jobs_per_endpoint`].
    room: Arc<Semaphore>,
}

/// What every lane needs.
struct Context {
    deliverer: Deliverer,
    apps: Apps,
    limits: Limits,
    counters: Counters,
    /// One permit for each of [`Limits::requests`].
    requests: Semaphore,
    /// One permit for each of [`Limits::probes`].
    probes: Semaphore,
}

impl Lanes {
    /// Lanes that find the apps of jobs in `apps`.
    pub fn new(deliverer: Deliverer, apps: Apps, limits: Limits) -> Self {
        let context = Context {
            deliverer,
            apps,
            limits,
            counters: Counters::default(),
            requests: Semaphore::new(limits.requests),
            probes: Semaphore::new(limits.probes),
        };
        let state = State { lanes: HashMap::new(), tasks: JoinSet::new(), draining: false };
        let shared = Shared {
            context: Arc::new(context),
            room: Arc::new(Semaphore::new(limits.jobs as usize)),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a job over, behind all others that share a channel with it. Never waits.
    ///
    /// What comes back may be dropped by a caller who has nothing to do when the job is through.
    ///
    /// # Errors
    /// See [`NotTaken`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn push(&self, job: Job) -> Result<Pending, NotTaken> {
        let mut state = self.shared.state.lock();
        if state.draining {
            return Err(NotTaken::Draining(Box::new(job)));
        }
        let Ok(in_all) = Arc::clone(&self.shared.room).try_acquire_owned() else {
            return Err(NotTaken::Full(Box::new(job)));
        };
        let lane = state.lane(&job.endpoint, &self.shared);
        let held = self.shared.context.limits.jobs_per_endpoint - lane.room.available_permits();
        if held > self.shared.room.available_permits() / 4 {
            return Err(NotTaken::Full(Box::new(job)));
        }
        let Ok(in_lane) = Arc::clone(&lane.room).try_acquire_owned() else {
            return Err(NotTaken::Full(Box::new(job)));
        };
        let (parcel, pending) = Parcel::new(job, Room { in_all, in_lane });
        // There is room for all that the lane may hold. Only a task that has just died would not take it, and then
        // the parcel's end says so to whoever waits.
        if lane.inbox.try_send(parcel).is_ok() {
            self.shared.context.counters.taken();
        }
        Ok(pending)
    }

    /// Takes no more jobs, waits until those that were taken are through, and gives up after `patience`.
    ///
    /// What comes back is how many jobs were given up. Each one's [`Pending`] says so.
    pub async fn drain(&self, patience: Duration) -> u64 {
        self.shared.state.lock().draining = true;
        // All the room is free when every job is through.
        let all = self.shared.room.acquire_many(self.shared.context.limits.jobs);
        let _ = timeout(patience, all).await;
        let mut tasks = {
            let mut state = self.shared.state.lock();
            state.lanes.clear();
            mem::take(&mut state.tasks)
        };
        tasks.shutdown().await;
        self.snapshot().queued
    }

    /// What has happened so far, for metrics.
    pub fn snapshot(&self) -> Snapshot {
        let endpoints = self.shared.state.lock().lanes.len();
        self.shared.context.counters.snapshot(endpoints)
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

impl State {
    /// The endpoint's lane, a new one if there is none or if its task has died.
    fn lane(&mut self, endpoint: &Endpoint, shared: &Arc<Shared>) -> &LaneHandle {
        let alive = self.lanes.get(endpoint).is_some_and(|lane| !lane.inbox.is_closed());
        if !alive {
            // Whatever has ended since the last new lane is let go of here.
            while self.tasks.try_join_next().is_some() {}
            let jobs = shared.context.limits.jobs_per_endpoint;
            let (inbox, jobs_in) = mpsc::channel(jobs);
            let lane =
                Lane::new(endpoint.clone(), jobs_in, Arc::clone(&shared.context), Arc::downgrade(shared));
            self.tasks.spawn(lane.run());
            self.lanes.insert(endpoint.clone(), LaneHandle { inbox, room: Arc::new(Semaphore::new(jobs)) });
        }
        &self.lanes[endpoint]
    }
}

impl Shared {
    /// Lets a lane go that has nothing to do. Nobody pushes meanwhile: that takes the same lock.
    fn sign_off(&self, endpoint: &Endpoint, inbox: &mpsc::Receiver<Parcel>) -> bool {
        let mut state = self.state.lock();
        if !inbox.is_empty() {
            return false;
        }
        state.lanes.remove(endpoint);
        true
    }
}
