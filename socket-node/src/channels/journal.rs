//! From the journal of all nodes to this node's webhooks.
//!
//! A record is taken off the journal when it was delivered, or given up. Until then it is kept from the other nodes,
//! and goes to one of them if this node dies: what webhooks are to tell outlives the node that read it. While its app cannot
//! be looked up it waits here, and what comes later of the same app behind it ([`waiting`]).

mod waiting;

use std::{
    collections::BTreeSet,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use app_manager::{app::App, apps::Apps};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep},
};
use webhook_worker::event::WebhookEvent;

use self::waiting::Waiting;
use crate::{
    cluster::{Journal, JournalDesk, Record, RecordId, Transition},
    webhooks::{Receipt, Webhooks},
};

/// Records that this node has read and that are not through. Beyond, others may read more.
const MAX_OPEN: usize = 20_000;

/// How often the journal hears that records are still being taken care of: well before they count as abandoned.
const KEEP: Duration = Duration::from_secs(2);

/// How long the last reading may go on. It takes half a second as a rule; one that takes so long has no Redis.
const LAST_READING: Duration = Duration::from_secs(2);

/// A record, and what resolves when it is through.
type Open = (RecordId, oneshot::Receiver<()>);

/// Hands what the journal gives to the webhooks, until `ending` changes; then it only waits for what it has read, and keeps
/// others from telling of what came after that.
pub async fn tell_of_journal(journal: Journal, apps: Apps, webhooks: Webhooks, ending: watch::Receiver<()>) {
    let (opened, open) = mpsc::channel(MAX_OPEN / 2);
    let desk = journal.desk();
    let (through, is_through) = oneshot::channel::<()>();
    let reading = async {
        let mut journal = read(journal, apps, webhooks, ending, opened).await;
        tokio::select! {
            _ = is_through => {}
            () = journal.withdraw() => {}
        }
        journal.leave().await;
    };
    let taking_off = async {
        take_off(desk, open).await;
        drop(through);
    };
    tokio::join!(reading, taking_off);
}

async fn read(
    mut journal: Journal,
    apps: Apps,
    webhooks: Webhooks,
    ending: watch::Receiver<()>,
    opened: mpsc::Sender<Open>,
) -> Journal {
    let mut waiting = Waiting::new(apps);
    let mut is_ending = ending.clone();
    let mut over = pin!(async {
        // An error would say that the node has ended.
        let _ = is_ending.changed().await;
        sleep(LAST_READING).await;
    });
    while ending.has_changed().is_ok_and(|is_ending| !is_ending) {
        // A reading that is broken off may have read something, which would come again too late.
        let reading = async {
            tokio::select! {
                biased;
                records = journal.next() => records,
                () = &mut over => Vec::new(),
            }
        };
        for record in telling_meanwhile(&webhooks, &mut waiting, reading).await {
            let (receipt, settled) = Receipt::new(record.id.text(), record.time_ms);
            let (app_id, id) = (record.topic.app.clone(), record.id.clone());
            // What finds no room comes again, because its receipt is dropped.
            waiting.push(app_id, (record, receipt));
            // As a rule the app is known, and it is told here.
            let opening = opened.send((id, settled));
            if telling_meanwhile(&webhooks, &mut waiting, opening).await.is_err() {
                return journal;
            }
        }
    }
    // What still waits is left to others: its receipts are dropped.
    journal
}

/// Waits for something, and tells meanwhile of what waited for its app, as soon as that is known.
async fn telling_meanwhile<T>(
    webhooks: &Webhooks,
    waiting: &mut Waiting<(Record, Receipt)>,
    something: impl Future<Output = T>,
) -> T {
    let mut something = pin!(something);
    loop {
        tokio::select! {
            biased;
            (app, records) = waiting.next() => tell_all(webhooks, app.as_ref(), records).await,
            done = &mut something => return done,
        }
    }
}

/// Tells of all that waited for an app. One that is gone has nobody to be told.
async fn tell_all(webhooks: &Webhooks, app: Option<&Arc<App>>, records: Vec<(Record, Receipt)>) {
    for (record, receipt) in records {
        match app {
            Some(app) => tell(webhooks, app, &record, receipt).await,
            None => receipt.settle(),
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
                let (mut done, mut left) = (Vec::new(), Vec::new());
                let mut next = Some(settled);
                while let Some(settled) = next {
                    open.remove(settled.as_ref().unwrap_or_else(|id| id));
                    match settled {
                        Ok(id) => done.push(id),
                        Err(id) => left.push(id),
                    }
                    next = settling.next().now_or_never().flatten();
                }
                desk.done(&done).await;
                // Who reads no more has told of nothing that comes after them.
                if opened.is_closed() {
                    desk.hand_on(&left).await;
                } else {
                    desk.let_go(&left);
                }
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
