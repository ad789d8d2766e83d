//! All connections of this node.

use std::{collections::HashMap, sync::Arc};

use app_manager::apps::LiveApp;
use parking_lot::Mutex;

use crate::{hub::Socket, protocol::SocketId};

/// Parts of the registry, each with a lock of its own.
const SHARDS: u64 = 16;

type Shard = Mutex<HashMap<u64, Entry>>;

/// A socket, and whose it is unless it was turned away.
#[derive(Debug)]
struct Entry {
    socket: Arc<Socket>,
    app: Option<LiveApp>,
}

/// Every socket from its handshake to its end, by its serial number.
#[derive(Debug)]
pub(super) struct Registry {
    shards: Box<[Shard]>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Registry {
    pub(super) fn insert(&self, socket: &Arc<Socket>, app: Option<LiveApp>) {
        let entry = Entry { socket: Arc::clone(socket), app };
        self.shard(socket.id()).lock().insert(socket.id().serial(), entry);
    }

    pub(super) fn remove(&self, id: SocketId) {
        self.shard(id).lock().remove(&id.serial());
    }

    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The sockets of this moment, a shard at a time, so that nobody who comes or goes has to wait for all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Socket>> {
        self.collect(|entry| Some(Arc::clone(&entry.socket)))
    }

    /// The same of those that belong to an app for which `judge` gives something, with that.
    pub(super) fn judged<T>(
        &self,
        judge: impl Fn(&LiveApp) -> Option<T>,
    ) -> impl Iterator<Item = (Arc<Socket>, T)> {
        self.collect(move |entry| Some((Arc::clone(&entry.socket), judge(entry.app.as_ref()?)?)))
    }

    fn collect<T>(&self, read: impl Fn(&Entry) -> Option<T>) -> impl Iterator<Item = T> {
        self.shards.iter().flat_map(move |shard| {
            let read: Vec<_> = shard.lock().values().filter_map(&read).collect();
            read
        })
    }

    fn shard(&self, id: SocketId) -> &Shard {
        let shard = usize::try_from(id.serial() % SHARDS).expect("it is below SHARDS");
        &self.shards[shard]
    }
}
