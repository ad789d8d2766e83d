//! Workers that are killed again and again, in the middle of what they do: most of all between a webhook's delivery and
//! its deletion.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::ledger::{Ledger, apps, settings_of};
use crate::support::{
    aws::Aws,
    poller::Poller,
    random::Random,
    receiver::{Answer, Receiver},
};

/// Within this time after it has started, a poller is killed, unless it is killed by what it does.
const LIFE: Duration = Duration::from_millis(600);

/// How long an endpoint takes to answer, so that there is often something under way.
const ANSWER: Duration = Duration::from_millis(20);

/// How long it may take until anything comes, or everything is through, once nobody is killed any more: a poller's messages
/// are kept from others for half a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Webhooks of each round, on channels of its own and on one of all rounds. What a dead poller had asked the queue for is
/// answered all the same, up to twenty of them, and then kept from others as if it lived.
const OF_ROUND: usize = 40;

/// Webhooks of each channel.
const OF_CHANNEL: usize = 5;

/// For so long a worker that delivers nothing is not killed, where that is what is waited for.
const QUIET: Duration = Duration::from_secs(5);

/// Those of a round after which its worker is killed, at most.
const BEFORE: u64 = 8;

/// A queue whose workers die, and its endpoint.
struct Deaths {
    aws: Arc<Aws>,
    queue: String,
    receiver: Receiver,
    ledger: Ledger,
    random: Random,
}

impl Deaths {
    async fn new(aws: &Arc<Aws>, queue: String, visibility_seconds: u32, random: Random) -> Self {
        let receiver = Receiver::start().await;
        receiver.always_answer("/hook", Answer::Slow(ANSWER));
        aws.create_queue(&queue, visibility_seconds, 1_000).await;
        Self { aws: Arc::clone(aws), queue, receiver, ledger: Ledger::default(), random }
    }

    /// Fills the queue for one round.
    async fn send(&mut self, round: usize) {
        let [app, _] = apps();
        let url = self.receiver.url_of("/hook");
        let channel = |number| match number / OF_CHANNEL {
            0 => "of all rounds".to_owned(),
            of_round => format!("{round}-{of_round}"),
        };
        let jobs: Vec<_> =
            (0..OF_ROUND).map(|number| self.ledger.produce(&app, &url, &channel(number))).collect();
        let jobs: Vec<_> = jobs.iter().map(|(group, job)| (group.as_str(), job.clone())).collect();
        self.aws.send(&self.queue, &jobs).await;
    }

    /// Waits for the next so many webhooks, as long as there are any.
    async fn hear(&mut self, count: u64) {
        for _ in 0..count {
            let next = self.receiver.next_within(PATIENCE);
            let Ok(delivery) = timeout(QUIET, next).await else { return };
            self.ledger.add(&delivery, &apps());
        }
    }

    /// Takes down what has come.
    fn take_down(&mut self) {
        self.receiver.arrived().iter().for_each(|delivery| self.ledger.add(delivery, &apps()));
    }

    /// Waits until nothing is missing, and judges what came.
    async fn end(mut self, began: Instant) -> Ledger {
        let quiet = Instant::now();
        while !self.ledger.missing().is_empty() {
            assert!(quiet.elapsed() < PATIENCE, "{:?} are lost", self.ledger.missing());
            self.hear(1).await;
        }
        self.aws.drained(&self.queue).await;
        self.take_down();
        self.ledger.assert_in_order();
        println!(
            "{}: {} webhooks, {} repeats, {:?}",
            self.queue,
            self.ledger.count(),
            self.ledger.repeats,
            began.elapsed()
        );
        self.ledger
    }

    async fn poller(&self) -> Poller {
        let (address, queue) = (self.aws.address, self.queue.clone());
        let apps = settings_of(&apps()).to_string();
        spawn_blocking(move || Poller::start(address, &queue, &apps, &[])).await.expect("it starts")
    }

    /// Kills so many pollers: half of them at any moment, the others as soon as the endpoint has got a webhook, which can
    /// hardly be deleted by then.
    async fn kill_pollers(mut self, rounds: usize) -> Ledger {
        let began = Instant::now();
        for round in 0..rounds {
            self.send(round).await;
            let poller = self.poller().await;
            if self.random.below(2) == 0 {
                let count = 1 + self.random.below(BEFORE);
                self.hear(count).await;
            } else {
                sleep(self.random.part_of(LIFE)).await;
            }
            poller.kill();
            self.take_down();
        }
        println!("{}: {rounds} pollers killed in {:?}", self.queue, began.elapsed());
        let poller = self.poller().await;
        let ledger = self.end(began).await;
        poller.stop().await;
        ledger
    }

    /// Kills the process of the function so many times, each time while it works on a batch.
    async fn kill_functions(mut self, rounds: usize) -> Ledger {
        let began = Instant::now();
        for round in 0..rounds {
            self.send(round).await;
            let count = 1 + self.random.below(BEFORE);
            self.hear(count).await;
            sleep(self.random.part_of(2 * ANSWER)).await;
            // What came last may have come from the one that was killed before.
            while self.aws.kill_function() == 0 {
                assert!(began.elapsed() < PATIENCE + QUIET * 2 * rounds as u32, "there is no function");
                self.hear(1).await;
            }
            self.take_down();
        }
        println!("{}: {rounds} functions killed in {:?}", self.queue, began.elapsed());
        self.end(began).await
    }
}

/// What came of several queues: something repeated, because that is what this is about, but no more than a killed worker
/// may have had under way.
async fn judge(mut queues: JoinSet<Ledger>, kills: usize, what: &str) {
    let (mut webhooks, mut repeats) = (0, 0);
    while let Some(ledger) = queues.join_next().await {
        let ledger = ledger.expect("each queue is sound");
        webhooks += ledger.count();
        repeats += ledger.repeats;
    }
    println!("{kills} {what} killed, {webhooks} webhooks, 0 lost, {repeats} repeats");
    assert!((1..=kills * OF_ROUND).contains(&repeats), "{repeats} repeats");
}

/// Kills so many pollers of each of so many queues.
async fn kill_pollers(queues: usize, rounds: usize) {
    let (aws, mut random, mut deaths) = (Arc::new(Aws::start().await), Random::seeded(), JoinSet::new());
    for queue in 0..queues {
        let queue = format!("webhooks-{queue}.fifo");
        deaths.spawn(Deaths::new(&aws, queue, 30, random.another()).await.kill_pollers(rounds));
    }
    judge(deaths, queues * rounds, "pollers").await;
}

/// Kills the function so many times, in each of so many emulators.
async fn kill_functions(emulators: usize, rounds: usize) {
    /// Short, because a batch takes no second, and what a killed process had comes again only after this.
    const VISIBILITY: u32 = 2;
    let (mut random, mut deaths) = (Random::seeded(), JoinSet::new());
    for _ in 0..emulators {
        let aws = Arc::new(Aws::start().await);
        let queue = "webhooks.fifo".to_owned();
        let of_emulator = Deaths::new(&aws, queue, VISIBILITY, random.another()).await;
        let apps = settings_of(&apps()).to_string();
        aws.create_function(&of_emulator.queue, 20, json!({"APPS": apps})).await;
        deaths.spawn(of_emulator.kill_functions(rounds));
    }
    judge(deaths, emulators * rounds, "functions").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_outlive_their_pollers_a_hundred_and_sixty_times() {
    kill_pollers(4, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_outlive_their_function_forty_times() {
    kill_functions(4, 10).await;
}
