//! Endpoints that stay broken until webhooks for them are given up, and what is replayed afterwards.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::ledger::{Ledger, apps, settings_of};
use crate::{
    cloud::commands::command,
    support::{
        aws::{Aws, dead_letters_of},
        node::Launch,
        poller::Poller,
        receiver::{Answer, Receiver},
        signing::Credentials,
    },
};

/// How long it may take until the fate of everything is known.
const DECIDED: Duration = Duration::from_secs(90);

/// Webhooks are given up after five seconds: an attempt begins ten seconds before this at the latest.
const RETRY_SECONDS: &str = "15";

/// Webhooks of each channel.
const OF_CHANNEL: usize = 8;

/// A webhook among the dead letters.
#[derive(Debug)]
struct Dead {
    id: String,
    cause: Option<String>,
    attempts: Option<u64>,
}

/// A queue with webhooks for an endpoint that is down, for one that is well, and for one that is down for a moment.
struct Scene {
    aws: Aws,
    queue: &'static str,
    receiver: Receiver,
    ledger: Ledger,
    apps: Vec<Credentials>,
}

impl Scene {
    /// Each endpoint has so many channels.
    async fn new(queue: &'static str, visibility_seconds: u32, receives: u32, channels: usize) -> Self {
        let (aws, receiver) = (Aws::start().await, Receiver::start().await);
        aws.create_queue(queue, visibility_seconds, receives).await;
        receiver.always_answer("/down", Answer::Status(500));
        receiver.answer("/late", [Answer::Status(503)]);
        let (mut ledger, apps) = (Ledger::default(), apps().to_vec());
        let mut jobs = Vec::new();
        for _ in 0..OF_CHANNEL {
            for path in ["/down", "/up", "/late"] {
                for channel in 0..channels {
                    let channel = format!("{path}-{channel}");
                    jobs.push(ledger.produce(&apps[0], &receiver.url_of(path), &channel));
                }
            }
        }
        let by_reference: Vec<_> = jobs.iter().map(|(group, job)| (group.as_str(), job.clone())).collect();
        aws.send(queue, &by_reference).await;
        Self { aws, queue, receiver, ledger, apps }
    }

    /// What `socket-rush webhooks dlq` says.
    async fn dlq(&self, words: &str) -> String {
        let settings = json!({
            "queue_driver": "sqs", "sqs_queue_url": self.queue, "applications": settings_of(&self.apps),
        });
        let launch = Launch::unset().on_aws(self.aws.address);
        command(launch, &format!("webhooks dlq {words}"), &settings).await.stdout
    }

    /// The dead letters that can be seen at once: of a FIFO queue not all.
    async fn shown(&self) -> Vec<Dead> {
        let shown = self.dlq("show").await;
        let letters = serde_json::Deserializer::from_str(&shown).into_iter::<Value>();
        let dead = |letter: Value| Dead {
            id: letter["webhook"]["delivery"].as_str().expect("an id").to_owned(),
            cause: letter["cause"].as_str().map(str::to_owned),
            attempts: letter["attempts"].as_u64(),
        };
        letters.map(|letter| dead(letter.expect("JSON"))).collect()
    }

    /// Waits until every webhook is delivered or dead, and nothing is both.
    async fn decided(&mut self) -> Vec<Dead> {
        self.aws.drained_within(self.queue, DECIDED).await;
        self.receiver.arrived().iter().for_each(|delivery| self.ledger.add(delivery, &self.apps));
        let (produced, missing) = (self.ledger.count(), self.ledger.missing());
        let dead: u64 = self.aws.depth(&dead_letters_of(self.queue)).await.iter().sum();
        println!(
            "{}: {produced} produced = {} delivered + {dead} dead",
            self.queue,
            produced - missing.len()
        );
        assert_eq!(dead, missing.len() as u64);
        assert!(missing.len() * 3 >= produced, "an endpoint was down all the time");
        assert_eq!(self.ledger.repeats, 0);
        let shown = self.shown().await;
        let ids: BTreeSet<_> = shown.iter().map(|dead| dead.id.clone()).collect();
        assert!(!ids.is_empty() && ids.len() == shown.len(), "{shown:?}");
        if self.queue.ends_with(".fifo") {
            self.ledger.assert_in_order();
            assert!(ids.is_subset(&missing), "{ids:?} of {missing:?}");
        } else {
            assert_eq!(ids, missing);
        }
        shown
    }

    /// Replays all dead letters, and waits until all are delivered, once each: so they were those that were missing.
    async fn replay(&mut self) {
        let (began, dead) = (Instant::now(), self.ledger.missing().len());
        let replayed = self.dlq("replay").await;
        assert_eq!(replayed.lines().count(), dead, "{replayed}");
        let delivering = async {
            while !self.ledger.missing().is_empty() {
                let delivery = self.receiver.next_within(DECIDED).await;
                self.ledger.add(&delivery, &self.apps);
            }
        };
        let delivered = timeout(DECIDED, delivering).await;
        assert!(delivered.is_ok(), "{:?} are lost", self.ledger.missing());
        self.aws.drained(self.queue).await;
        assert_eq!(self.dlq("ls").await, "no dead letters\n");
        assert_eq!(self.ledger.repeats, 0);
        println!("{}: {dead} replayed and delivered within {:?}", self.queue, began.elapsed());
    }
}

/// Through the poller, in either kind of queue.
async fn outlast_the_poller(queue: &'static str) {
    let mut scene = Scene::new(queue, 30, 100, 2).await;
    let flags = ["--webhook-retry-seconds", RETRY_SECONDS];
    let poller = |scene: &Scene| {
        Poller::start(scene.aws.address, queue, &settings_of(&scene.apps).to_string(), &flags)
    };
    let first = poller(&scene);
    let shown = scene.decided().await;
    first.stop().await;
    for letter in &shown {
        let cause = letter.cause.as_deref().expect("each has a cause");
        let attempts = letter.attempts.expect("attempts are counted");
        // The last of a channel are overdue before they have their turn.
        let expected = if attempts > 0 { "answered 50" } else { "its time ran out" };
        assert!(cause.contains(expected), "{letter:?}");
    }
    assert!(shown.iter().any(|letter| letter.attempts > Some(0)), "{shown:?}");

    // Whoever replays signs with the secret that the app has now.
    scene.apps[0].secret = "rotated".to_owned();
    scene.receiver.always_answer("/down", Answer::Status(200));
    let second = poller(&scene);
    scene.replay().await;
    second.stop().await;
}

#[tokio::test]
async fn what_the_poller_gives_up_is_dead_with_its_cause_and_delivered_when_it_is_replayed() {
    outlast_the_poller("webhooks").await;
}

#[tokio::test]
async fn so_it_is_in_a_fifo_queue() {
    outlast_the_poller("webhooks.fifo").await;
}

#[tokio::test]
async fn what_the_queue_hands_the_function_too_often_is_dead_and_delivered_when_it_is_replayed() {
    let mut scene = Scene::new("webhooks.fifo", 2, 4, 1).await;
    let variables =
        json!({"APPS": settings_of(&scene.apps).to_string(), "WEBHOOK_RETRY_SECONDS": RETRY_SECONDS});
    scene.aws.create_function(scene.queue, 20, variables).await;
    scene.decided().await;
    scene.receiver.always_answer("/down", Answer::Status(200));
    // It fails once more, and with it the rest of its group.
    scene.receiver.answer("/down", [Answer::Status(500)]);
    scene.replay().await;
}
