//! Numbered webhooks, and what their endpoints saw of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cloud::{id_of, is_signed_by, job_of},
    support::{
        receiver::{Answer, Delivery},
        signing::Credentials,
    },
};

/// What an attempt may take.
pub(super) const ATTEMPT: Duration = Duration::from_secs(4);

/// Everything that was produced, and what was taken of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By number.
    produced: Vec<Produced>,
    /// The numbers of each channel that were taken, in the order in which that happened first.
    taken: BTreeMap<String, Vec<usize>>,
    /// How late each number was taken.
    latencies: BTreeMap<usize, Duration>,
    /// How often something was taken that had been taken before.
    pub(super) repeats: usize,
    /// How many requests there were.
    pub(super) requests: usize,
}

#[derive(Debug)]
struct Produced {
    channel: String,
    at: Instant,
}

/// The two apps of these tests.
pub(super) fn apps() -> [Credentials; 2] {
    [("1", "app-key"), ("2", "other-key")]
        .map(|(id, key)| Credentials::new(id, key, &format!("secret of {id}")))
}

/// Apps as settings have them.
pub(super) fn settings_of(apps: &[Credentials]) -> Value {
    let app = |app: &Credentials| json!({"app_id": app.id, "app_key": app.key, "app_secret": app.secret});
    apps.iter().map(app).collect()
}

impl Ledger {
    /// The next job of an app, in the group of its channel.
    pub(super) fn produce(&mut self, app: &Credentials, url: &str, channel: &str) -> (String, String) {
        let number = self.produced.len();
        self.produced.push(Produced { channel: channel.to_owned(), at: Instant::now() });
        (channel.to_owned(), job_of(&app.id, url, channel, number))
    }

    /// Takes down what an endpoint got, which one of these apps must have signed.
    pub(super) fn add(&mut self, delivery: &Delivery, apps: &[Credentials]) {
        let app = apps.iter().find(|app| delivery.header("x-pusher-key") == Some(&app.key));
        assert!(app.is_some_and(|app| is_signed_by(delivery, app)), "{}", delivery.head);
        let number = number_in(delivery);
        assert_eq!(delivery.header("x-socket-rush-delivery"), Some(&*id_of(number)), "each has its own id");
        self.requests += 1;
        if !is_taken(&delivery.answer) {
            return;
        }
        let produced = &self.produced[number];
        let taken = self.taken.entry(produced.channel.clone()).or_default();
        if taken.contains(&number) {
            self.repeats += 1;
        } else {
            taken.push(number);
            self.latencies.insert(number, delivery.at.saturating_duration_since(produced.at));
        }
    }

    /// How many webhooks were produced.
    pub(super) fn count(&self) -> usize {
        self.produced.len()
    }

    /// The ids of those that nobody has taken.
    pub(super) fn missing(&self) -> BTreeSet<String> {
        let numbers = (0..self.count()).filter(|number| !self.latencies.contains_key(number));
        numbers.map(id_of).collect()
    }

    /// What was taken of each channel was taken in the order in which it was produced.
    pub(super) fn assert_in_order(&self) {
        for (channel, numbers) in &self.taken {
            assert!(numbers.is_sorted(), "{channel}: {numbers:?}");
        }
    }

    /// How late one of a hundred was taken, of those on channels that begin like this.
    pub(super) fn p99(&self, channels: &str) -> Duration {
        let is_meant = |number: usize| self.produced[number].channel.starts_with(channels);
        let latencies = self.latencies.iter().filter(|(number, _)| is_meant(**number));
        let mut latencies: Vec<_> = latencies.map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        latencies.get(latencies.len() * 99 / 100).copied().expect("some were taken")
    }
}

/// The number of a delivery, which is what its event says.
pub(super) fn number_in(delivery: &Delivery) -> usize {
    delivery.events()[0]["data"].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

/// Whether a worker takes this for a success: the head decides, if it comes in time.
fn is_taken(answer: &Answer) -> bool {
    match answer {
        Answer::Status(status) => (200..300).contains(status),
        Answer::Slow(time) => *time < ATTEMPT,
        Answer::ResetInBody | Answer::HugeBody => true,
        Answer::Redirect(..) | Answer::Hang | Answer::Reset => false,
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Five webhooks of one channel, of which these come, in this order.
    fn ledger_of(numbers: &[usize]) -> Ledger {
        let (mut ledger, [app, _]) = (Ledger::default(), apps());
        for _ in 0..5 {
            ledger.produce(&app, "http://endpoint", "room");
        }
        for number in numbers {
            ledger.add(&delivery(&app, *number, Answer::Status(200)), &apps());
        }
        ledger
    }

    /// What an endpoint gets of the webhook with this number.
    fn delivery(app: &Credentials, number: usize, answer: Answer) -> Delivery {
        let body = json!({"time_ms": 1, "events": [{"data": number.to_string()}]}).to_string();
        let headers = [
            ("x-pusher-key", app.key.clone()),
            ("x-pusher-signature", app.sign(&body)),
            ("x-socket-rush-delivery", id_of(number)),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Delivery { at: Instant::now(), head: "POST / HTTP/1.1\r\n".to_owned(), headers, body, answer }
    }

    fn panics(judging: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(judging)).is_err()
    }

    #[test]
    fn what_comes_once_and_in_order_is_sound() {
        let ledger = ledger_of(&[0, 1, 2, 3, 4]);
        ledger.assert_in_order();
        assert_eq!((ledger.missing().len(), ledger.repeats, ledger.requests), (0, 0, 5));
    }

    #[test]
    fn what_does_not_come_or_is_not_taken_is_missing() {
        let mut ledger = ledger_of(&[0, 1, 3, 4]);
        let [app, _] = apps();
        for answer in [Answer::Status(500), Answer::Hang, Answer::Slow(ATTEMPT), Answer::Reset] {
            ledger.add(&delivery(&app, 2, answer), &apps());
        }
        assert_eq!(ledger.missing(), BTreeSet::from([id_of(2)]));
        ledger.add(&delivery(&app, 2, Answer::HugeBody), &apps());
        assert!(ledger.missing().is_empty());
    }

    #[test]
    fn what_comes_too_late_is_out_of_order_and_what_comes_again_is_not() {
        let repeated = ledger_of(&[0, 1, 2, 0, 1, 2, 3, 4]);
        repeated.assert_in_order();
        assert_eq!(repeated.repeats, 3);
        let swapped = ledger_of(&[0, 2, 1, 3, 4]);
        assert!(panics(|| swapped.assert_in_order()));
    }

    #[test]
    fn what_another_signed_or_has_another_id_is_refused() {
        let ([app, _], mut ledger) = (apps(), ledger_of(&[]));
        let stranger = Credentials::new(&app.id, &app.key, "guessed");
        assert!(panics(|| ledger.add(&delivery(&stranger, 0, Answer::Status(200)), &apps())));
        let mut renamed = delivery(&app, 0, Answer::Status(200));
        renamed.headers[2].1 = id_of(1);
        assert!(panics(|| ledger.add(&renamed, &apps())));
    }
}
