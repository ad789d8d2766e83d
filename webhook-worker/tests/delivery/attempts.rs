//! One attempt.

use std::{sync::Arc, time::Duration};

use app_manager::{
    app::App,
    apps::{Apps, Freshness},
    store::{Lookup, LookupError},
};
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::{net::TcpListener, time::Instant};
use webhook_worker::{
    deliver::{Cause, Deliverer, DeliverySettings, Outcome},
    event::WebhookEvent,
    job::Job,
    target::{AddressPolicy, TargetError},
};

use crate::{
    fixtures::{SECRET, app, deliverer, event, job, target},
    receiver::{Answer, Receiver},
};

const DEADLINE: Duration = Duration::from_millis(400);

async fn attempt(url: &str) -> Outcome {
    deliverer(DEADLINE).attempt(&app("1"), &job(url, &[event("a", 1)]), 1).await
}

async fn outcome_of(answer: Answer) -> Outcome {
    attempt(&Receiver::always(answer).await.url()).await
}

#[tokio::test]
async fn a_request_is_what_receivers_of_pusher_webhooks_expect() {
    let receiver = Receiver::always(Answer::OK).await;
    let occupied = WebhookEvent::ChannelOccupied { channel: "room".into() };
    let job = Job::render(&"1".into(), &target(&receiver.url()), &[occupied], 1_327_078_148_132);
    let outcome = deliverer(DEADLINE).attempt(&app("1"), &job, 3).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });

    let request = &receiver.received()[0];
    assert_eq!(
        request.body,
        r#"{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"room"}]}"#
    );
    // HMAC-SHA256 of that body with the app's secret, by another implementation.
    let signature = "0da6dd288810df95e55367358b8292c2e751f2dcdc6bcf6ea1c52c67bdd6a648";
    assert!(request.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("Content-Type"), Some("application/json"));
    assert_eq!(request.header("X-Pusher-Key"), Some("key-1"));
    assert_eq!(request.header("X-Pusher-Signature"), Some(signature));
    assert_eq!(request.header("X-Socket-Rush-Delivery"), Some(job.id.to_string().as_str()));
    assert_eq!(request.header("X-Socket-Rush-Attempt"), Some("3"));
    assert!(request.header("User-Agent").unwrap().starts_with("Socket-Rush/"));
    assert!(request.header("Host").unwrap().starts_with("127.0.0.1:"));
    assert_eq!(request.header("Transfer-Encoding"), None);
    assert!(!request.head.contains(SECRET) && !job.to_json().contains(SECRET));
}

/// A store of apps that answers as it is told to.
#[derive(Debug)]
struct Told(Result<(), LookupError>);

impl Lookup for Told {
    fn by_id<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        ready(self.0.clone().map(|()| None)).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        self.by_id(key)
    }
}

#[tokio::test]
async fn an_app_that_cannot_be_looked_up_is_waited_for_and_one_that_is_gone_is_not() {
    let receiver = Receiver::always(Answer::OK).await;
    let job = job(&receiver.url(), &[event("a", 1)]);
    let outcome = async |answer| {
        let freshness = Freshness { app: Duration::from_secs(60), miss: Duration::from_secs(5) };
        let apps = Apps::cached(Arc::new(Told(answer)), freshness);
        deliverer(DEADLINE).attempt_for(&apps, &job, 1).await
    };
    let later = Outcome::Retry { cause: Cause::AppAway, retry_after: None };
    assert_eq!(outcome(Err(LookupError::Unavailable("canary".into()))).await, later);
    assert_eq!(outcome(Err(LookupError::Unreadable("canary".into()))).await, later);
    assert_eq!(outcome(Ok(())).await, Outcome::Refused { cause: Cause::UnknownApp });
    assert!(receiver.received().is_empty() && !Cause::AppAway.is_of_the_endpoint());
}

#[tokio::test]
async fn headers_of_the_customer_arrive_and_replace_none_of_ours() {
    let receiver = Receiver::always(Answer::OK).await;
    let mut target = target(&receiver.url());
    for (name, value) in [
        ("authorization", "Bearer b"),
        ("X-Many", "1"),
        ("X-Many", "2"),
        ("x-pusher-key", "stolen"),
        ("Host", "evil"),
    ] {
        target.headers.push((name.into(), value.into()));
    }
    let job = Job::render(&"1".into(), &target, &[event("a", 1)], 0);
    let outcome = deliverer(DEADLINE).attempt(&app("1"), &job, 1).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    let head = &receiver.received()[0].head;
    assert!(head.contains("\r\nAuthorization: Bearer b\r\n"), "{head}");
    assert!(head.contains("\r\nX-Many: 1\r\nX-Many: 2\r\n"), "{head}");
    assert!(head.contains("\r\nX-Pusher-Key: key-1\r\n"), "{head}");
    assert!(!head.contains("stolen") && !head.contains("evil"), "{head}");
}

#[tokio::test]
async fn any_2xx_is_a_success() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(outcome_of(Answer::Status(status, "")).await, Outcome::Delivered { status });
    }
}

#[tokio::test]
async fn any_other_status_is_tried_again() {
    for status in [300, 304, 400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504, 599] {
        let expected = Outcome::Retry { cause: Cause::Status(status), retry_after: None };
        assert_eq!(outcome_of(Answer::Status(status, "")).await, expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_not_asked_again() {
    assert_eq!(outcome_of(Answer::Status(410, "")).await, Outcome::Refused { cause: Cause::Gone });
}

#[tokio::test]
async fn an_endpoint_can_ask_for_time() {
    let expected = Outcome::Retry { cause: Cause::Status(503), retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(outcome_of(Answer::Status(503, "Retry-After: 7\r\n")).await, expected);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Receiver::always(Answer::OK).await;
    let location: &'static str = format!("Location: {}\r\n", elsewhere.url()).leak();
    for status in [301, 302, 303, 307, 308] {
        let expected = Outcome::Retry { cause: Cause::Status(status), retry_after: None };
        assert_eq!(outcome_of(Answer::Status(status, location)).await, expected);
    }
    assert_eq!(elsewhere.seen().connections, 0);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_costs_no_more_than_the_deadline() {
    let began = Instant::now();
    let expected = Outcome::Retry { cause: Cause::Deadline(DEADLINE), retry_after: None };
    assert_eq!(outcome_of(Answer::Hang).await, expected);
    assert!((DEADLINE..DEADLINE * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_tried_again() {
    let outcome = outcome_of(Answer::Reset).await;
    assert!(matches!(outcome, Outcome::Retry { cause: Cause::Transport(_), .. }), "{outcome:?}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_tried_again() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = attempt(&format!("http://{free}/")).await;
    let Outcome::Retry { cause: Cause::Transport(text), .. } = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_success_stays_one_whatever_becomes_of_its_body() {
    for answer in [Answer::ResetInBody, Answer::HangInBody] {
        let began = Instant::now();
        assert_eq!(outcome_of(answer).await, Outcome::Delivered { status: 200 });
        assert!(began.elapsed() < DEADLINE * 3, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn of_a_huge_body_no_more_is_read_than_fits_the_buffers() {
    let receiver = Receiver::always(Answer::HugeBody).await;
    assert_eq!(attempt(&receiver.url()).await, Outcome::Delivered { status: 200 });
    receiver.wait_until(|seen| seen.written.is_some()).await;
    // What is not read here waits in the buffers of both sockets, a few MiB each.
    assert!(receiver.seen().written.unwrap() < 32 << 20, "{:?}", receiver.seen());
}

#[tokio::test]
async fn connections_are_used_again() {
    let receiver = Receiver::always(Answer::OK).await;
    let (deliverer, app) = (deliverer(DEADLINE), app("1"));
    for _ in 0..5 {
        deliverer.clone().attempt(&app, &job(&receiver.url(), &[event("a", 1)]), 1).await;
    }
    assert_eq!(receiver.seen().requests, 5);
    assert_eq!(receiver.received().last().unwrap().connection, 1);
}

#[tokio::test]
async fn where_private_addresses_are_blocked_none_is_even_connected_to() {
    let receiver = Receiver::always(Answer::OK).await;
    let settings =
        DeliverySettings { deadline: DEADLINE, ..DeliverySettings::new(AddressPolicy::public_only()) };
    let deliverer = Deliverer::new(settings);
    for host in
        ["127.0.0.1", "localhost", "LOCALHOST", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"]
    {
        let job = job(&receiver.url_with_host(host), &[event("a", 1)]);
        let outcome = deliverer.attempt(&app("1"), &job, 1).await;
        let refused = matches!(outcome, Outcome::Refused { cause: Cause::Target(TargetError::Address(_)) });
        assert!(refused, "{host}: {outcome:?}");
    }
    assert_eq!(receiver.seen().connections, 0);
}

#[tokio::test]
async fn where_they_are_not_a_name_of_the_neighbourhood_works() {
    let receiver = Receiver::always(Answer::OK).await;
    assert_eq!(attempt(&receiver.url_with_host("localhost")).await, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn a_url_that_cannot_be_called_is_refused_at_once() {
    for url in ["", "not a url", "ftp://x/", "http://user@127.0.0.1/"] {
        let outcome = attempt(url).await;
        assert!(matches!(outcome, Outcome::Refused { cause: Cause::Target(_) }), "{url}: {outcome:?}");
    }
}

/// `cargo test -p webhook-worker --no-default-features --test delivery attempts`
#[cfg(not(feature = "aws"))]
#[tokio::test]
async fn a_target_in_aws_is_refused_by_a_program_that_was_built_without_it() {
    let arn = "arn:aws:sns:eu-west-1:123456789012:t";
    let mut job = job("http://unused", &[event("a", 1)]);
    job.endpoint = app_manager::webhook::Endpoint::SnsTopicArn(arn.into());
    let outcome = deliverer(DEADLINE).attempt(&app("1"), &job, 1).await;
    assert_eq!(outcome, Outcome::Refused { cause: Cause::NoAws });
}
