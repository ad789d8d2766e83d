//! While all is well.

use std::time::Duration;

use socket_node::{
    cluster::redis::{
        bus::{Command, NoticeKind, announce_app_changes},
        keys::Keys,
    },
    protocol::{SocketId, event},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    node::{DEADLINE, Memory, Node, PREFIX, numbered, stranger, topic},
    redis_server::{self, Redis},
};

/// How many nodes listen to a channel.
async fn listeners(redis: &mut redis::aio::MultiplexedConnection, channel: &str) -> usize {
    let name = Keys::new(PREFIX).topic(&topic(channel));
    let mut command = redis::cmd("PUBSUB");
    let (_, count): (String, usize) =
        command.arg("NUMSUB").arg(name).query_async(redis).await.expect("Redis answers");
    count
}

async fn publish(redis: &mut redis::aio::MultiplexedConnection, name: &str, message: &[u8]) {
    redis::cmd("PUBLISH").arg(name).arg(message).exec_async(redis).await.expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_events_of_many_channels_arrive_in_order_and_once() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let channels: Vec<_> = (0..20).map(|number| format!("room-{number}")).collect();
    for channel in &channels {
        to.listen(channel).await;
    }
    for number in 0..20_000 {
        let channel = &channels[number as usize % channels.len()];
        let is_accepted = async {
            while from.publish(channel, number).is_err() {
                sleep(Duration::from_millis(1)).await
            }
        };
        timeout(DEADLINE, is_accepted).await.expect("room in the outbox");
    }
    to.hears(20_000).await;
    assert_eq!(to.numbers(), (0..20_000).collect::<Vec<_>>());
    let figures = to.bus.figures();
    assert_eq!((figures.unknown, figures.repeats, figures.topics), (0, 0, 20));
    assert_eq!(from.bus.flush(DEADLINE).await, 0);
    let figures = from.bus.figures();
    assert_eq!((figures.outbox_messages, figures.outbox_bytes, figures.unconfirmed), (0, 0, 0));
    assert!(figures.lag.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_hear_itself() {
    let redis = Redis::start();
    let (one, other) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    one.listen("room").await;
    other.listen("room").await;
    one.publish("room", 1).unwrap();
    other.hears(1).await;
    other.publish("room", 2).unwrap();
    one.hears(1).await;
    assert_eq!((one.numbers(), other.numbers()), (vec![2], vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_that_is_not_to_get_an_event_is_told_with_it() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    to.listen("room").await;
    let except = Some(SocketId::new(from.id, 7));
    from.bus.publish(&topic("room"), &numbered("room", 1), except).unwrap();
    to.hears(1).await;
    assert_eq!(to.memory(), [Memory::Event("room".into(), except, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_after_the_confirmation_is_heard() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    for number in 0..500 {
        let channel = format!("room-{number}");
        to.listen(&channel).await;
        from.publish(&channel, number).unwrap();
    }
    to.hears(500).await;
    assert_eq!(to.numbers(), (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_topics_are_listened_to_at_once() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let listening: Vec<_> = (0..2_000).map(|n| to.bus.listen(&topic(&format!("room-{n}")))).collect();
    for confirmed in listening {
        confirmed.await.unwrap();
    }
    from.publish("room-0", 0).unwrap();
    from.publish("room-1999", 1).unwrap();
    to.hears(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_let_go_only_after_a_second() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let mut stranger = stranger(redis.port()).await;
    to.listen("room").await;
    to.listen("kept").await;
    let begin = Instant::now();
    to.bus.unlisten(&topic("room"));
    to.bus.unlisten(&topic("kept"));
    from.publish("room", 1).unwrap();
    to.hears(1).await;
    to.listen("kept").await;
    let gone = async {
        while listeners(&mut stranger, "room").await > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("it is let go");
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(listeners(&mut stranger, "kept").await, 1);
    to.listen("room").await;
    from.publish("room", 2).unwrap();
    to.hears(2).await;
    assert_eq!(to.numbers(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_notices_are_heard() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let mut stranger = stranger(redis.port()).await;
    to.listen("presence-room").await;
    let name = Keys::new(PREFIX).topic(&topic("presence-room"));
    publish(&mut stranger, &name, b"\x01\x02\0\0\0\0\0\0\0\x09\0\x02me").await;
    to.hears(1).await;
    let command = Command::TerminateUser { app: "1".into(), user: "you".into() };
    from.bus.command(&command).unwrap();
    to.hears(2).await;
    let notice = Memory::Notice("presence-room".into(), NoticeKind::Left, 9, "me".into());
    assert_eq!(to.memory(), [notice, Memory::Command(command)]);
    assert!(from.memory().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_node_tells_all_of_them_of_changed_apps() {
    let redis = Redis::start();
    let (one, other) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let settings = redis_server::settings(redis.port());
    assert_eq!(announce_app_changes(&settings, &[""; 0]).await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(announce_app_changes(&settings, &["1", "2", "1"]).await.unwrap(), 2);
    }
    for node in [&one, &other] {
        node.hears(6).await;
        let changed = |app: &str| Memory::Command(Command::AppChanged { app: app.to_owned() });
        let expected = ["1", "2", "1", "1", "2", "1"].map(changed);
        assert_eq!(node.memory(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_ignored_and_counted() {
    let redis = Redis::start();
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let mut stranger = stranger(redis.port()).await;
    to.listen("room").await;
    // What follows the kind in the head of an event; that of a command is shorter.
    let (keys, head) = (Keys::new(PREFIX), [0; 34]);
    let frame = event::pong();
    let later_version = [&[2, 0][..], &head, frame.bytes()].concat();
    let later_kind = [&[1, 99][..], &head, frame.bytes()].concat();
    let no_frame = [&[1, 0][..], &head, b"hello"].concat();
    let command_elsewhere =
        [&[1, 5][..], &head[..22], br#"{"command":"terminate_user","app":"1","user":"u"}"#].concat();
    let on_topic: [&[u8]; 7] =
        [b"", b"\x01", b"\xFF\x00\xFE", &later_version, &later_kind, &no_frame, &command_elsewhere];
    for message in on_topic {
        publish(&mut stranger, &keys.topic(&topic("room")), message).await;
    }
    let later_command = [&[1, 5][..], &head[..22], br#"{"command":"dance"}"#].concat();
    let event_elsewhere = [&[1, 0][..], &head, frame.bytes()].concat();
    let on_control: [&[u8]; 3] = [b"\x00\x9F\x92\x96\xFF", &later_command, &event_elsewhere];
    for message in on_control {
        publish(&mut stranger, &keys.control(), message).await;
    }
    from.publish("room", 1).unwrap();
    to.hears(1).await;
    assert_eq!(to.numbers(), [1]);
    assert_eq!(to.bus.figures().unknown, 10);
}
