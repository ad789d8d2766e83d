//! The subscribers of one channel on this node, and the events on their way to them.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::Socket;
use crate::{
    protocol::{Frame, SocketId},
    tally::Tally,
};

/// Sockets between two breaths of a sweep. Some 0.2 ms of work: joins, other channels and the HTTP side get their
/// turn, and more events gather for the next sweep than with longer steps.
const STEP: usize = 32;

/// Up to so many subscribers the publisher sweeps by itself: cheaper than a task.
const INLINE: usize = 16;

/// Bytes that one sweep takes out of the inbox.
const MAX_BATCH: usize = 128 * 1024;

/// Bytes that may wait in an inbox; then publishers have to wait.
const MAX_INBOX: usize = 4 * 1024 * 1024;

/// Bytes that may wait of what other nodes have published: they cannot be made to wait.
const MAX_HEARD: usize = 16 * MAX_INBOX;

/// Who is subscribed to a channel here, and what they have not been sent yet.
#[derive(Debug)]
pub struct Channel {
    inbox: Mutex<Inbox>,
    /// In the order of the sockets' ids, so that a sweep can go on where it was after others have come or left.
    seats: RwLock<Vec<Seat>>,
    tally: Arc<Tally>,
}

/// One subscriber's place in a channel.
#[derive(Debug)]
struct Seat {
    socket: Arc<Socket>,
    /// Number of the first event that is for this subscriber: those before were published before it came.
    since: u64,
}

/// Events between publish and sweep. The one who finds it idle sweeps; all others only put theirs in.
#[derive(Debug, Default)]
struct Inbox {
    entries: Vec<Entry>,
    /// Bytes of the entries.
    bytes: usize,
    /// Number of the next event, counted from the channel's beginning.
    next: u64,
    /// Somebody sweeps, and will look in again before it stops.
    is_flushing: bool,
    /// Those who wait for room, if there are any.
    waiting: Option<Arc<Notify>>,
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    /// The one who must not get it.
    except: Option<SocketId>,
    since: Instant,
}

/// More is waiting in the channel than it may hold: the publisher has to wait.
#[derive(Clone, Debug)]
pub struct Full(Arc<Channel>);

/// The duty to sweep: whoever holds it must run it.
#[must_use = "the channel stays silent until it is flushed"]
#[derive(Debug)]
pub struct Flush(Arc<Channel>);

impl Channel {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { inbox: Mutex::default(), seats: RwLock::default(), tally }
    }

    /// Gives a socket its seat and its greeting. Events published before are not for it, all others are.
    pub(super) fn seat(&self, socket: &Arc<Socket>, greeting: &[Frame]) {
        let since = self.inbox.lock().next;
        let mut seats = self.seats.write();
        let at = seats.partition_point(|seat| seat.socket.id() < socket.id());
        if seats.get(at).is_some_and(|seat| seat.socket.id() == socket.id()) {
            return;
        }
        for frame in greeting {
            socket.push(frame);
        }
        if seats.is_empty() {
            // Most channels have one subscriber: room for four would be three wasted.
            seats.reserve_exact(1);
        }
        seats.insert(at, Seat { socket: Arc::clone(socket), since });
    }

    /// Takes a socket out; true when nobody is left.
    pub(super) fn unseat(&self, socket: SocketId) -> bool {
        let mut seats = self.seats.write();
        if let Ok(at) = seats.binary_search_by_key(&socket, |seat| seat.socket.id()) {
            seats.remove(at);
        }
        seats.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.read().is_empty()
    }

    pub(super) fn sockets(&self) -> Vec<Arc<Socket>> {
        self.seats.read().iter().map(|seat| Arc::clone(&seat.socket)).collect()
    }

    pub(super) fn enqueue(
        self: &Arc<Self>,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<Option<Flush>, Full> {
        self.check_room()?;
        Ok(self.enqueue_always(frame, except))
    }

    pub(super) fn check_room(self: &Arc<Self>) -> Result<(), Full> {
        if self.inbox.lock().bytes > MAX_INBOX { Err(Full(Arc::clone(self))) } else { Ok(()) }
    }

    pub(super) fn enqueue_heard(self: &Arc<Self>, frame: &Frame, except: Option<SocketId>) -> Option<Flush> {
        if self.inbox.lock().bytes > MAX_HEARD {
            self.tally.unheard.one();
            return None;
        }
        self.enqueue_always(frame, except)
    }

    pub(super) fn enqueue_always(self: &Arc<Self>, frame: &Frame, except: Option<SocketId>) -> Option<Flush> {
        let since = Instant::now();
        let mut inbox = self.inbox.lock();
        inbox.bytes += frame.bytes().len();
        inbox.next += 1;
        inbox.entries.push(Entry { frame: frame.clone(), except, since });
        let is_idle = !std::mem::replace(&mut inbox.is_flushing, true);
        is_idle.then(|| Flush(Arc::clone(self)))
    }

    /// What the next sweep takes along. Nothing left ends the flusher's duty.
    fn take_batch(&self) -> Option<Batch> {
        let mut inbox = self.inbox.lock();
        if inbox.entries.is_empty() {
            inbox.is_flushing = false;
            return None;
        }
        let first = inbox.next - inbox.entries.len() as u64;
        let (mut count, mut bytes) = (0, 0);
        while bytes < MAX_BATCH && count < inbox.entries.len() {
            bytes += inbox.entries[count].frame.bytes().len();
            count += 1;
        }
        let rest = inbox.entries.split_off(count);
        let entries = std::mem::replace(&mut inbox.entries, rest);
        inbox.bytes -= bytes;
        let waiting = if inbox.bytes <= MAX_INBOX { inbox.waiting.take() } else { None };
        drop(inbox);
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
        Some(Batch::new(first, entries))
    }

    /// Sends a batch to the next [`STEP`] sockets after `cursor`; gives the last one's id while there are more.
    fn sweep_step(&self, batch: &Batch, cursor: Option<SocketId>) -> Option<SocketId> {
        let seats = self.seats.read();
        let start = cursor.map_or(0, |cursor| seats.partition_point(|seat| seat.socket.id() <= cursor));
        let end = seats.len().min(start + STEP);
        // Counted once for all of them: a count for each would cost more than it tells.
        let sent = seats[start..end].iter().map(|seat| batch.push_to(seat)).sum();
        self.tally.sent.add(sent);
        let more = end < seats.len();
        let last = seats[start..end].last().filter(|_| more).map(|seat| seat.socket.id());
        if last.is_none() {
            self.tally.fan_out_times.record(batch.oldest().elapsed());
        }
        last
    }

    /// Ends the flusher's duty if nothing is left to do.
    fn is_done(&self) -> bool {
        let mut inbox = self.inbox.lock();
        let is_done = inbox.entries.is_empty();
        if is_done {
            inbox.is_flushing = false;
        }
        is_done
    }

    /// Sweeps until the inbox is empty, beginning with the rest of a sweep if there is one.
    async fn flush(self: Arc<Self>, mut rest: Option<(Batch, SocketId)>) {
        loop {
            let (batch, mut cursor) = match rest.take() {
                Some((batch, cursor)) => (batch, Some(cursor)),
                None => match self.take_batch() {
                    Some(batch) => (batch, None),
                    None => return,
                },
            };
            loop {
                cursor = self.sweep_step(&batch, cursor);
                // Between the steps and between the sweeps: this is when the others come to work.
                tokio::task::yield_now().await;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
}

impl Flush {
    /// Sends what is in the inbox: at once where there are few subscribers, else in a task of its own.
    pub fn run(self) {
        let Self(channel) = self;
        if channel.seats.read().len() > INLINE {
            tokio::spawn(channel.flush(None));
            return;
        }
        let Some(batch) = channel.take_batch() else { return };
        let cursor = channel.sweep_step(&batch, None);
        // Most often nobody and nothing has come meanwhile, and the duty ends here.
        if cursor.is_some() || !channel.is_done() {
            tokio::spawn(channel.flush(cursor.map(|cursor| (batch, cursor))));
        }
    }
}

impl Full {
    /// Waits until the channel takes events again.
    pub async fn room(self) {
        let notified = {
            let mut inbox = self.0.inbox.lock();
            if inbox.bytes <= MAX_INBOX {
                return;
            }
            Arc::clone(inbox.waiting.get_or_insert_default()).notified_owned()
        };
        notified.await;
    }
}

/// Events that leave together: joined once, shared by all sockets that get all of them.
#[derive(Debug)]
struct Batch {
    /// Number of the first event.
    first: u64,
    entries: Vec<Entry>,
    /// All frames in one piece: one write a socket, and no list of pieces for each of them.
    joined: Bytes,
    /// Whether anybody must not get something of it.
    has_exceptions: bool,
}

impl Batch {
    fn new(first: u64, entries: Vec<Entry>) -> Self {
        let joined = match &entries[..] {
            [lone] => lone.frame.bytes().clone(),
            many => {
                let mut joined = Vec::with_capacity(many.iter().map(|entry| entry.frame.bytes().len()).sum());
                for entry in many {
                    joined.extend_from_slice(entry.frame.bytes());
                }
                joined.into()
            }
        };
        let has_exceptions = entries.iter().any(|entry| entry.except.is_some());
        Self { first, entries, joined, has_exceptions }
    }

    /// When the event came that has waited longest.
    fn oldest(&self) -> Instant {
        self.entries[0].since
    }

    /// Sends a subscriber what is for it; gives the number of events that this was.
    fn push_to(&self, seat: &Seat) -> u64 {
        let id = seat.socket.id();
        let gets_all = seat.since <= self.first
            && !(self.has_exceptions && self.entries.iter().any(|entry| entry.except == Some(id)));
        if gets_all {
            return if seat.socket.push_run(&self.joined) { self.entries.len() as u64 } else { 0 };
        }
        let mut sent = 0;
        for (number, entry) in (self.first..).zip(&self.entries) {
            if number >= seat.since && entry.except != Some(id) {
                sent += u64::from(seat.socket.push_run(entry.frame.bytes()));
            }
        }
        sent
    }
}
