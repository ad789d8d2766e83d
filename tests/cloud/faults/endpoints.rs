//! Endpoints that are broken in every way for a while, beside one that is not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::sleep;

use super::ledger::{ATTEMPT, Ledger, apps, number_in, settings_of};
use crate::support::{
    aws::Aws,
    poller::Poller,
    receiver::{Answer, Delivery, Receiver},
};

/// The longest gap between two attempts that the poller is set to.
const LONGEST_GAP: Duration = Duration::from_secs(4);

/// How much later than planned anything may come on a machine that has other things to do.
const SLACK: Duration = Duration::from_millis(1_500);

/// How long it may take until everything is delivered, once all endpoints are well.
const RECOVERY: Duration = Duration::from_secs(60);

/// Webhooks of each channel of a broken endpoint.
const OF_CHANNEL: usize = 5;

/// The queue of these tests.
const QUEUE: &str = "webhooks.fifo";

/// Of an answer's body a worker reads 64 KiB. More than that is on its way, in the buffers of the kernel.
const READ_AND_BUFFERED: usize = 2 << 20;

/// A way to be broken.
struct Trouble {
    path: &'static str,
    answer: Answer,
    /// How long an attempt takes.
    lasts: Duration,
    /// How many channels it has. Attempts that take long wait for each other, so there is one of these.
    channels: usize,
}

/// All ways to be broken in which an endpoint can be told what it missed, but for refusing connections.
fn troubles(receiver: &Receiver) -> Vec<Trouble> {
    let elsewhere = |status| Answer::Redirect(status, receiver.url_of("/elsewhere"));
    let brief = [
        ("/error", Answer::Status(500)),
        ("/reset", Answer::Reset),
        ("/moved", elsewhere(301)),
        ("/found", elsewhere(302)),
    ];
    let long = [("/hang", Answer::Hang), ("/slow", Answer::Slow(Duration::from_secs(5)))];
    let brief = brief.map(|(path, answer)| Trouble { path, answer, lasts: Duration::ZERO, channels: 3 });
    let long = long.map(|(path, answer)| Trouble { path, answer, lasts: ATTEMPT, channels: 1 });
    brief.into_iter().chain(long).collect()
}

/// Endpoints, and all that they were told.
struct Scene {
    aws: Aws,
    receiver: Receiver,
    /// Refuses connections at first.
    refusing: Receiver,
    troubles: Vec<Trouble>,
    ledger: Ledger,
    deliveries: Vec<Delivery>,
    began: Instant,
}

impl Scene {
    /// A queue with webhooks for broken endpoints, each of which has up to so many channels.
    async fn new(visibility_seconds: u32, channels: usize) -> Self {
        let (aws, receiver, mut refusing) =
            (Aws::start().await, Receiver::start().await, Receiver::start().await);
        refusing.refuse().await;
        aws.create_queue(QUEUE, visibility_seconds, 100).await;
        let (mut ledger, mut jobs, troubles) = (Ledger::default(), Vec::new(), troubles(&receiver));
        for Trouble { path, answer, .. } in &troubles {
            receiver.always_answer(path, answer.clone());
        }
        receiver.always_answer("/huge", Answer::HugeBody);
        receiver.always_answer("/torn", Answer::ResetInBody);
        let [app, _] = apps();
        for _ in 0..OF_CHANNEL {
            for trouble in &troubles {
                for channel in 0..trouble.channels.min(channels) {
                    let channel = format!("{}-{channel}", trouble.path);
                    jobs.push(ledger.produce(&app, &receiver.url_of(trouble.path), &channel));
                }
            }
            for path in ["/huge", "/torn"] {
                jobs.push(ledger.produce(&app, &receiver.url_of(path), path));
            }
            jobs.push(ledger.produce(&app, &refusing.url_of("/refused"), "/refused"));
        }
        send(&aws, jobs).await;
        Self { aws, receiver, refusing, troubles, ledger, deliveries: Vec::new(), began: Instant::now() }
    }

    /// Stays broken for so long, while another app has webhooks for an endpoint that is well.
    async fn endure(&mut self, time: Duration) {
        let [_, healthy] = apps();
        let url = self.receiver.url_of("/healthy");
        for round in 0_u32.. {
            let due = self.began + Duration::from_millis(100) * round;
            if due > self.began + time {
                return;
            }
            let jobs = (0..3).map(|n| self.ledger.produce(&healthy, &url, &format!("/healthy-{n}")));
            let jobs = jobs.collect();
            send(&self.aws, jobs).await;
            self.take_down();
            // The other app's webhooks come at a steady pace.
            sleep(due.saturating_duration_since(Instant::now())).await;
        }
    }

    fn take_down(&mut self) {
        for delivery in self.receiver.arrived() {
            self.ledger.add(&delivery, &apps());
            self.deliveries.push(delivery);
        }
    }

    /// Mends all endpoints, and waits until all of them have everything.
    async fn recover(&mut self) {
        for Trouble { path, .. } in &self.troubles {
            self.receiver.always_answer(path, Answer::Status(200));
        }
        self.refusing.accept_again().await;
        let mended = Instant::now();
        while !self.ledger.missing().is_empty() {
            let left = RECOVERY.saturating_sub(mended.elapsed());
            assert!(!left.is_zero(), "{:?} are lost", self.ledger.missing());
            let delivery = tokio::select! {
                delivery = self.receiver.next_within(left) => delivery,
                delivery = self.refusing.next_within(left) => delivery,
            };
            self.ledger.add(&delivery, &apps());
            self.deliveries.push(delivery);
        }
        self.aws.drained(QUEUE).await;
        self.take_down();
        println!(
            "{} webhooks, {} requests, all delivered {:?} after the endpoints were mended",
            self.ledger.count(),
            self.ledger.requests,
            mended.elapsed()
        );
    }

    /// Everything came in order and once, nobody was led astray, and no endpoint had more than its time.
    fn assert_sound(&self) {
        self.ledger.assert_in_order();
        assert_eq!(self.ledger.repeats, 0, "what was taken did not come again");
        let elsewhere = self.deliveries.iter().filter(|delivery| delivery.path() == "/elsewhere");
        assert_eq!(elsewhere.count(), 0, "a redirect was followed");
        let waits = self.receiver.waits();
        println!("of those who never answer nobody waited longer than {:?}", waits.iter().max());
        assert!(waits.len() >= 4 && waits.iter().all(|wait| *wait <= ATTEMPT + SLACK), "{waits:?}");
        let written = self.receiver.written();
        println!("of bodies of 1 GiB the endpoint could write {written:?} bytes");
        assert_eq!(written.len(), OF_CHANNEL);
        assert!(written.iter().all(|bytes| *bytes <= READ_AND_BUFFERED), "{written:?}");
    }

    /// The attempts of each delivery to this path, by number, in order.
    fn attempts_to(&self, path: &str) -> BTreeMap<usize, Vec<Instant>> {
        let mut attempts = BTreeMap::<_, Vec<_>>::new();
        for delivery in self.deliveries.iter().filter(|delivery| delivery.path() == path) {
            let at = attempts.entry(number_in(delivery)).or_default();
            at.push(delivery.at);
            let attempt = delivery.header("x-socket-rush-attempt");
            assert_eq!(attempt, Some(&*at.len().to_string()), "attempts are counted");
        }
        attempts
    }
}

async fn send(aws: &Aws, jobs: Vec<(String, String)>) {
    let jobs: Vec<_> = jobs.iter().map(|(group, job)| (group.as_str(), job.clone())).collect();
    aws.send(QUEUE, &jobs).await;
}

/// The gap after a failed attempt, the first of which is 1, before jitter.
fn gap_after(attempt: usize) -> Duration {
    Duration::from_secs(1 << (attempt - 1).min(10)).min(LONGEST_GAP)
}

/// The gaps between attempts that take so long grow as they should: each lies nearer to what it should be than to half or
/// to twice of that.
fn assert_gaps(path: &str, lasts: Duration, attempts: &BTreeMap<usize, Vec<Instant>>) {
    let mut most = 0;
    for (number, at) in attempts {
        for (index, pair) in at.windows(2).enumerate() {
            let gap = (pair[1] - pair[0]).saturating_sub(lasts);
            let planned = gap_after(index + 1);
            let bounds = planned.mul_f64(0.7)..=planned.mul_f64(1.2) + SLACK;
            assert!(bounds.contains(&gap), "{path}, {number}, gap {}: {gap:?}", index + 1);
        }
        most = most.max(at.len());
    }
    println!("{path}: at most {most} attempts");
    assert!(most >= 4, "{path} was broken for longer than {most} attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_endpoints_cost_the_poller_time_and_nobody_else_anything() {
    let mut scene = Scene::new(30, 3).await;
    let apps = settings_of(&apps()).to_string();
    let gap = LONGEST_GAP.as_secs().to_string();
    let flags = ["--webhook-retry-max-gap-seconds", &gap];
    let poller = Poller::start(scene.aws.address, QUEUE, &apps, &flags);
    scene.began = Instant::now();
    // Attempts that fail at once are made after 0, 1, 3, 7, 11 and 15 seconds.
    scene.endure(Duration::from_secs(16)).await;
    scene.recover().await;
    poller.stop().await;
    scene.assert_sound();
    for Trouble { path, lasts, .. } in &scene.troubles {
        assert_gaps(path, *lasts, &scene.attempts_to(path));
    }
    for path in ["/huge", "/torn", "/healthy"] {
        assert!(scene.attempts_to(path).values().all(|attempts| attempts.len() == 1), "{path}");
    }
    assert_refused(&scene);
    let p99 = scene.ledger.p99("/healthy");
    println!("99 of 100 webhooks of another app came within {p99:?}");
    assert!(p99 <= Duration::from_secs(2), "{p99:?}");
}

/// The endpoint that refused connections saw the attempt that it should have, when it should have.
fn assert_refused(scene: &Scene) {
    let first = scene.deliveries.iter().find(|delivery| delivery.path() == "/refused").expect("it is well");
    let attempt = first.header("x-socket-rush-attempt").and_then(|text| text.parse().ok());
    let planned: Duration = (1..attempt.expect("a number")).map(gap_after).sum();
    let came = first.at - scene.began;
    println!("/refused: attempt {attempt:?} came after {came:?}");
    assert!((planned.mul_f64(0.8)..=planned.mul_f64(1.2) + 2 * SLACK).contains(&came), "{came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_endpoints_lose_nothing_of_what_the_function_has_for_them() {
    /// More than an attempt takes. What fails comes again after it.
    const SECONDS: u32 = 6;
    let mut scene = Scene::new(SECONDS, 1).await;
    let apps = settings_of(&apps()).to_string();
    scene.aws.create_function(QUEUE, SECONDS, json!({"APPS": apps})).await;
    scene.began = Instant::now();
    scene.endure(Duration::from_secs(8)).await;
    scene.recover().await;
    scene.assert_sound();
    // The emulator works a FIFO queue off with one batch at a time, so whoever is in the next one waits for an attempt
    // that takes long.
    let p99 = scene.ledger.p99("/healthy");
    println!("99 of 100 webhooks of another app came within {p99:?}");
    assert!(p99 <= 5 * Duration::from_secs(SECONDS.into()), "{p99:?}");
}
