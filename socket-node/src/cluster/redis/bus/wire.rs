//! The connection on which this node hears, for those who have a question whose answer is to be in order with it.

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;

/// There while this node hears everything that it wants to. Redis answers on it and passes messages on in one order: who
/// has an answer has given to this node all that was published before the question.
#[derive(Debug, Default)]
pub(super) struct Wire(Mutex<Option<(u64, MultiplexedConnection)>>);

impl Wire {
    /// From now on it can be asked on this connection, the one with this number.
    pub(super) fn open(&self, generation: u64, connection: &MultiplexedConnection) {
        *self.0.lock() = Some((generation, connection.clone()));
    }

    /// The connection is lost.
    pub(super) fn close(&self) {
        *self.0.lock() = None;
    }

    /// The connection and its number.
    pub(super) fn get(&self) -> Option<(u64, MultiplexedConnection)> {
        self.0.lock().clone()
    }
}
