//! The poller: what it delivers, keeps, gives back and buries.

mod attempts;
mod burials;

use std::time::Duration;

use tokio::time::sleep;

use super::{accepted, apps, job, number_in};
use crate::support::{
    aws::Aws,
    poller::Poller,
    proxy::{Line, Proxy},
    receiver::{Answer, Receiver},
};

/// A poller of the queue, straight to the emulator.
fn poller(aws: &Aws, queue: &str, flags: &[&str]) -> Poller {
    Poller::start(aws.address, queue, &apps().to_string(), flags)
}

/// Numbered jobs of channels by turns.
fn jobs(receiver: &Receiver, channels: usize, count: usize) -> Vec<(String, String)> {
    let job = |number| {
        let channel = format!("c{}", number % channels);
        let job = job(receiver, "/hook", &channel, number);
        (channel, job)
    };
    (0..count).map(job).collect()
}

fn by_reference(jobs: &[(String, String)]) -> Vec<(&str, String)> {
    jobs.iter().map(|(group, job)| (group.as_str(), job.clone())).collect()
}

#[tokio::test]
async fn everything_is_delivered_once_and_then_gone_from_the_queue() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 3).await;
    aws.send("webhooks", &by_reference(&jobs(&receiver, 10, 100))).await;
    // The URL says less than it seems to: its host is another one's.
    let poller = poller(&aws, "https://sqs.us-east-1.example/000000000000/webhooks", &[]);
    let mut numbers = accepted(&mut receiver, 100).await;
    numbers.sort_by_key(|number| number.parse::<usize>().expect("a number"));
    assert!(
        numbers.iter().map(String::as_str).eq((0..100).map(|n| n.to_string()).collect::<Vec<_>>().iter())
    );
    aws.drained("webhooks").await;
    poller.answers_ready(200).await;
    assert_eq!(poller.metric("socket_rush_poller_delivered_total").await, 100);
    assert_eq!(poller.metric("socket_rush_poller_held").await, 0);
    poller.stop().await;
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn each_group_of_a_fifo_queue_keeps_its_order_through_failures() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 3).await;
    receiver.answer("/hook", [Answer::Status(500), Answer::Reset, Answer::Status(503)]);
    aws.send("webhooks.fifo", &by_reference(&jobs(&receiver, 3, 30))).await;
    let poller = poller(&aws, "webhooks.fifo", &[]);
    let mut numbers: Vec<usize> =
        accepted(&mut receiver, 30).await.iter().map(|number| number.parse().expect("a number")).collect();
    for channel in 0..3 {
        let of_channel: Vec<_> = numbers.iter().filter(|number| *number % 3 == channel).collect();
        assert!(of_channel.is_sorted(), "{of_channel:?}");
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..30));
    aws.drained("webhooks.fifo").await;
    poller.stop().await;
}

#[tokio::test]
async fn what_is_refused_or_no_job_becomes_a_dead_letter_with_its_cause_at_once() {
    for queue in ["webhooks", "webhooks.fifo"] {
        let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
        aws.create_queue(queue, 30, 100).await;
        receiver.always_answer("/gone", Answer::Status(410));
        let gone = job(&receiver, "/gone", "a", 1);
        aws.send(
            queue,
            &[("a", gone.clone()), ("a", "{}".to_owned()), ("a", job(&receiver, "/hook", "a", 2))],
        )
        .await;
        let poller = poller(&aws, queue, &[]);
        assert_eq!(accepted(&mut receiver, 1).await, ["2"]);
        let dead = aws.dead_letters(queue, 2).await;
        let of = |body: &str| dead.iter().find(|message| message.body == body).expect("it is there");
        assert_eq!(of(&gone).attributes["attempts"], "1");
        let cause = of(&gone).attributes["cause"].as_str().expect("a text").to_owned();
        assert!(cause.contains("410"), "{cause}");
        assert_eq!(of("{}").attributes["attempts"], "0");
        aws.drained(queue).await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn what_nobody_takes_in_time_becomes_a_dead_letter() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 100).await;
    receiver.always_answer("/hook", Answer::Status(500));
    aws.send("webhooks", &[("a", job(&receiver, "/hook", "a", 1))]).await;
    let poller = poller(&aws, "webhooks", &["--webhook-retry-seconds", "15"]);
    let dead = aws.dead_letters("webhooks", 1).await;
    let attempts: u32 =
        dead[0].attributes["attempts"].as_str().and_then(|text| text.parse().ok()).expect("a number");
    // After 0, 1 and 3 seconds, give or take the jitter and a machine that stands still.
    assert!((1..=4).contains(&attempts), "{attempts}");
    aws.drained("webhooks").await;
    poller.stop().await;
}

#[tokio::test]
async fn a_poller_that_ends_gives_back_at_once_what_it_cannot_deliver() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 600, 100).await;
    receiver.always_answer("/hook", Answer::Status(500));
    aws.send("webhooks", &[("a", job(&receiver, "/hook", "a", 1))]).await;
    let first = poller(&aws, "webhooks", &["--shutdown-grace-seconds", "8"]);
    receiver.next().await;
    first.stop().await;
    assert_eq!(aws.depth("webhooks").await, [1, 0], "visible to others");
    receiver.always_answer("/hook", Answer::Status(200));
    let second = poller(&aws, "webhooks", &[]);
    assert_eq!(accepted(&mut receiver, 1).await, ["1"]);
    aws.drained("webhooks").await;
    second.stop().await;
}

#[tokio::test]
async fn a_poller_that_is_killed_between_delivery_and_deletion_leaves_a_repeat_with_the_same_id() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    receiver.answer("/hook", [Answer::Slow(Duration::from_secs(2))]);
    aws.send("webhooks.fifo", &by_reference(&jobs(&receiver, 1, 3))).await;
    let first = poller(&aws, "webhooks.fifo", &[]);
    let sent = receiver.next().await;
    first.kill();
    let second = poller(&aws, "webhooks.fifo", &[]);
    // The queue keeps it from others for half a minute, and with it the rest of its group.
    let repeated = receiver.next_within(Duration::from_secs(60)).await;
    assert_eq!(repeated.header("x-socket-rush-delivery"), sent.header("x-socket-rush-delivery"));
    assert_eq!(repeated.header("x-socket-rush-attempt"), Some("2"));
    assert_eq!(
        (number_in(&repeated), accepted(&mut receiver, 2).await),
        ("0".into(), vec!["1".into(), "2".into()])
    );
    aws.drained("webhooks.fifo").await;
    second.stop().await;
}

#[tokio::test]
async fn what_is_tried_for_long_is_kept_from_others() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 100).await;
    // The gaps until it is taken add up to more than the half minute for which a message is kept at once.
    receiver.answer("/hook", vec![Answer::Status(500); 7]);
    aws.send("webhooks", &[("a", job(&receiver, "/hook", "a", 1))]).await;
    let pollers = ["1", "2"].map(|_| poller(&aws, "webhooks", &["--webhook-retry-max-gap-seconds", "10"]));
    for attempt in 1..=8 {
        let delivery = receiver.next_within(Duration::from_secs(60)).await;
        assert_eq!(delivery.header("x-socket-rush-attempt"), Some(&*attempt.to_string()));
    }
    aws.drained("webhooks").await;
    for poller in pollers {
        poller.stop().await;
    }
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn what_a_poller_has_no_room_for_is_given_back_and_comes_again() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 100).await;
    receiver.always_answer("/hook", Answer::Hang);
    // A hundred more than it holds for one endpoint, and one for another.
    let mut jobs = jobs(&receiver, 50, 1_100);
    jobs.push(("other".into(), job(&receiver, "/other", "other", 1_100)));
    aws.send("webhooks", &by_reference(&jobs)).await;
    let poller = poller(&aws, "webhooks", &[]);
    while poller.metric("socket_rush_poller_messages_returned_total").await < 100 {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(accepted(&mut receiver, 1).await, ["1100"], "another endpoint's is delivered meanwhile");
    receiver.always_answer("/hook", Answer::Status(200));
    let mut numbers = accepted(&mut receiver, 1_100).await;
    numbers.sort_by_key(|number| number.parse::<usize>().expect("a number"));
    assert!(numbers.into_iter().eq((0..1_100).map(|number| number.to_string())));
    aws.drained("webhooks").await;
    poller.stop().await;
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn a_poller_says_when_the_queue_is_away_and_goes_on_when_it_is_back() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 100).await;
    let proxy = Proxy::to(aws.address).await;
    let address = proxy.address;
    // The proxy needs this thread if the test has no other.
    let poller =
        tokio::task::spawn_blocking(move || Poller::start(address, "webhooks", &apps().to_string(), &[]));
    let poller = poller.await.expect("it starts");
    poller.answers_ready(200).await;
    proxy.set(Line::Refusing);
    poller.answers_ready(503).await;
    aws.send("webhooks", &by_reference(&jobs(&receiver, 1, 5))).await;
    proxy.set(Line::Sound);
    assert_eq!(accepted(&mut receiver, 5).await, ["0", "1", "2", "3", "4"]);
    poller.answers_ready(200).await;
    assert!(poller.metric("socket_rush_poller_queue_failures_total").await > 0);
    poller.stop().await;
}
