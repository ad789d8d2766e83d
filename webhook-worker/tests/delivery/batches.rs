//! The messages of a queue that are handed over at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use webhook_worker::{
    batch::{Batches, Message},
    job::Job,
    retry::Schedule,
};

use crate::{
    fixtures::{PATIENCE, apps, deliverer, event, job, now_ms},
    receiver::{Answer, Received, Receiver},
};

fn batches() -> Batches {
    Batches::new(deliverer(PATIENCE), apps(), Schedule::default())
}

/// A message for the first time, of this group.
fn message(id: &str, group: Option<&str>, job: &Job) -> Message {
    let group = group.map(str::to_owned);
    Message { id: id.into(), group, receives: 1, sent_at_ms: job.time_ms, body: job.to_json() }
}

/// Those that failed, in order of their ids.
async fn failed(batches: &Batches, messages: Vec<Message>) -> Vec<String> {
    let delivering = batches.deliver(messages, Instant::now() + 2 * PATIENCE);
    let mut failed = timeout(PATIENCE, delivering).await.expect("a batch is through in time");
    failed.sort();
    failed
}

/// What was sent, by what the events say.
fn data(requests: &[Received]) -> Vec<String> {
    requests.iter().flat_map(Received::data).collect()
}

/// Fails what says `bad`.
async fn choosy() -> Receiver {
    Receiver::scripted(|request| if request.data() == ["bad"] { Answer::ERROR } else { Answer::OK }).await
}

#[tokio::test]
async fn what_failed_is_named_and_nothing_else() {
    let receiver = choosy().await;
    let job = |channel, data| job(&receiver.url(), &[event(channel, data)]);
    let messages = vec![
        message("1", None, &job("a", "good")),
        message("2", None, &job("b", "bad")),
        message("3", None, &job("a", "good")),
    ];
    assert_eq!(failed(&batches(), messages).await, ["2"]);
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_failure_fails_the_rest_of_its_group_unsent_and_no_other_group() {
    let receiver = choosy().await;
    let job = |data| job(&receiver.url(), &[event("a", data)]);
    let messages = vec![
        message("1", Some("x"), &job("first")),
        message("2", Some("y"), &job("of y")),
        message("3", Some("x"), &job("bad")),
        message("4", Some("x"), &job("later")),
        message("5", Some("y"), &job("of y again")),
        message("6", Some("x"), &job("last")),
    ];
    assert_eq!(failed(&batches(), messages).await, ["3", "4", "6"]);
    let mut sent = data(&receiver.received());
    sent.sort();
    assert_eq!(sent, ["bad", "first", "of y", "of y again"]);
}

#[tokio::test]
async fn without_groups_a_failure_holds_up_nothing_and_a_channel_keeps_its_order() {
    let receiver = choosy().await;
    let said = ["1", "bad", "2", "3"];
    let messages = said.map(|data| message(data, None, &job(&receiver.url(), &[event("a", data)]))).to_vec();
    assert_eq!(failed(&batches(), messages).await, ["bad"]);
    assert_eq!(data(&receiver.received()), said);
}

#[tokio::test]
async fn an_unreadable_message_fails_and_so_does_what_follows_in_its_group() {
    let receiver = choosy().await;
    let mut messages: Vec<_> =
        ["1", "2", "3"].map(|id| message(id, Some("x"), &job(&receiver.url(), &[event("a", id)]))).to_vec();
    messages[1].body = "{}".into();
    messages.push(message("4", Some("y"), &job(&receiver.url(), &[event("b", "4")])));
    assert_eq!(failed(&batches(), messages).await, ["2", "3"]);
    let mut sent = data(&receiver.received());
    sent.sort();
    assert_eq!(sent, ["1", "4"]);
}

#[tokio::test]
async fn deliveries_of_a_batch_are_under_way_at_the_same_time() {
    let receiver = Receiver::always(Answer::After(Duration::from_millis(200))).await;
    let messages: Vec<_> = (0..10)
        .map(|n| message(&n.to_string(), None, &job(&receiver.url(), &[event(&format!("c{n}"), n)])))
        .collect();
    assert!(failed(&batches(), messages).await.is_empty());
    assert!(receiver.seen().most_open >= 5, "{:?}", receiver.seen());
}

#[tokio::test]
async fn a_batch_is_done_when_its_time_is_over() {
    let receiver = Receiver::always(Answer::Hang).await;
    let messages = ["1", "2"].map(|id| message(id, Some("x"), &job(&receiver.url(), &[event("a", id)])));
    let (batches, began) = (batches(), Instant::now());
    let until = began + Duration::from_millis(300);
    let mut failed = timeout(PATIENCE, batches.deliver(messages.to_vec(), until)).await.unwrap();
    failed.sort();
    assert_eq!(failed, ["1", "2"]);
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(receiver.seen().requests, 1);
}

#[tokio::test]
async fn what_is_too_old_is_not_sent_again_but_a_dead_letter_has_its_one_attempt() {
    let receiver = Receiver::always(Answer::OK).await;
    let mut old = job(&receiver.url(), &[event("a", "old")]);
    old.time_ms = now_ms() - 291_000;
    let repeated = Message { receives: 2, ..message("1", None, &old) };
    assert_eq!(failed(&batches(), vec![repeated]).await, ["1"]);
    assert_eq!(receiver.seen().requests, 0);
    assert!(failed(&batches(), vec![message("2", None, &old)]).await.is_empty());
}

#[tokio::test]
async fn a_dead_letter_that_is_sent_again_and_had_to_wait_for_its_group_has_its_attempt_when_it_comes_next() {
    let receiver = choosy().await;
    let again = |data: &str, receives| {
        let mut old = job(&receiver.url(), &[event("a", data)]);
        old.time_ms = now_ms() - 86_400_000;
        Message { receives, sent_at_ms: now_ms() - 1_000, ..message(data, Some("x"), &old) }
    };
    let batches = batches();
    assert_eq!(failed(&batches, vec![again("bad", 1), again("waits", 1)]).await, ["bad", "waits"]);
    assert!(failed(&batches, vec![again("waits", 2)]).await.is_empty());
    assert_eq!(data(&receiver.received()), ["bad", "waits"]);
}

#[tokio::test]
async fn the_attempt_is_counted_over_all_receives() {
    let receiver = Receiver::always(Answer::OK).await;
    let third = Message { receives: 3, ..message("1", None, &job(&receiver.url(), &[event("a", 1)])) };
    assert!(failed(&batches(), vec![third]).await.is_empty());
    assert_eq!(receiver.received()[0].header("X-Socket-Rush-Attempt"), Some("3"));
}

/// Fails the first so many requests.
async fn failing(times: usize) -> Receiver {
    let requests = AtomicUsize::new(0);
    let is_failed = move || requests.fetch_add(1, Relaxed) < times;
    Receiver::scripted(move |_| if is_failed() { Answer::ERROR } else { Answer::OK }).await
}

/// What each request says of itself: what it tells, and which attempt it is.
fn attempts(receiver: &Receiver) -> Vec<(String, String)> {
    let requests = receiver.received().into_iter();
    let said = |request: Received| {
        let attempt = request.header("X-Socket-Rush-Attempt").expect("each says it").to_owned();
        (request.data().remove(0), attempt)
    };
    requests.map(said).collect()
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> [(String, String); N] {
    pairs.map(|(data, attempt)| (data.to_owned(), attempt.to_owned()))
}

#[tokio::test]
async fn what_waited_unsent_for_its_group_has_had_no_attempt() {
    let receiver = failing(2).await;
    let batches = batches();
    let messages = |receives| {
        let message =
            |id| Message { receives, ..message(id, Some("x"), &job(&receiver.url(), &[event("a", id)])) };
        ["1", "2"].map(message).to_vec()
    };
    for receives in 1..=2 {
        assert_eq!(failed(&batches, messages(receives)).await, ["1", "2"]);
    }
    assert!(failed(&batches, messages(3)).await.is_empty());
    assert_eq!(attempts(&receiver), owned([("1", "1"), ("1", "2"), ("1", "3"), ("2", "1")]));
}

#[tokio::test]
async fn what_there_was_no_time_for_or_whose_endpoint_is_left_alone_has_had_no_attempt() {
    let receiver = failing(5).await;
    let batches = batches();
    let to = |id: &str, receives| Message {
        receives,
        ..message(id, None, &job(&receiver.url(), &[event("a", id)]))
    };
    for receives in 1..=7 {
        // The second is never sent: there is time for one attempt.
        let until = Instant::now() + Duration::from_millis(1_500);
        let failed = batches.deliver(vec![to("1", receives), to("2", receives)], until).await;
        assert_eq!(failed.len(), 2, "{failed:?}");
    }
    assert_eq!(receiver.received().len(), 5);
    // After five failures the endpoint is left alone for ten seconds.
    sleep(Duration::from_secs(10)).await;
    assert!(failed(&batches, vec![to("1", 8)]).await.is_empty());
    assert!(failed(&batches, vec![to("2", 8)]).await.is_empty());
    let expected = (1..=6).map(|attempt| ("1".to_owned(), attempt.to_string()));
    assert!(attempts(&receiver).into_iter().eq(expected.chain([("2".to_owned(), "1".to_owned())])));
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_alone() {
    let (dead, healthy) = (Receiver::always(Answer::ERROR).await, Receiver::always(Answer::OK).await);
    let batches = batches();
    for round in 0..20 {
        let to =
            |id: &str, receiver: &Receiver| message(id, None, &job(&receiver.url(), &[event("a", round)]));
        assert_eq!(failed(&batches, vec![to("dead", &dead), to("healthy", &healthy)]).await, ["dead"]);
    }
    // Five failures in a row, and on a machine that stands still a few rests.
    assert!(dead.seen().requests < 15, "{:?}", dead.seen());
    assert_eq!(healthy.seen().requests, 20);
}
