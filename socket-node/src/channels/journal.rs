//! From the journal of all nodes to this node's webhooks.
//!
//! A record is taken off the journal when it was delivered, or given up. Until then it is kept from the other nodes,
//! and goes to one of them if this node dies: what webhooks are to tell outlives the node that read it.

use std::{
    collections::{BTreeSet, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use app_manager::{app::App, apps::Apps};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};
use webhook_worker::event::WebhookEvent;

use crate::{
    cluster::{Journal, JournalDesk, Record, RecordId, Transition},
    webhooks::{Receipt, Webhooks},
};

/// Records that this node has read and that are not through. Beyond, others may read more.
const MAX_OPEN: usize = 20_000;

/// How often the journal hears that records are still being taken care of: well before they count as abandoned.
const KEEP: Duration = Duration::from_secs(2);

/// A record, and what resolves when it is through.
type Open = (RecordId, oneshot::Receiver<()>);

/// Hands what the journal gives to the webhooks, until `ending` changes; then it only waits for what it has read.
pub async fn tell_of_journal(journal: Journal, apps: Apps, webhooks: Webhooks, ending: watch::Receiver<()>) {
    let (opened, open) = mpsc::channel(MAX_OPEN / 2);
    let desk = journal.desk();
    let (journal, ()) = tokio::join!(read(journal, apps, webhooks, ending, opened), take_off(desk, open));
    journal.leave().await;
}

async fn read(
    mut journal: Journal,
    apps: Apps,
    webhooks: Webhooks,
    mut ending: watch::Receiver<()>,
    opened: mpsc::Sender<Open>,
) -> Journal {
    loop {
        let records = tokio::select! {
            biased;
            _ = ending.changed() => return journal,
            records = journal.next() => records,
        };
        let mut unanswered = HashSet::new();
        for record in records {
            let (receipt, settled) = Receipt::new(record.id.text(), record.time_ms);
            // The others are not to wait once more for what did not come just now.
            let app = match &record.topic.app {
                app if unanswered.contains(app) => None,
                app => Some(apps.by_id(app.as_str()).await),
            };
            match app {
                Some(Ok(Some(app))) => tell(&webhooks, &app, &record, receipt).await,
                // An app that is gone has nobody to be told.
                Some(Ok(None)) => receipt.settle(),
                // Nobody knows who is to be told. The receipt is dropped, and the record comes again: here or elsewhere.
                Some(Err(_)) => drop(unanswered.insert(record.topic.app.clone())),
                None => {}
            }
            if opened.send((record.id, settled)).await.is_err() {
                return journal;
            }
        }
    }
}

/// Tells the app's webhooks, unless they do not want it any more.
async fn tell(webhooks: &Webhooks, app: &Arc<App>, record: &Record, receipt: Receipt) {
    let event = webhook_event(record);
    if Webhooks::are_wanted(app, event.kind(), &record.topic.channel) {
        webhooks.tell_for_sure(app, event, receipt).await;
    } else {
        receipt.settle();
    }
}

async fn take_off(mut desk: JournalDesk, mut opened: mpsc::Receiver<Open>) {
    let mut open = BTreeSet::new();
    let mut settling: FuturesUnordered<Settling> = FuturesUnordered::new();
    let mut keeping = interval(KEEP);
    keeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_reading = true;
    while is_reading || !settling.is_empty() {
        tokio::select! {
            record = opened.recv(), if is_reading && open.len() < MAX_OPEN / 2 => match record {
                Some((id, settled)) => {
                    open.insert(id.clone());
                    settling.push(Box::pin(async move { if settled.await.is_ok() { Ok(id) } else { Err(id) } }));
                }
                None => is_reading = false,
            },
            Some(settled) = settling.next() => {
                let mut done = Vec::new();
                let mut next = Some(settled);
                while let Some(settled) = next {
                    open.remove(settled.as_ref().unwrap_or_else(|id| id));
                    match settled {
                        Ok(id) => done.push(id),
                        Err(id) => desk.let_go(&[id]),
                    }
                    next = settling.next().now_or_never().flatten();
                }
                desk.done(&done).await;
            }
            _ = keeping.tick() => desk.keep(&open.iter().cloned().collect::<Vec<_>>()).await,
        }
    }
}

/// The id of a record that is through, or, as an error, of one that this node lets go of.
type Settling = Pin<Box<dyn Future<Output = Result<RecordId, RecordId>> + Send>>;

fn webhook_event(record: &Record) -> WebhookEvent {
    let channel = record.topic.channel.to_string();
    match &record.event {
        Transition::Occupied => WebhookEvent::ChannelOccupied { channel },
        Transition::Vacated => WebhookEvent::ChannelVacated { channel },
        Transition::MemberAdded(user_id) => {
            WebhookEvent::MemberAdded { channel, user_id: user_id.to_string() }
        }
        Transition::MemberRemoved(user_id) => {
            WebhookEvent::MemberRemoved { channel, user_id: user_id.to_string() }
        }
    }
}
