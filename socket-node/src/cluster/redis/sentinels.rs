//! Finding the primary of a Redis whose servers are watched by sentinels.
//!
//! It is asked for whenever a connection is opened, and nothing is remembered but the sentinel that answered: after a
//! failover, everybody who has lost a connection finds the new primary.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisResult,
};
use tokio::time::timeout;

use super::link::{self, address, expect_primary};
use crate::config::{RedisConfig, SentinelConfig};

/// Time for a sentinel to take a connection and to answer: the next one may be there.
const ANSWER: Duration = Duration::from_millis(700);

/// The sentinels of one primary. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sentinels {
    /// The primary's name among them.
    name: Arc<str>,
    /// The one that answered last comes first.
    addresses: Arc<Mutex<Vec<ConnectionInfo>>>,
    /// How Redis is reached, wherever it is.
    server: Arc<ConnectionInfo>,
}

impl Sentinels {
    /// Sentinels that have not been asked yet. What stands in their URLs beside their addresses is for the servers that
    /// they watch.
    pub(super) fn new(config: &RedisConfig, sentinel: &SentinelConfig) -> anyhow::Result<Self> {
        let addresses = config.urls.iter().map(|url| {
            let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2);
            if let Some(username) = &sentinel.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &sentinel.password {
                settings = settings.set_password(password.reveal());
            }
            Ok(address(url)?.set_redis_settings(settings))
        });
        let addresses: Vec<_> = addresses.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            name: sentinel.master.as_str().into(),
            addresses: Arc::new(Mutex::new(addresses)),
            server: Arc::new(address(&config.urls[0])?),
        })
    }

    /// The way to the server that is the primary now, and says so itself.
    ///
    /// # Errors
    /// If no sentinel names one.
    pub(super) async fn primary(&self) -> RedisResult<Client> {
        let addresses = self.addresses.lock().clone();
        let (mut tried, mut failure) = (Vec::new(), None);
        for sentinel in addresses {
            let named = match self.ask(&sentinel).await {
                Ok(named) => named,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            // Others who name the same server cannot make it better.
            if tried.contains(&named) {
                continue;
            }
            match self.verify(named.clone()).await {
                Ok(client) => {
                    self.prefer(&sentinel);
                    return Ok(client);
                }
                // It says more than that another sentinel is silent.
                Err(error) => failure = Some(error),
            }
            tried.push(named);
        }
        Err(failure.expect("there is a sentinel, and it has failed"))
    }

    /// Where a sentinel thinks that the primary is.
    async fn ask(&self, sentinel: &ConnectionInfo) -> RedisResult<(String, u16)> {
        let ask = async {
            let mut connection = link::connect(&Client::open(sentinel.clone())?).await?;
            let mut question = redis::cmd("SENTINEL");
            question.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.name);
            let named: Option<(String, u16)> = question.query_async(&mut connection).await?;
            named.ok_or_else(|| {
                let what = format!("the sentinel at {} knows no primary of this name", sentinel.addr());
                let kind = ErrorKind::MasterNameNotFoundBySentinel;
                (kind, "redis_sentinel_master", format!("'{}': {what}", self.name)).into()
            })
        };
        let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("{} is silent", sentinel.addr()));
        timeout(ANSWER, ask).await.unwrap_or_else(|_| Err(silent().into()))
    }

    /// The way to a server, if it is a primary.
    async fn verify(&self, (host, port): (String, u16)) -> RedisResult<Client> {
        let place = match self.server.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                let (insecure, tls_params) = (*insecure, tls_params.clone());
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let client = Client::open(ConnectionInfo::clone(&self.server).set_addr(place))?;
        expect_primary(&mut link::connect(&client).await?).await?;
        Ok(client)
    }

    /// Has a sentinel asked first from now on.
    fn prefer(&self, sentinel: &ConnectionInfo) {
        let mut addresses = self.addresses.lock();
        if let Some(at) = addresses.iter().position(|address| address.addr() == sentinel.addr()) {
            addresses[..=at].rotate_right(1);
        }
    }
}
