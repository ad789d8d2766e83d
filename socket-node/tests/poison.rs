//! A panic in the middle of what a client asked for, on one of several nodes. In a process of its own: the panic's hook and
//! the log are the process's.
//!
//! Nothing that comes from outside makes the server panic. So the log does: it is written to in the connection's own task,
//! and this one panics when a client leaves a channel.

#[expect(dead_code, reason = "this test does nothing to its Redis")]
#[path = "support/redis.rs"]
mod redis_server;

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use app_manager::app::App;
use redis_server::Redis;
use serde_json::{Value, json};
use socket_node::{
    config::{self, Config, Purpose, Startup},
    log,
    node::{Node, RunningNode},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tungstenite::{Message, WebSocket};

/// How long anything may take that is bound to happen.
const DEADLINE: Duration = Duration::from_secs(10);

const ROOM: &str = "presence-room";

/// A log that panics.
struct Poison;

impl Subscriber for Poison {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("socket_node::connection")
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Leaving);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// Finds out that a client leaves a channel.
struct Leaving;

impl Visit for Leaving {
    fn record_str(&mut self, field: &Field, value: &str) {
        assert!(field.name() != "request" || value != "unsubscribe", "the poison works");
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}
}

/// A connection that has waited for its first message.
struct Client {
    socket: WebSocket<TcpStream>,
    socket_id: String,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline above zero");
        let url = format!("ws://{address}/app/k?protocol=7");
        let (socket, _) = tungstenite::client(url, stream).expect("an upgrade");
        let mut client = Self { socket, socket_id: String::new() };
        let data = client.expect("pusher:connection_established");
        client.socket_id = data["socket_id"].as_str().expect("an id").into();
        client
    }

    fn send(&mut self, event: &str, data: &Value) {
        let text = json!({"event": event, "data": data}).to_string();
        self.socket.send(Message::text(text)).expect("the connection is open");
    }

    /// The data of the next event, which must be this one.
    fn expect(&mut self, event: &str) -> Value {
        let message = self.socket.read().unwrap_or_else(|error| panic!("instead of {event}: {error}"));
        let whole: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        assert_eq!(whole["event"], event, "{whole}");
        let data = whole["data"].as_str().unwrap_or("null");
        serde_json::from_str(data).expect("JSON")
    }

    /// Joins the room, and says who is there.
    fn join(&mut self, app: &App, user: &str) -> Value {
        let channel_data = json!({"user_id": user}).to_string();
        // Webhooks are signed in the same way.
        let signature = app.sign_webhook(format!("{}:{ROOM}:{channel_data}", self.socket_id).as_bytes());
        let data = json!({"channel": ROOM, "auth": format!("k:{signature}"), "channel_data": channel_data});
        self.send("pusher:subscribe", &data);
        self.expect("pusher_internal:subscription_succeeded")["presence"]["ids"].clone()
    }

    /// Nothing is on its way to it, and it is heard.
    fn expect_quiet(&mut self) {
        self.send("pusher:ping", &json!({}));
        self.expect("pusher:pong");
    }
}

fn config(redis: &Redis) -> Config {
    let flags = format!(
        "socket-rush --app-id 1 --app-key k --app-secret s --bind-address 127.0.0.1 --port 0 \
         --adapter-driver redis --redis-url 127.0.0.1:{}",
        redis.port()
    );
    match config::load(flags.split_whitespace(), [("", ""); 0], Purpose::Serving).expect("good settings") {
        Startup::Run(config) => *config,
        Startup::Print(text) => panic!("instead of settings: {text}"),
    }
}

async fn start(redis: &Redis) -> (SocketAddr, RunningNode) {
    let node = Node::build(config(redis)).expect("free ports");
    node.join().await.expect("its queue is there");
    (node.address().expect("it listens"), node.start())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_connection_costs_its_own_place_on_all_nodes_and_nobody_elses() {
    log::report_panics();
    tracing::subscriber::set_global_default(Poison).expect("nobody else logs in this process");
    let redis = Redis::start();
    let app = config(&redis).apps.remove(0);
    let nodes = [start(&redis).await, start(&redis).await, start(&redis).await];
    let on = |node: usize| Client::connect(nodes[node].0);
    let mut members = vec![("ann", on(0)), ("bob", on(1)), ("cyd", on(2))];
    for next in 0..members.len() {
        let (before, rest) = members.split_at_mut(next);
        rest[0].1.join(&app, rest[0].0);
        for (_, member) in before {
            member.expect("pusher_internal:member_added");
        }
    }
    let mut doomed = on(0);
    assert_eq!(doomed.join(&app, "eve"), json!(["ann", "bob", "cyd", "eve"]));
    for (_, member) in &mut members {
        member.expect("pusher_internal:member_added");
    }

    doomed.send("pusher:unsubscribe", &json!({"channel": ROOM}));
    assert!(doomed.socket.read().is_err(), "its connection has ended");
    for (_, member) in &mut members {
        assert_eq!(member.expect("pusher_internal:member_removed"), json!({"user_id": "eve"}));
        member.expect_quiet();
    }
    assert_eq!(log::panics(), 1);

    // Nothing that the connection shared with others is broken.
    let mut back = on(0);
    assert_eq!(back.join(&app, "eve"), json!(["ann", "bob", "cyd", "eve"]));
    for (_, member) in &mut members {
        member.expect("pusher_internal:member_added");
        member.expect_quiet();
    }
    assert_eq!(log::panics(), 1);
}
