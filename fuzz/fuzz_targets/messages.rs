//! Text from a client, read and taken as far as it goes without a connection.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use socket_node::protocol::{
    ChannelName, ClientMessage, Event,
    channel_name::is_legal_text,
    event,
    message::{ClientEvent, MessageError},
};

/// Characters of a channel's name that an app allows by default.
const MAX_NAME: usize = 200;

/// A name that is taken is legal, a client's own, and of one kind.
fn check_name(text: &str) {
    let Ok(name) = ChannelName::parse(text, MAX_NAME) else {
        return;
    };
    assert_eq!(name.as_str(), text);
    assert!(!text.is_empty() && text.len() <= MAX_NAME && is_legal_text(text));
    assert!(!name.is_internal() && name.user().is_none(), "a client has named a channel of the system");
    assert!(name.needs_auth() || !(name.is_presence() || name.is_encrypted()));
    assert!(!(name.is_presence() && name.is_encrypted()));
    assert_eq!(ChannelName::parse_publishable(text, MAX_NAME).as_ref(), Ok(&name));
}

/// The frame that receivers get is JSON with the sender's name, channel and data in it, whatever these are.
fn check_client_event(client_event: &ClientEvent<'_>) {
    let sent = client_event.data.get();
    let data = event::as_string(sent);
    assert!(data.starts_with('"') && data.ends_with('"'), "not a string: {data}");
    let Ok(channel) = ChannelName::parse(&client_event.channel, MAX_NAME) else {
        return;
    };
    let name = event::quote(&client_event.name);
    for user_id in [None, Some("an \"id\"")] {
        let frame = event::client_event(&channel, Event { name: &name, data: &data }, user_id);
        // A lone half of a surrogate pair is passed on as it came, and no Rust string can hold it.
        let Ok(read) = serde_json::from_slice::<Value>(payload(frame.bytes())) else {
            assert!(data.contains("\\u"), "the frame is no JSON: {:?}", frame.bytes());
            continue;
        };
        assert_eq!(read["event"], *client_event.name);
        assert_eq!(read["channel"], *client_event.channel);
        assert_eq!(read["user_id"].as_str(), user_id);
        let text = read["data"].as_str().expect("data is a string");
        let length = text.len();
        assert!(
            !event::is_longer_than(length, &data)
                && (length == 0 || event::is_longer_than(length - 1, &data))
        );
        assert!(sent.starts_with('"') || text == sent, "{sent} has become {text}");
    }
}

/// What follows the header of a server's frame.
fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header..]
}

fuzz_target!(|text: &str| {
    match ClientMessage::parse(text) {
        Ok(ClientMessage::Ping | ClientMessage::Pong | ClientMessage::SignIn(_)) => {}
        Ok(ClientMessage::Subscribe(subscribe)) => check_name(&subscribe.channel),
        Ok(ClientMessage::Unsubscribe(channel)) => check_name(&channel),
        Ok(ClientMessage::ClientEvent(client_event)) => {
            assert!(client_event.name.starts_with("client-"));
            check_name(&client_event.channel);
            check_client_event(&client_event);
        }
        Err(MessageError::UnsupportedEvent(name)) => assert!(name.len() <= 200 && text.len() >= name.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
