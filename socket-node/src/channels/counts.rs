//! Telling subscribers of all nodes how many they are.
//!
//! Whoever comes or goes on any node makes that node ask the census, a moment later, and tell all nodes. What comes
//! meanwhile is told with it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use app_manager::app::App;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use super::{Channels, run};
use crate::{
    hub::{Topic, pulse},
    protocol::event,
};

/// Channels whose count is to be told. Beyond, one has to wait for its next change.
const MAX_WAITING: usize = 65_536;

/// For so long, changes are gathered. A departure of the last one here is in the census by then.
const GATHER: Duration = Duration::from_millis(250);

/// Which channels' counts are to be told.
#[derive(Debug, Default)]
pub(super) struct CountTeller {
    waiting: Mutex<HashMap<Topic, Arc<App>>>,
    changed: Notify,
}

impl Channels {
    /// Has the count of a channel's subscribers told, if it is to be told now.
    pub(super) fn tell_count_later(&self, app: &Arc<App>, topic: &Topic) {
        let mut place = self.shared.census.place(topic);
        // Who was the last one here leaves it to nobody else.
        if place.occupancy().is_occupied() && place.count_to_tell(pulse::now()).is_none() {
            return;
        }
        drop(place);
        let teller = &self.shared.counts;
        let mut waiting = teller.waiting.lock();
        if waiting.len() < MAX_WAITING || waiting.contains_key(topic) {
            waiting.insert(topic.clone(), Arc::clone(app));
            teller.changed.notify_one();
        }
    }

    /// Tells the counts that are to be told, for as long as the node lives.
    pub async fn tell_counts(self) {
        let Some(cluster) = self.cluster() else { return };
        loop {
            self.shared.counts.changed.notified().await;
            sleep(GATHER).await;
            let waiting = std::mem::take(&mut *self.shared.counts.waiting.lock());
            for (topic, app) in waiting {
                // Each node asks when its own count is there: so whoever is last to enter one tells the right sum. Without
                // Redis nobody knows, and the next change tells.
                if cluster.census.counted(&topic).await.is_ok()
                    && let Ok(occupancy) = cluster.census.occupancy(&topic).await
                    && occupancy.is_occupied()
                {
                    self.tell_count(&app, &topic, occupancy.subscriptions);
                }
            }
        }
    }

    fn tell_count(&self, app: &Arc<App>, topic: &Topic, count: u32) {
        self.tell_webhooks_of_count(app, &topic.channel, count);
        let notice = event::subscription_count(&topic.channel, count);
        // Who does not hear of this one hears of the next.
        let _ = self.tell_others(topic, &notice, None);
        run(self.announce(topic, &notice, None));
    }
}
