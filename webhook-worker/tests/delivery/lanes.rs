//! Many jobs at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use app_manager::{
    app::App,
    apps::{Apps, Freshness},
    store::{Lookup, LookupError},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all, ready},
};
use tokio::time::{Instant, timeout};
use webhook_worker::{
    job::Job,
    retry::Schedule,
    worker::{Fate, Lanes, Limits, NotTaken, Pending},
};

use crate::{
    fixtures::{PATIENCE, app, apps, deliverer, event, job, now_ms, target},
    receiver::{Answer, Received, Receiver},
};

/// Four seconds, as a server would have it, sped up like the schedule of [`fast`].
const DEADLINE: Duration = Duration::from_millis(200);

/// The limits of a server that lives twenty times as fast.
fn fast() -> Limits {
    Limits {
        schedule: Schedule::default().sped_up(20),
        probe_rest: Duration::from_millis(5),
        ..Limits::default()
    }
}

fn lanes(limits: Limits) -> Lanes {
    Lanes::new(deliverer(DEADLINE), apps(), limits)
}

/// The fates of all of them, in the order in which they were pushed.
async fn fates(pending: Vec<Pending>) -> Vec<Fate> {
    timeout(PATIENCE, join_all(pending)).await.expect("every job comes through in time")
}

/// The accepted requests' data by channel; each channel is named by the data's part before the colon.
fn accepted_by_channel(requests: &[Received]) -> HashMap<String, Vec<usize>> {
    let mut channels: HashMap<String, Vec<usize>> = HashMap::new();
    for data in requests.iter().filter(|request| request.is_accepted()).flat_map(Received::data) {
        let (channel, number) = data.split_once(':').expect("data is channel:number here");
        channels.entry(channel.to_owned()).or_default().push(number.parse().expect("a number"));
    }
    channels
}

/// Waits until something is so that nobody tells of.
async fn eventually(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it never came to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_was_down_gets_everything_once_and_each_channel_in_order() {
    const CHANNELS: usize = 12;
    const EACH: usize = 10;
    let failures = AtomicUsize::new(40);
    let receiver = Receiver::scripted(move |_| {
        let fails = failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if fails { Answer::ERROR } else { Answer::OK }
    })
    .await;
    // A deadline that is missed on a busy machine would be one more attempt.
    let lanes = Lanes::new(deliverer(PATIENCE), apps(), fast());
    let pending = (0..CHANNELS * EACH)
        .map(|n| {
            let (channel, number) = (format!("c{}", n % CHANNELS), n / CHANNELS);
            let data = format!("{channel}:{number}");
            lanes.push(job(&receiver.url(), &[event(&channel, data)])).unwrap()
        })
        .collect();

    assert_eq!(fates(pending).await, vec![Fate::Delivered; CHANNELS * EACH]);
    let requests = receiver.received();
    let channels = accepted_by_channel(&requests);
    assert_eq!(channels.len(), CHANNELS);
    for (channel, numbers) in channels {
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "{channel}");
    }
    let figures = lanes.snapshot();
    assert_eq!(requests.len(), CHANNELS * EACH + 40);
    assert_eq!((figures.attempts, figures.retried), (requests.len() as u64, 40));
    assert_eq!((figures.delivered, figures.dead, figures.queued), ((CHANNELS * EACH) as u64, 0, 0));
}

#[tokio::test]
async fn every_fault_of_an_endpoint_is_survived_by_every_job() {
    let asked = AtomicUsize::new(0);
    let receiver = Receiver::scripted(move |_| {
        let faults = [
            Answer::ERROR,
            Answer::Hang,
            Answer::Reset,
            Answer::Status(302, "Location: http://127.0.0.1:1/\r\n"),
            Answer::Status(429, "Retry-After: 0\r\n"),
            Answer::After(DEADLINE * 5),
        ];
        faults.get(asked.fetch_add(1, Relaxed)).cloned().unwrap_or(Answer::OK)
    })
    .await;
    let lanes = lanes(fast());
    let pending =
        (0..8).map(|n| lanes.push(job(&receiver.url(), &[event("a", format!("a:{n}"))])).unwrap()).collect();
    assert_eq!(fates(pending).await, vec![Fate::Delivered; 8]);
    let accepted: Vec<_> = receiver
        .received()
        .into_iter()
        .filter(|request| matches!(request.answer, Answer::Status(200, _)))
        .collect();
    assert_eq!(accepted_by_channel(&accepted)["a"], (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn attempts_are_numbered_keep_their_id_and_back_off() {
    let receiver = Receiver::scripted(|request| match request.header("X-Socket-Rush-Attempt") {
        Some("6") => Answer::OK,
        _ => Answer::ERROR,
    })
    .await;
    let lanes = lanes(fast());
    let job = job(&receiver.url(), &[event("a", 1)]);
    let pending = lanes.push(job.clone()).unwrap();
    assert_eq!(fates(vec![pending]).await, [Fate::Delivered]);

    let requests = receiver.received();
    assert_eq!(requests.len(), 6);
    for (n, request) in (1..).zip(&requests) {
        assert_eq!(request.header("X-Socket-Rush-Attempt"), Some(n.to_string().as_str()));
        assert_eq!(request.header("X-Socket-Rush-Delivery"), Some(job.id.to_string().as_str()));
        assert_eq!(request.body, job.body);
    }
    // 1, 2, 4 .. seconds at a twentieth; late is only what the machine adds.
    let gaps = requests.windows(2).map(|pair| pair[1].at - pair[0].at);
    for (gap, expected_ms) in gaps.zip([50, 100, 200, 400, 800]) {
        let expected = Duration::from_millis(expected_ms);
        let range = expected.mul_f64(0.8)..expected.mul_f64(1.2) + Duration::from_millis(100);
        assert!(range.contains(&gap), "{gap:?} instead of {expected:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_stays_dead_leaves_dead_letters_with_a_cause() {
    let receiver = Receiver::always(Answer::ERROR).await;
    let schedule = Schedule::default().sped_up(200);
    let lanes = lanes(Limits { schedule, ..fast() });
    let mut pending = Vec::new();
    for n in 0..20 {
        pending.push(lanes.push(job(&receiver.url(), &[event(&format!("c{}", n % 4), n)])).unwrap());
    }
    for fate in fates(pending).await {
        let Fate::Dead { cause, .. } = fate else { panic!("{fate:?}") };
        assert!(cause.contains("its time"), "{cause}");
    }
    let figures = lanes.snapshot();
    assert_eq!((figures.dead, figures.delivered, figures.queued), (20, 0, 0));
}

#[tokio::test]
async fn healthy_endpoints_beside_hanging_ones_keep_their_latency() {
    const HEALTHY: usize = 20;
    const ROUNDS: usize = 20;
    // A deadline as on a server: whoever waited for a hanging endpoint would be seconds late.
    let lanes = Lanes::new(deliverer(Duration::from_secs(4)), apps(), Limits::default());
    let hanging = Receiver::always(Answer::Hang).await;
    let mut stuck = Vec::new();
    for n in 0..200 {
        // Forty endpoints of one host, each with jobs on several channels.
        let url = format!("{}/{}", hanging.url(), n % 40);
        stuck.push(lanes.push(job(&url, &[event(&format!("c{}", n % 5), n)])).unwrap());
    }
    let healthy = join_all((0..HEALTHY).map(|_| Receiver::always(Answer::OK))).await;
    let mut latencies = Vec::new();
    for round in 0..ROUNDS {
        let deliveries = healthy.iter().map(|receiver| async {
            let began = Instant::now();
            let pending = lanes.push(job(&receiver.url(), &[event("a", format!("a:{round}"))])).unwrap();
            assert_eq!(pending.await, Fate::Delivered);
            began.elapsed()
        });
        latencies.extend(join_all(deliveries).await);
    }
    latencies.sort();
    assert_eq!(latencies.len(), HEALTHY * ROUNDS);
    let worst = latencies[latencies.len() - 1];
    assert!(worst < Duration::from_secs(1), "the slowest took {worst:?}");
    assert_eq!(lanes.snapshot().delivered, (HEALTHY * ROUNDS) as u64);
}

#[tokio::test]
async fn a_dead_endpoint_is_asked_by_one_job_at_a_time_and_a_good_one_by_several() {
    let receiver = Receiver::scripted(|request| match request.data()[0].as_str() {
        "dead" => Answer::Hang,
        _ => Answer::After(Duration::from_millis(50)),
    })
    .await;
    let lanes = lanes(Limits { schedule: Schedule::default().sped_up(200), ..fast() });
    let push = |n: usize, data: &str| {
        lanes.push(job(&receiver.url(), &[event(&format!("{data}{n}"), data)])).unwrap()
    };
    fates((0..10).map(|n| push(n, "dead")).collect()).await;
    assert_eq!(receiver.seen().most_open, 1);
    assert_eq!(fates((0..40).map(|n| push(n, "alive")).collect()).await, vec![Fate::Delivered; 40]);
    assert_eq!(receiver.seen().most_open, Limits::default().requests_per_endpoint);
}

#[tokio::test]
async fn a_failing_channel_does_not_hold_up_the_others_of_its_endpoint() {
    let receiver = Receiver::scripted(|request| match request.data()[0].as_str() {
        "poison:0" => Answer::ERROR,
        _ => Answer::OK,
    })
    .await;
    let lanes = lanes(fast());
    let _poison = lanes.push(job(&receiver.url(), &[event("poison", "poison:0")])).unwrap();
    let _behind = lanes.push(job(&receiver.url(), &[event("poison", "poison:1")])).unwrap();
    let pending = (0..50)
        .map(|n| lanes.push(job(&receiver.url(), &[event(&format!("c{n}"), "c:0")])).unwrap())
        .collect();
    assert_eq!(fates(pending).await, vec![Fate::Delivered; 50]);
    let behind_was_sent = receiver.received().iter().any(|request| request.data()[0] == "poison:1");
    assert!(!behind_was_sent);
}

#[tokio::test]
async fn batches_that_share_a_channel_keep_its_order() {
    let failures = AtomicUsize::new(0);
    let receiver = Receiver::scripted(move |_| match failures.fetch_add(1, Relaxed) % 3 {
        1 => Answer::ERROR,
        _ => Answer::After(Duration::from_millis(3)),
    })
    .await;
    let schedule = Schedule { horizon: PATIENCE, ..Schedule::default().sped_up(1_000) };
    let lanes = lanes(Limits { schedule, ..fast() });
    let pending = (0..40)
        .map(|n| {
            let names = [format!("c{}", n % 5), format!("c{}", (n * 2 + 1) % 5)];
            let events: Vec<_> = names.iter().map(|name| event(name, format!("{name}:{n}"))).collect();
            lanes.push(job(&receiver.url(), &events)).unwrap()
        })
        .collect();
    assert_eq!(fates(pending).await, vec![Fate::Delivered; 40]);
    for (channel, numbers) in accepted_by_channel(&receiver.received()) {
        assert!(numbers.is_sorted(), "{channel}: {numbers:?}");
    }
}

#[tokio::test]
async fn a_full_endpoint_gives_the_job_back_and_leaves_room_for_others() {
    let hanging = Receiver::always(Answer::Hang).await;
    let healthy = Receiver::always(Answer::OK).await;
    let lanes = lanes(Limits { jobs: 20, jobs_per_endpoint: 4, ..fast() });
    let stuck: Vec<_> = (0..4).map(|n| lanes.push(job(&hanging.url(), &[event("a", n)])).unwrap()).collect();
    let one_more = job(&hanging.url(), &[event("a", 5)]);
    match lanes.push(one_more.clone()) {
        Err(NotTaken::Full(job)) => assert_eq!(*job, one_more),
        other => panic!("{other:?}"),
    }
    let pending = lanes.push(job(&healthy.url(), &[event("a", 6)])).unwrap();
    assert_eq!(fates(vec![pending]).await, [Fate::Delivered]);
    assert_eq!(lanes.snapshot().queued, stuck.len() as u64);
}

#[tokio::test]
async fn dead_endpoints_however_many_leave_room_for_others() {
    let hanging = Receiver::always(Answer::Hang).await;
    let healthy = Receiver::always(Answer::OK).await;
    let lanes = lanes(Limits { jobs: 100, jobs_per_endpoint: 50, ..fast() });
    let mut stuck = Vec::new();
    for endpoint in 0..10 {
        let url = format!("{}/{endpoint}", hanging.url());
        stuck.extend((0..100).map_while(|n| lanes.push(job(&url, &[event("a", n)])).ok()));
    }
    let pending = lanes.push(job(&healthy.url(), &[event("a", 6)])).expect("there is room");
    assert_eq!(fates(vec![pending]).await, [Fate::Delivered]);
    assert!(stuck.len() > 80, "{} of 100 jobs are all that could be held", stuck.len());
}

#[tokio::test]
async fn room_in_all_is_bounded_too_and_comes_back() {
    let receiver = Receiver::always(Answer::After(Duration::from_millis(30))).await;
    let lanes = lanes(Limits { jobs: 2, ..fast() });
    let push = |n: usize| lanes.push(job(&format!("{}/{n}", receiver.url()), &[event("a", n)]));
    let pending = vec![push(1).unwrap(), push(2).unwrap()];
    assert!(matches!(push(3), Err(NotTaken::Full(_))));
    assert_eq!(fates(pending).await, [Fate::Delivered, Fate::Delivered]);
    eventually(|| push(4).is_ok()).await;
}

#[tokio::test]
async fn draining_waits_for_what_was_taken() {
    let receiver = Receiver::always(Answer::After(Duration::from_millis(50))).await;
    let lanes = lanes(fast());
    let pending = (0..10).map(|n| lanes.push(job(&receiver.url(), &[event("a", n)])).unwrap()).collect();
    assert_eq!(lanes.drain(PATIENCE).await, 0);
    assert_eq!(fates(pending).await, vec![Fate::Delivered; 10]);
    let late = lanes.push(job(&receiver.url(), &[event("a", 11)]));
    assert!(matches!(late, Err(NotTaken::Draining(_))));
}

#[tokio::test]
async fn draining_gives_up_in_time_and_says_on_how_many() {
    let hanging = Receiver::always(Answer::Hang).await;
    let healthy = Receiver::always(Answer::OK).await;
    let lanes = lanes(fast());
    let stuck = (0..7).map(|n| lanes.push(job(&hanging.url(), &[event("a", n)])).unwrap()).collect();
    let fine = (0..3).map(|n| lanes.push(job(&healthy.url(), &[event("a", n)])).unwrap()).collect();
    let began = Instant::now();
    assert_eq!(lanes.drain(Duration::from_millis(300)).await, 7);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(fates(stuck).await, vec![Fate::Abandoned; 7]);
    assert_eq!(fates(fine).await, vec![Fate::Delivered; 3]);
}

#[tokio::test]
async fn dropping_the_lanes_abandons_their_jobs() {
    let hanging = Receiver::always(Answer::Hang).await;
    let lanes = lanes(fast());
    let pending = lanes.push(job(&hanging.url(), &[event("a", 1)])).unwrap();
    hanging.wait_until(|seen| seen.requests == 1).await;
    drop(lanes);
    assert_eq!(fates(vec![pending]).await, [Fate::Abandoned]);
}

#[tokio::test]
async fn a_job_of_an_app_that_is_gone_is_dead_at_once() {
    let receiver = Receiver::always(Answer::OK).await;
    let lanes = lanes(fast());
    let job = Job::render(&"99".into(), &target(&receiver.url()), &[event("a", 1)], now_ms());
    let fate = fates(vec![lanes.push(job).unwrap()]).await.remove(0);
    assert!(matches!(&fate, Fate::Dead { cause, .. } if cause.contains("app")), "{fate:?}");
    assert_eq!(receiver.seen().connections, 0);
}

/// The app 1 in a store that is away for the first so many questions.
#[derive(Debug)]
struct Away(AtomicUsize);

impl Lookup for Away {
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        let is_away = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        ready(if is_away { Err(LookupError::Unavailable("away".into())) } else { Ok(Some(app(id))) }).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        self.by_id(key)
    }
}

#[tokio::test]
async fn what_nobody_could_sign_was_no_attempt() {
    let receiver = Receiver::always(Answer::OK).await;
    let freshness = Freshness { app: Duration::from_secs(60), miss: Duration::from_secs(5) };
    let apps = Apps::cached(Arc::new(Away(AtomicUsize::new(2))), freshness);
    let lanes = Lanes::new(deliverer(DEADLINE), apps, Limits::default());
    let pending = lanes.push(job(&receiver.url(), &[event("a", 1)])).unwrap();
    assert_eq!(fates(vec![pending]).await, [Fate::Delivered]);
    assert!(lanes.snapshot().retried > 0);
    assert_eq!(receiver.received()[0].header("X-Socket-Rush-Attempt"), Some("1"));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_for_good_gets_one_request_per_job() {
    let receiver = Receiver::always(Answer::Status(410, "")).await;
    let lanes = lanes(fast());
    let fate = fates(vec![lanes.push(job(&receiver.url(), &[event("a", 1)])).unwrap()]).await.remove(0);
    assert!(matches!(&fate, Fate::Dead { cause, attempts: 1 } if cause.contains("410")), "{fate:?}");
    assert_eq!(receiver.seen().requests, 1);
}

#[tokio::test]
async fn a_dead_letter_that_is_sent_again_gets_its_one_attempt() {
    let receiver = Receiver::scripted(|request| match request.data()[0].as_str() {
        "bad" => Answer::ERROR,
        _ => Answer::OK,
    })
    .await;
    let lanes = lanes(Limits::default());
    let old = |data: &str| {
        let yesterday = now_ms() - 86_400_000;
        let mut job = Job::render(&"1".into(), &target(&receiver.url()), &[event("a", data)], yesterday);
        job.attempts = 14;
        lanes.push(job).unwrap()
    };
    let fates = fates(vec![old("good"), old("bad"), old("good")]).await;
    assert_eq!([&fates[0], &fates[2]], [&Fate::Delivered, &Fate::Delivered]);
    assert!(matches!(&fates[1], Fate::Dead { cause, attempts: 15 } if cause.contains("500")), "{fates:?}");
    assert_eq!(receiver.received()[0].header("X-Socket-Rush-Attempt"), Some("15"));
}

#[tokio::test]
async fn a_lane_without_jobs_is_let_go_and_comes_back_when_needed() {
    let receiver = Receiver::always(Answer::OK).await;
    let lanes = lanes(Limits { idle: Duration::from_millis(20), ..fast() });
    for round in 0..3 {
        let pending = lanes.push(job(&receiver.url(), &[event("a", round)])).unwrap();
        assert_eq!(lanes.snapshot().endpoints, 1);
        assert_eq!(fates(vec![pending]).await, [Fate::Delivered]);
        eventually(|| lanes.snapshot().endpoints == 0).await;
    }
}
