//! Who is where, on all nodes, in Redis.
//!
//! A node tells Redis only of its edges: the first and last subscriber of a channel *here*, the first and last
//! connection of a member or a signed-in user *here*. Scripts make of them the edges of the whole, once whoever races,
//! and in the same step write down what webhooks are to tell, and tell all nodes what members and watchers are to hear.
//!
//! What a node has stands under a [`holder`] with a lease. When the lease is over, any node sweeps it up
//! ([`sweep`]). What this node has is recorded on the [`desk`], in the table of what is [`held`]; the [`clerk`] sends
//! it, and enters all of it again when Redis was away, or has lost it. What waits to become webhooks is in the
//! [`journal`]. [`scripts`] are the only ones to write.

mod clerk;
mod desk;
mod figures;
mod held;
mod holder;
pub mod journal;
mod reads;
mod scripts;
mod sweep;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use app_manager::app::AppId;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use thiserror::Error;
use tokio::sync::watch;
use tracing::Instrument as _;

use clerk::Clerk;
use desk::{Counting, Desk};
pub use figures::{Entering, Figures};
use held::Entry;
pub use holder::Timing;
use scripts::Outcome;

use super::{
    keys::Shard,
    line::{Line, Lines, PerLine},
};
use crate::{
    cluster::census::Occupancy,
    hub::Topic,
    protocol::{ChannelName, event::Member},
};

/// The census of all nodes, as one of them has it. Cheap to clone.
///
/// What changes is recorded before a call returns, in the order of the calls, so the caller holds the channel's place
/// while calling and not while waiting. An answer of [`Away`] says that Redis does not know of it *yet*: it is
/// recorded, and will be entered when Redis is back, so that whoever gets it goes on as if it had been accepted, and
/// takes it back in the same way. Nobody waits longer than the connection's deadlines, whatever becomes of Redis.
#[derive(Clone, Debug)]
pub struct RedisCensus {
    lines: PerLine<Arc<Shared>>,
    /// What is counted on all lines together.
    figures: Arc<Figures>,
}

/// The census as far as one line leads to it: for its shards, this node is a holder of its own.
#[derive(Debug)]
struct Shared {
    line: Line,
    timing: Timing,
    desk: Desk,
    state: watch::Sender<CensusState>,
    /// Where questions are asked: they need no order among changes, and do not hold them up.
    reads: Mutex<Option<MultiplexedConnection>>,
    figures: Arc<Figures>,
}

/// How this node stands in the shards of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CensusState {
    /// Nobody knows what stands there.
    Away,
    /// Everything stands there. The number grows with each time that everything was entered; what nodes have heard of
    /// members before may have holes, and a [`snapshot`](RedisCensus::snapshot) fills them.
    Entered(u64),
    /// The node has given up everything, and will not come back.
    Retired,
}

/// Which webhooks the app wants of what comes and goes: of a channel `channel_occupied` and `channel_vacated`, of a
/// member `member_added` and `member_removed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Whether it is told when the first comes.
    pub arrival: bool,
    /// Whether it is told when the last has left.
    pub departure: bool,
}

/// Redis does not answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the census is away")]
pub struct Away;

/// Why a member is not known to be in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum JoinError {
    /// One more would be too many; nothing has changed.
    #[error("the channel has reached its limit of {limit} members")]
    Full {
        /// What the app allows.
        limit: u32,
    },
    /// The member is recorded here, and will be in when Redis is back.
    #[error(transparent)]
    Away(#[from] Away),
}

/// A member is in.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Of the channel's last notice so far: of the member's own arrival, if it was the first.
    pub version: u64,
    /// Whether it is the member's first connection on any node.
    pub was_first: bool,
    /// If it was asked for: the members as of that version, in the order of their ids.
    pub roster: Option<Vec<Member>>,
}

/// The members of a channel at one moment.
#[derive(Clone, Debug)]
pub struct Roster {
    /// Notices above this version are not in it yet; all others are.
    pub version: u64,
    /// In the order of their ids.
    pub members: Vec<Member>,
}

/// The occupied channels of an app.
#[derive(Clone, Debug, Default)]
pub struct Occupied {
    /// Those that Redis knows of.
    pub channels: Vec<(ChannelName, Occupancy)>,
    /// Shards in which it was not to be asked.
    pub away: Vec<Shard>,
}

impl RedisCensus {
    /// A census, and the work that it takes: to be run until it ends.
    pub fn start(lines: &Lines) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::start_with(lines, Timing::default())
    }

    /// A census that does things more or less often. All nodes must agree.
    pub fn start_with(lines: &Lines, timing: Timing) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (figures, mut clerks) = (Arc::<Figures>::default(), Vec::new());
        let lines = lines.each(|line| {
            let shared = Arc::new(Shared::new(line, timing, Arc::clone(&figures)));
            clerks.push(Clerk::new(Arc::clone(&shared)).run().instrument(line.span()));
            shared
        });
        let work = async {
            join_all(clerks).await;
        };
        (Self { lines, figures }, work)
    }

    /// A channel has its first subscriber on this node.
    ///
    /// # Errors
    /// [`Away`]; it is recorded all the same.
    pub fn enter(
        &self,
        topic: &Topic,
        wants: Wants,
    ) -> impl Future<Output = Result<(), Away>> + Send + use<> {
        let answer = self.lines.of_topic(topic).desk.arrive(|held| held.enter(topic, wants));
        async move { answer.outcome().await.map(drop) }
    }

    /// A channel has so many subscribers on this node. Other nodes see it within 25 ms, and only the last of many
    /// changes.
    pub fn count(&self, topic: &Topic, subscriptions: u32) {
        self.lines.of_topic(topic).desk.count(|held| held.count(topic, subscriptions));
    }

    /// Waits until other nodes see how many subscribers a channel has on this node by now. There is nothing to wait for if it
    /// has none.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn counted(&self, topic: &Topic) -> Result<(), Away> {
        match self.lines.of_topic(topic).desk.count_now(topic) {
            Some(answer) => answer.outcome().await.map(drop),
            None => Ok(()),
        }
    }

    /// A channel has lost its last subscriber on this node.
    pub fn leave(&self, topic: &Topic) {
        self.lines.of_topic(topic).desk.depart(|held| held.end(&Entry::Channel(topic.clone())));
    }

    /// A member has the first connection in a channel on this node. A limit is on the members of all nodes.
    ///
    /// # Errors
    /// [`JoinError::Full`] leaves nothing behind and needs no [`part`](Self::part). After [`JoinError::Away`] it is
    /// recorded, and enters without regard to the limit when Redis is back.
    pub fn join(
        &self,
        topic: &Topic,
        member: &Member,
        limit: u32,
        wants: Wants,
        roster: bool,
    ) -> impl Future<Output = Result<Joined, JoinError>> + Send + use<> {
        let answer =
            self.lines.of_topic(topic).desk.arrive(|held| held.join(topic, member, limit, wants, roster));
        async move {
            match answer.outcome().await? {
                Outcome::Joined(joined) => Ok(joined),
                Outcome::Refused => Err(JoinError::Full { limit }),
                Outcome::Done | Outcome::Lost => Err(JoinError::Away(Away)),
            }
        }
    }

    /// A member has lost the last connection in a channel on this node.
    pub fn part(&self, topic: &Topic, user_id: &str) {
        self.lines
            .of_topic(topic)
            .desk
            .depart(|held| held.end(&Entry::Member(topic.clone(), user_id.into())));
    }

    /// A user has the first signed-in connection on this node.
    ///
    /// # Errors
    /// [`Away`]; it is recorded all the same.
    pub fn sign_in(
        &self,
        app: &AppId,
        user_id: &str,
    ) -> impl Future<Output = Result<(), Away>> + Send + use<> {
        let answer = self.of_user(app, user_id).desk.arrive(|held| held.sign_in(app, user_id));
        async move { answer.outcome().await.map(drop) }
    }

    /// A user has lost the last signed-in connection on this node.
    pub fn sign_out(&self, app: &AppId, user_id: &str) {
        self.of_user(app, user_id).desk.depart(|held| held.end(&Entry::User(app.clone(), user_id.into())));
    }

    /// Counts a connection of an app in, unless the app has all that it may have on all nodes. Whoever gets `true` or
    /// [`Away`] counts it out again; if the answer is not waited for, nobody need.
    ///
    /// # Errors
    /// [`Away`]; it is counted all the same.
    pub fn connect(
        &self,
        app: &AppId,
        limit: Option<NonZeroU32>,
    ) -> impl Future<Output = Result<bool, Away>> + Send + use<> {
        let shared = self.lines.of(Shard::of_app(app));
        let answer = shared.desk.arrive(|held| held.connect(app, limit.map(NonZeroU32::get)));
        let counting = Counting::new(Arc::clone(shared), app.clone(), answer);
        async move { Ok(!matches!(counting.outcome().await?, Outcome::Refused)) }
    }

    /// Counts a connection of an app out.
    pub fn disconnect(&self, app: &AppId) {
        self.lines.of(Shard::of_app(app)).desk.depart(|held| held.disconnect(app));
    }

    /// The app wants other webhooks than before: of each channel, and of each member of one.
    pub fn want(
        &self,
        app: &AppId,
        of_channel: impl Fn(&ChannelName) -> Wants,
        of_members: impl Fn(&ChannelName) -> Wants,
    ) {
        let wants = |entry: &Entry| match entry {
            Entry::Channel(topic) => Some(of_channel(&topic.channel)),
            Entry::Member(topic, _) => Some(of_members(&topic.channel)),
            Entry::User(..) | Entry::Connections(_) => None,
        };
        for shared in self.lines.iter() {
            shared.desk.amend(|held| held.want(app, wants));
        }
    }

    /// The app has a bound for its connections now, of which so many are here, or, with `None`, no bound any more.
    pub fn bound(&self, app: &AppId, connections: Option<u32>) {
        let desk = &self.lines.of(Shard::of_app(app)).desk;
        match connections {
            Some(connections) => desk.amend(|held| held.adopt(app, connections).into_iter().collect()),
            None => desk.depart(|held| held.end(&Entry::Connections(app.clone()))),
        }
    }

    /// How this node stands in a shard, now and from now on.
    pub fn state(&self, shard: Shard) -> watch::Receiver<CensusState> {
        self.lines.of(shard).state.subscribe()
    }

    /// Whether what is in a topic's shard can be neither changed nor asked.
    pub fn is_away(&self, topic: &Topic) -> bool {
        matches!(*self.lines.of_topic(topic).state.borrow(), CensusState::Away)
    }

    /// The node goes away: gives up everything it has, with all that follows from it, so that nobody has to wait for
    /// its lease to be over. Nothing is taken in from now on. Waits no longer than the patience lasts; what is not
    /// done by then, other nodes do.
    pub async fn leave_all(&self, patience: Duration) {
        self.lines.iter().for_each(|shared| shared.desk.retire());
        let mut states: Vec<_> = self.lines.iter().map(|shared| shared.state.subscribe()).collect();
        let retired = states.iter_mut().map(|state| state.wait_for(|state| *state == CensusState::Retired));
        // Whether it took too long is all the same: the lease ends by itself.
        let _ = tokio::time::timeout(patience, join_all(retired)).await;
    }

    /// What is counted.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// How many entries this node has.
    pub fn held(&self) -> usize {
        self.lines.iter().map(|shared| shared.desk.held()).sum()
    }

    fn of_user(&self, app: &AppId, user_id: &str) -> &Shared {
        self.lines.of(Entry::User(app.clone(), user_id.into()).target().shard)
    }
}

impl Shared {
    fn new(line: &Line, timing: Timing, figures: Arc<Figures>) -> Self {
        let (desk, state, reads) = (Desk::default(), watch::Sender::new(CensusState::Away), Mutex::default());
        Self { line: line.clone(), timing, desk, state, reads, figures }
    }
}

impl Wants {
    /// As Redis keeps it.
    const fn bits(self) -> u8 {
        self.arrival as u8 | (self.departure as u8) << 1
    }
}
