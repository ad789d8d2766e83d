//! Nodes whose apps are in a table of DynamoDB: what they ask it for, and what becomes of their clients when it is away or
//! its apps change.

mod changes;
mod crowds;
mod journal;
mod outages;

use std::time::Duration;

use crate::support::{
    api::{Api, Response},
    aws::Aws,
    aws_faults::Faults,
    cluster::Cluster,
    node::{Ending, Launch, METRICS, Node},
    signing::Credentials,
};

/// Time for a node to notice what nobody has told it.
const TTL: Duration = Duration::from_secs(2);

/// The longest that anything may take here that is bound to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// Nodes that share a Redis, and the table of their apps, behind a port on which requests to it may get lost.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) faults: Faults,
    aws: Aws,
}

impl World {
    /// So many nodes that hear each other, and the app of [`Credentials::default`] in the table. Needs a second thread for
    /// what stands before the table.
    pub(crate) async fn start(nodes: usize, flags: &[&str]) -> Self {
        let aws = Aws::start().await;
        let faults = Faults::before(aws.address, "DynamoDB_20120810.").await;
        let address = faults.address;
        let launch = || on_table(address).flags(METRICS).flags(flags.iter().copied());
        done(&aws, None, "--create-table").await;
        let Credentials { id, key, secret } = Credentials::default();
        let app = format!(
            "create --app-id {id} --app-key {key} --app-secret {secret} --app-enable-client-messages=true"
        );
        done(&aws, None, &app).await;
        let cluster = tokio::task::block_in_place(|| Cluster::of(nodes, launch));
        Self { cluster, faults, aws }
    }

    /// Has the command line do this, and nodes hear of it.
    pub(crate) async fn tell(&self, words: &str) -> String {
        done(&self.aws, Some(&self.cluster), words).await
    }

    /// The same, and nobody hears of it.
    pub(crate) async fn change(&self, words: &str) -> String {
        done(&self.aws, None, words).await
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.cluster.node(index)
    }
}

/// Whatever finds its apps in the table at this address.
fn on_table(address: std::net::SocketAddr) -> Launch {
    Launch::bare().on_aws(address).flags(["--app-manager", "dynamodb"])
}

/// What `socket-rush apps` answers to these words.
async fn done(aws: &Aws, cluster: Option<&Cluster>, words: &str) -> String {
    let words = words.split(' ').map(str::to_owned);
    let launch = Launch::unset().on_aws(aws.address).flags(["apps"]).flags(words);
    let launch = launch.flags(["--app-manager", "dynamodb"]);
    let launch = match cluster {
        Some(cluster) => launch.on_redis(cluster.redis.address, &cluster.prefix),
        None => launch,
    };
    let Ending { code, stdout, stderr } =
        tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    stdout
}

/// What the API of a node answers to somebody with this secret.
async fn answer(node: &Node, secret: &str) -> Response {
    let Credentials { id, key, .. } = Credentials::default();
    Api::of(node, &Credentials::new(&id, &key, secret)).get("/channels").await
}

/// The path on which a client connects with this key.
pub(crate) fn path(key: &str) -> String {
    format!("/app/{key}?{}", crate::support::client::QUERY)
}
