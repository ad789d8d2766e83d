//! Which jobs have to wait for which.

use std::collections::{HashMap, VecDeque};

use app_manager::app::AppId;

use crate::job::Job;

/// Numbers a lane's jobs in the order in which they came.
pub(super) type Ticket = u64;

/// The jobs of each channel, in line. A job stands in the lines of all its channels, joins them at once, and runs when
/// it is the first in each: so no two jobs can wait for each other.
#[derive(Debug, Default)]
pub(super) struct Order {
    lines: HashMap<Topic, VecDeque<Ticket>>,
    /// For each job that waits, how many lines have somebody in front of it.
    waiting: HashMap<Ticket, usize>,
}

/// A channel of an app: apps do not share channels, even where they share an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Topic {
    app_id: AppId,
    channel: String,
}

fn topics(job: &Job) -> impl Iterator<Item = Topic> {
    job.channels.iter().map(|channel| Topic { app_id: job.app_id.clone(), channel: channel.clone() })
}

impl Order {
    /// Puts a job behind all those that it shares a channel with. `true` if there are none.
    pub(super) fn join(&mut self, ticket: Ticket, job: &Job) -> bool {
        let mut behind = 0;
        for topic in topics(job) {
            let line = self.lines.entry(topic).or_default();
            behind += usize::from(!line.is_empty());
            line.push_back(ticket);
        }
        if behind > 0 {
            self.waiting.insert(ticket, behind);
        }
        behind == 0
    }

    /// Takes a job that ran out of its lines. Those that come back need wait no longer.
    pub(super) fn leave(&mut self, job: &Job) -> Vec<Ticket> {
        let mut freed = Vec::new();
        for topic in topics(job) {
            let Some(line) = self.lines.get_mut(&topic) else { continue };
            line.pop_front();
            let Some(&first) = line.front() else {
                self.lines.remove(&topic);
                continue;
            };
            let Some(behind) = self.waiting.get_mut(&first) else { continue };
            *behind -= 1;
            if *behind == 0 {
                self.waiting.remove(&first);
                freed.push(first);
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use app_manager::webhook::{Endpoint, WebhookTarget};
    use proptest::prelude::*;

    use super::*;
    use crate::event::WebhookEvent;

    fn job(app_id: &str, channels: &[&str]) -> Job {
        let target = WebhookTarget {
            endpoint: Endpoint::Url("http://example.com".into()),
            event_types: Vec::new(),
            channel_name_starts_with: None,
            channel_name_ends_with: None,
            headers: Vec::new(),
        };
        let events: Vec<WebhookEvent> = channels
            .iter()
            .map(|channel| WebhookEvent::CacheMiss { channel: (*channel).to_owned() })
            .collect();
        Job::render(&AppId::from(app_id), &target, &events, 0)
    }

    #[test]
    fn jobs_of_one_channel_run_one_by_one_and_others_at_once() {
        let mut order = Order::default();
        assert!(order.join(1, &job("1", &["a"])));
        assert!(!order.join(2, &job("1", &["a"])));
        assert!(order.join(3, &job("1", &["b"])));
        assert!(order.join(4, &job("2", &["a"])));
        assert_eq!(order.leave(&job("1", &["a"])), [2]);
        assert!(order.leave(&job("1", &["a"])).is_empty());
        assert!(order.join(5, &job("1", &["a"])));
    }

    #[test]
    fn a_batch_waits_for_all_of_its_channels_and_holds_up_all_of_them() {
        let mut order = Order::default();
        assert!(order.join(1, &job("1", &["a"])));
        assert!(order.join(2, &job("1", &["b"])));
        assert!(!order.join(3, &job("1", &["a", "b"])));
        assert!(!order.join(4, &job("1", &["b"])));
        assert!(order.leave(&job("1", &["a"])).is_empty());
        assert_eq!(order.leave(&job("1", &["b"])), [3]);
        assert_eq!(order.leave(&job("1", &["a", "b"])), [4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn everything_runs_in_the_end_and_each_channel_in_order(
            masks in proptest::collection::vec(1..32_u8, 1..60),
            choices in proptest::collection::vec(any::<usize>(), 60),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let jobs: Vec<Job> = masks
                .iter()
                .map(|mask| {
                    let held = |n: &usize| mask & (1 << n) != 0;
                    job("1", &(0..5).filter(held).map(|n| names[n]).collect::<Vec<_>>())
                })
                .collect();
            let at = |ticket: Ticket| &jobs[usize::try_from(ticket).unwrap()];
            let mut order = Order::default();
            let mut ready: Vec<Ticket> = (0..).zip(&jobs).filter(|(n, job)| order.join(*n, job)).map(|(n, _)| n).collect();
            let mut ran: Vec<Ticket> = Vec::new();
            for choice in choices.iter().cycle() {
                if ready.is_empty() {
                    break;
                }
                let ticket = ready.swap_remove(choice % ready.len());
                ran.push(ticket);
                ready.extend(order.leave(at(ticket)));
            }
            prop_assert_eq!(ran.len(), jobs.len());
            prop_assert!(order.lines.is_empty() && order.waiting.is_empty());
            for name in names {
                let of_channel: Vec<Ticket> =
                    ran.iter().copied().filter(|n| at(*n).channels.iter().any(|channel| channel == name)).collect();
                prop_assert!(of_channel.is_sorted(), "{}: {:?}", name, of_channel);
            }
        }
    }
}
