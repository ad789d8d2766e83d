//! All connections of this node.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{hub::Socket, protocol::SocketId};

/// Parts of the registry, each with a lock of its own.
const SHARDS: u64 = 16;

type Shard = Mutex<HashMap<u64, Arc<Socket>>>;

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
    pub(super) fn insert(&self, socket: &Arc<Socket>) {
        self.shard(socket.id()).lock().insert(socket.id().serial(), Arc::clone(socket));
    }

    pub(super) fn remove(&self, id: SocketId) {
        self.shard(id).lock().remove(&id.serial());
    }

    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The sockets of this moment, a shard at a time, so that nobody who comes or goes has to wait for all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Socket>> {
        self.shards.iter().flat_map(|shard| {
            let sockets: Vec<_> = shard.lock().values().cloned().collect();
            sockets
        })
    }

    fn shard(&self, id: SocketId) -> &Shard {
        let shard = usize::try_from(id.serial() % SHARDS).expect("it is below SHARDS");
        &self.shards[shard]
    }
}
