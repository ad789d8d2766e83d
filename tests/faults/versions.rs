//! Nodes of another version on the same Redis, as far as they can be heard: what they say on the topics.

use std::time::Duration;

use redis::Cmd;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::{cluster::Cluster, node::METRICS};

/// A node that is none of ours.
const STRANGER: u64 = 0x5374_7261_6e67_6572;

/// Time for what was published to be heard.
const MOMENT: Duration = Duration::from_secs(10);

/// What the head of a message says, in the order in which it does.
#[derive(Clone, Copy)]
struct Head {
    version: u8,
    kind: u8,
    flags: u8,
    reserved: u8,
    sequence: u64,
}

const EVENT: Head = Head { version: 1, kind: 0, flags: 0, reserved: 0, sequence: 1 };

const COMMAND: Head = Head { kind: 5, ..EVENT };

impl Head {
    fn bytes(self) -> Vec<u8> {
        let Self { version, kind, flags, reserved, sequence } = self;
        let node = STRANGER.to_be_bytes();
        [&[version, kind, flags, reserved][..], &node, &1_u32.to_be_bytes(), &sequence.to_be_bytes()].concat()
    }

    /// An event in a frame as sockets get it.
    fn with_event(self, text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 126, "the length of a longer one is written in another way");
        let place = [&self.sequence.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
        [&self.bytes()[..], &place, &[0x81, length], text.as_bytes()].concat()
    }

    fn with_command(self, command: &str) -> Vec<u8> {
        [&self.bytes(), command.as_bytes()].concat()
    }
}

fn publish(cluster: &Cluster, topic: &str, message: &[u8]) {
    let heard: u32 = cluster.redis.query(Cmd::new().arg("PUBLISH").arg(topic).arg(message));
    assert_eq!(heard, 2, "both nodes listen to {topic}");
}

/// Everything that another version might say on a channel's topic and this one does not understand.
fn unknown_on_a_channel() -> Vec<Vec<u8>> {
    let event = r#"{"event":"e","channel":"presence-room","data":"x"}"#;
    let heads = [
        Head { version: 0, ..EVENT },
        Head { version: 2, ..EVENT },
        Head { version: 255, ..EVENT },
        Head { flags: 2, ..EVENT },
        Head { flags: 0x81, ..EVENT },
        Head { kind: 6, ..EVENT },
        Head { kind: 255, ..EVENT },
    ];
    let mut messages: Vec<_> = heads.into_iter().map(|head| head.with_event(event)).collect();
    messages.extend([
        // Too short for what they say they are, or nothing at all.
        Vec::new(),
        vec![1],
        EVENT.bytes(),
        // A notice that somebody came whose name is longer than the message, and one whose version is another.
        b"\x01\x01\0\0\0\0\0\0\0\x01\0\x09me".to_vec(),
        b"\x02\x01\0\0\0\0\0\0\0\x01\0\x02me{}".to_vec(),
        // A command where no command belongs.
        COMMAND.with_command(r#"{"command":"terminate_user","app":"1","user":"ann"}"#),
        b"{\"json\": \"of an entirely different version\"}".to_vec(),
    ]);
    messages
}

/// The same for the topic that all nodes hear.
fn unknown_to_all() -> Vec<Vec<u8>> {
    vec![
        COMMAND.with_command(r#"{"command":"dance"}"#),
        COMMAND.with_command(r#"{"command":"terminate_user"}"#),
        COMMAND.with_command(r#"{"command":"app_changed"}"#),
        COMMAND.with_command("no JSON"),
        Head { version: 2, ..COMMAND }.with_command(r#"{"command":"terminate_user","app":"1","user":"ann"}"#),
        Head { kind: 200, ..COMMAND }.with_command("{}"),
        EVENT.with_event(r#"{"event":"e","channel":"room","data":"x"}"#),
        b"\x01\x02\0\0\0\0\0\0\0\x01\0\x02me".to_vec(),
    ]
}

/// Waits until both nodes have counted as many.
async fn expect_unknown(cluster: &Cluster, count: u64) {
    for node in cluster.nodes() {
        let counting = async {
            while node.metric("bus_messages_unknown_total").await < count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(MOMENT, counting).await.expect("it is counted");
        assert_eq!(node.metric("bus_messages_unknown_total").await, count);
    }
}

#[tokio::test]
async fn what_other_versions_say_is_ignored_and_counted_and_what_is_known_of_it_is_heard() {
    let cluster = Cluster::start(2, &METRICS);
    let (mut here, mut there) = (cluster.node(0).connect().await, cluster.node(1).connect().await);
    here.sign_in(json!({"id": "ann"})).await;
    here.subscribe_presence("presence-room", "ann", json!({})).await;
    there.subscribe_presence("presence-room", "bob", json!({})).await;
    here.expect("pusher_internal:member_added").await;
    let topics: Vec<String> = cluster.redis.ask(&["PUBSUB", "CHANNELS", "*:1:presence-room"]);
    let [topic] = topics.as_slice() else { panic!("one topic, not {topics:?}") };
    let control = format!("{}:control", cluster.prefix);

    for message in unknown_on_a_channel() {
        publish(&cluster, topic, &message);
    }
    for message in unknown_to_all() {
        publish(&cluster, &control, &message);
    }
    expect_unknown(&cluster, (unknown_on_a_channel().len() + unknown_to_all().len()) as u64).await;

    // Both ways all goes on, and nobody has noticed.
    cluster.node(0).api().publish("presence-room", "there", "x").await;
    cluster.node(1).api().publish("presence-room", "back", "x").await;
    for client in [&mut here, &mut there] {
        let mut heard = [client.frame().await.event, client.frame().await.event];
        heard.sort();
        assert_eq!(heard, ["back", "there"]);
        client.expect_quiet().await;
    }

    // A newer node has a use for what is reserved, and more to say in a command.
    let newer = Head { reserved: 7, sequence: 2, ..EVENT };
    publish(&cluster, topic, &newer.with_event(r#"{"event":"new","channel":"presence-room","data":"x"}"#));
    for client in [&mut here, &mut there] {
        client.expect_text(r#"{"event":"new","channel":"presence-room","data":"x"}"#).await;
    }
    let command = r#"{"command":"terminate_user","app":"1","user":"ann","because":"of a later version"}"#;
    publish(&cluster, &control, &Head { sequence: 3, ..COMMAND }.with_command(command));
    here.expect_end(4009).await;
    drop(here);
    there.expect("pusher_internal:member_removed").await;
    there.expect_quiet().await;
}
