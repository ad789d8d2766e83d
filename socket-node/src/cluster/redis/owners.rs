//! Which server of a Redis cluster has a slot.
//!
//! Any server knows, so any may be asked; one that was cut off from the others may not have heard yet that a slot has
//! another owner. So each question goes to the next of all servers that there are, and whoever is told wrong, and finds
//! out because the wrong server refuses, is soon told right. Everybody who asks at the same time gets the same answer:
//! when a server dies, all that have been connected to it ask at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value, from_redis_value,
};
use tokio::time::{Instant, sleep};

use super::link;

/// For so long, an answer is good for others who ask.
const FRESH: Duration = Duration::from_millis(100);

/// Time for a server to take a connection and to answer on it. After that the next one is asked as well.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the answer of one server is good for.
type Answer = RedisResult<Arc<Map>>;

/// The servers of a cluster, as far as they are known. Cheap to clone.
#[derive(Clone)]
pub(super) struct Owners {
    shared: Arc<Common>,
}

struct Common {
    /// Those of the settings. They are asked for ever, since their names may come to mean other servers.
    seeds: Vec<ConnectionInfo>,
    /// How many questions there have been.
    turn: AtomicUsize,
    last: Mutex<Last>,
}

/// The last question.
#[derive(Default)]
struct Last {
    /// It may still be under way.
    answer: Option<(Instant, Shared<BoxFuture<'static, Answer>>)>,
    /// All servers that the last good answer named.
    servers: Arc<[ConnectionAddr]>,
}

/// Which server has which slots.
#[derive(Debug, Default, PartialEq)]
struct Map {
    /// First and last slot, and where they are.
    owners: Vec<(u16, u16, ConnectionAddr)>,
    /// Owners, and those who would take their place.
    servers: Vec<ConnectionAddr>,
}

impl Owners {
    /// A cluster in which these servers are, if they are still there. All others have the user, the password and the
    /// use of TLS that the first of these has.
    pub(super) fn new(seeds: Vec<ConnectionInfo>) -> Self {
        let (turn, last) = (AtomicUsize::default(), Mutex::default());
        Self { shared: Arc::new(Common { seeds, turn, last }) }
    }

    /// A client of the server that has a slot now.
    ///
    /// # Errors
    /// If no server answers, or none has the slot.
    pub(super) async fn of_slot(&self, slot: u16) -> RedisResult<Client> {
        let map = self.map().await?;
        let owner = map.owner(slot).ok_or((ErrorKind::Io, "no server of the cluster has the slot"))?;
        Client::open(self.shared.info(owner))
    }

    async fn map(&self) -> Answer {
        let answer = {
            let Last { answer, .. } = &mut *self.shared.last.lock();
            match answer {
                Some((asked_at, answer)) if answer.peek().is_none() || asked_at.elapsed() < FRESH => {
                    answer.clone()
                }
                _ => {
                    let question = Arc::clone(&self.shared).ask().boxed().shared();
                    answer.insert((Instant::now(), question)).1.clone()
                }
            }
        };
        answer.await
    }
}

impl Common {
    /// Asks one server, and the next ones as long as none has answered.
    async fn ask(self: Arc<Self>) -> Answer {
        let turn = self.turn.fetch_add(1, Relaxed);
        let mut servers = self.servers();
        let first = turn % servers.len();
        servers.rotate_left(first);
        let mut servers = servers.into_iter();
        let mut asking = FuturesUnordered::new();
        let mut failure = RedisError::from((ErrorKind::Io, "no server of the cluster is known"));
        loop {
            asking.extend(servers.next().map(slots));
            tokio::select! {
                Some(answer) = asking.next() => match answer {
                    Ok(map) => {
                        self.last.lock().servers = map.servers.clone().into();
                        return Ok(Arc::new(map));
                    }
                    Err(error) => failure = error,
                },
                () = sleep(PATIENCE), if servers.len() > 0 => {}
                else => return Err(failure),
            }
        }
    }

    /// All that may be asked: never none.
    fn servers(&self) -> Vec<ConnectionInfo> {
        let known = Arc::clone(&self.last.lock().servers);
        let new = known.iter().filter(|address| self.seeds.iter().all(|seed| seed.addr() != *address));
        self.seeds.iter().cloned().chain(new.map(|address| self.info(address))).collect()
    }

    /// How a server is reached that is in no settings.
    fn info(&self, address: &ConnectionAddr) -> ConnectionInfo {
        self.seeds[0].clone().set_addr(address.clone())
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<&ConnectionAddr> {
        let mut owners = self.owners.iter();
        owners.find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, owner)| owner)
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

/// What a server knows of slots. One that knows of none has left the cluster, or has not come to it yet, and is not to be
/// believed.
async fn slots(server: ConnectionInfo) -> RedisResult<Map> {
    let address = server.addr().clone();
    let mut connection = link::connect(&Client::open(server)?).await?;
    let answer: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let map = read(&answer, &address)?;
    if map.owners.is_empty() { Err((ErrorKind::Io, "a server knows of no slots").into()) } else { Ok(map) }
}

/// Reads what `CLUSTER SLOTS` answers: for each range its first and last slot, and its servers, the owner before the
/// others. Where a server does not say its host, it is the one that was asked; whoever cannot be reached by a name that
/// is not known (`?`) is left out.
fn read(answer: &Value, asked: &ConnectionAddr) -> RedisResult<Map> {
    let mut map = Map::default();
    for range in from_redis_value::<Vec<Vec<Value>>>(answer.clone())? {
        let mut range = range.into_iter();
        let (Some(first), Some(last)) = (range.next(), range.next()) else { continue };
        let (first, last) = (from_redis_value(first)?, from_redis_value(last)?);
        for (index, server) in range.enumerate() {
            let mut server = from_redis_value::<Vec<Value>>(server)?.into_iter();
            let (Some(host), Some(port)) = (server.next(), server.next()) else { continue };
            let (host, port): (Option<String>, u16) = (from_redis_value(host)?, from_redis_value(port)?);
            let Some(address) = at(asked, host.as_deref().unwrap_or_default(), port) else { continue };
            if index == 0 {
                map.owners.push((first, last, address.clone()));
            }
            if !map.servers.contains(&address) {
                map.servers.push(address);
            }
        }
    }
    Ok(map)
}

/// A server that is reached as the one that was asked, but elsewhere.
fn at(asked: &ConnectionAddr, host: &str, port: u16) -> Option<ConnectionAddr> {
    let place = |own: &str| match host {
        "" => Some(own.to_owned()),
        "?" => None,
        host => Some(host.to_owned()),
    };
    match asked {
        ConnectionAddr::Tcp(own, _) => Some(ConnectionAddr::Tcp(place(own)?, port)),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => Some(ConnectionAddr::TcpTls {
            host: place(own)?,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn server(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("an id"), Value::Array(Vec::new())])
    }

    fn tcp(host: &str, port: u16) -> ConnectionAddr {
        ConnectionAddr::Tcp(host.to_owned(), port)
    }

    #[test]
    fn the_owner_of_a_slot_is_the_first_server_of_its_range() {
        let answer = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(99), server(text("a"), 1), server(text("b"), 2)]),
            Value::Array(vec![Value::Int(200), Value::Int(200), server(text("b"), 3)]),
        ]);
        let map = read(&answer, &tcp("asked", 9)).unwrap();
        assert_eq!(map.owner(0), Some(&tcp("a", 1)));
        assert_eq!(map.owner(99), Some(&tcp("a", 1)));
        assert_eq!((map.owner(100), map.owner(200)), (None, Some(&tcp("b", 3))));
        assert_eq!(map.servers, [tcp("a", 1), tcp("b", 2), tcp("b", 3)]);
    }

    #[test]
    fn a_server_without_a_host_is_where_the_question_went_and_one_of_unknown_name_is_nowhere() {
        let range = |host| Value::Array(vec![Value::Int(0), Value::Int(1), server(host, 7)]);
        for host in [Value::Nil, text("")] {
            let map = read(&Value::Array(vec![range(host)]), &tcp("asked", 9)).unwrap();
            assert_eq!(map.owner(1), Some(&tcp("asked", 7)));
        }
        assert_eq!(read(&Value::Array(vec![range(text("?"))]), &tcp("asked", 9)).unwrap(), Map::default());
        let tls = |host: &str, port| ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: false,
            tls_params: None,
        };
        let map = read(&Value::Array(vec![range(text("a"))]), &tls("asked", 9)).unwrap();
        assert_eq!(map.owner(0), Some(&tls("a", 7)));
    }

    #[test]
    fn what_is_no_map_of_slots_is_an_error() {
        for answer in [Value::Int(1), Value::Array(vec![Value::Int(1)])] {
            assert!(read(&answer, &tcp("asked", 9)).is_err(), "{answer:?}");
        }
    }
}
