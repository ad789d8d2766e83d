//! A Pusher client that says what it sees: it skips no frame and repairs nothing, as an SDK would.

mod frame;

use std::{fmt::Debug, net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

pub(crate) use frame::{Frame, Refusal};

use super::signing::Credentials;

/// How long any one frame may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The query that pusher-js 8.6.0 sends, to the byte.
pub(crate) const QUERY: &str = "protocol=7&client=js&version=8.6.0&flash=false";

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// What the server calls this connection; empty before the handshake.
    pub(crate) socket_id: String,
    /// The seconds of silence that the server allows; 0 before the handshake.
    pub(crate) activity_timeout: u64,
    credentials: Credentials,
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Upgrades a connection to this path, with these headers added, and reads nothing yet.
    pub(crate) async fn open(
        address: SocketAddr,
        credentials: &Credentials,
        path_and_query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let mut request =
            format!("ws://{address}{path_and_query}").into_client_request().expect("a valid URL");
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a valid header name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a valid header value"));
        }
        let upgraded = timeout(DEADLINE, async {
            let stream = TcpStream::connect(address).await.expect("the node listens");
            stream.set_nodelay(true).expect("a TCP socket");
            client_async(request, stream).await
        });
        let upgraded = upgraded.await.expect("the node answers the upgrade in time");
        let (socket, _) = upgraded.unwrap_or_else(|error| panic!("no upgrade of {path_and_query}: {error}"));
        let credentials = credentials.clone();
        Self { socket_id: String::new(), activity_timeout: 0, credentials, socket }
    }

    /// Connects as pusher-js does and waits until the connection is established.
    pub(crate) async fn connect(address: SocketAddr, credentials: &Credentials) -> Self {
        let path = format!("/app/{}?{QUERY}", credentials.key);
        let mut client = Self::open(address, credentials, &path, &[]).await;
        client.established().await;
        client
    }

    /// Waits for the first frame of a good connection.
    pub(crate) async fn established(&mut self) -> Frame {
        let frame = self.expect("pusher:connection_established").await;
        let data = frame.json();
        self.socket_id = data["socket_id"].as_str().expect("a socket id").into();
        self.activity_timeout = data["activity_timeout"].as_u64().expect("a number of seconds");
        frame
    }

    /// Sends one event.
    pub(crate) async fn send(&mut self, event: Value) {
        self.send_text(&event.to_string()).await;
    }

    /// Sends a text frame.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any WebSocket message.
    pub(crate) async fn send_message(&mut self, message: Message) {
        let sent = timeout(DEADLINE, self.socket.send(message)).await;
        sent.expect("the node reads").expect("the connection is open");
    }

    /// Sends several text frames in one write, as a client does that acts twice in one turn of its event loop.
    pub(crate) async fn send_at_once(&mut self, events: impl IntoIterator<Item = Value>) {
        for event in events {
            self.socket.feed(Message::text(event.to_string())).await.expect("the connection is open");
        }
        self.socket.flush().await.expect("the connection is open");
    }

    /// The next WebSocket message, whatever it is; `None` when the connection ended.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        self.message_within(DEADLINE).await
    }

    /// The same, with another deadline.
    pub(crate) async fn message_within(&mut self, deadline: Duration) -> Option<Message> {
        let message = timeout(deadline, self.socket.next()).await;
        message.unwrap_or_else(|_| panic!("nothing came within {deadline:?}"))?.ok()
    }

    /// The next event.
    pub(crate) async fn frame(&mut self) -> Frame {
        timeout(DEADLINE, self.next_event()).await.unwrap_or_else(|_| panic!("no event within {DEADLINE:?}"))
    }

    /// The same, with another deadline.
    pub(crate) async fn frame_within(&mut self, deadline: Duration) -> Frame {
        timeout(deadline, self.next_event()).await.unwrap_or_else(|_| panic!("no event within {deadline:?}"))
    }

    /// The next event must be this one.
    pub(crate) async fn expect(&mut self, event: &str) -> Frame {
        let frame = timeout(DEADLINE, self.next_event()).await;
        let frame = frame.unwrap_or_else(|_| panic!("no {event} within {DEADLINE:?}"));
        assert_eq!(frame.event, event, "instead of {event}: {}", frame.text);
        frame
    }

    /// WebSocket pings, which browsers hide from their users, are not events.
    async fn next_event(&mut self) -> Frame {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Frame::parse(&text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("instead of an event: {other:?}"),
            }
        }
    }

    /// The next event must be this one, on this channel.
    pub(crate) async fn expect_on(&mut self, channel: &str, event: &str) -> Frame {
        let frame = self.expect(event).await;
        assert_eq!(frame.channel.as_deref(), Some(channel), "on another channel: {}", frame.text);
        frame
    }

    /// The next frame must be these bytes.
    pub(crate) async fn expect_text(&mut self, text: &str) {
        assert_eq!(self.frame().await.text, text);
    }

    /// Nothing is on its way to this client. A connection's frames are answered in order, so a ping that is answered
    /// by the very next frame proves it, without waiting for a time in which nothing comes.
    pub(crate) async fn expect_quiet(&mut self) {
        self.send(json!({"event": "pusher:ping", "data": {}})).await;
        self.expect("pusher:pong").await;
    }

    /// The next event must be an error of this code, or of none; its message.
    pub(crate) async fn expect_error(&mut self, code: impl Into<Option<u16>>) -> String {
        let frame = self.expect("pusher:error").await;
        let data = &frame.whole()["data"];
        assert!(data.is_object(), "Swift and .NET read the data of errors as an object: {}", frame.text);
        assert_eq!(data["code"], json!(code.into()), "{}", frame.text);
        data["message"].as_str().expect("every error has a message").into()
    }

    /// The next message must be a Close frame of this code; its reason.
    pub(crate) async fn expect_close(&mut self, code: u16) -> String {
        loop {
            match self.message().await {
                Some(Message::Close(Some(close))) => {
                    assert_eq!(u16::from(close.code), code, "{}", close.reason);
                    return close.reason.as_str().into();
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("instead of a Close frame of code {code}: {other:?}"),
            }
        }
    }

    /// The connection must be ended with this code: the error frame, the Close frame, then the end. The message.
    pub(crate) async fn expect_end(&mut self, code: u16) -> String {
        let message = self.expect_error(code).await;
        assert_eq!(
            self.expect_close(code).await,
            message,
            "the reason of the Close frame is the error's message"
        );
        assert!(self.message().await.is_none(), "nothing comes after a Close frame");
        message
    }

    /// Asks for a subscription, with any data.
    pub(crate) async fn ask(&mut self, subscription: Value) {
        self.send(json!({"event": "pusher:subscribe", "data": subscription})).await;
    }

    /// Asks for a private channel, rightly signed.
    pub(crate) async fn ask_private(&mut self, channel: &str) {
        let auth = self.channel_auth(channel, None);
        self.ask(json!({"channel": channel, "auth": auth})).await;
    }

    /// Asks for a presence channel with this channel data, rightly signed.
    pub(crate) async fn ask_presence(&mut self, channel: &str, channel_data: &str) {
        let auth = self.channel_auth(channel, Some(channel_data));
        self.ask(json!({"channel": channel, "auth": auth, "channel_data": channel_data})).await;
    }

    /// The signature with which this connection may subscribe.
    pub(crate) fn channel_auth(&self, channel: &str, channel_data: Option<&str>) -> String {
        self.credentials.channel_auth(&self.socket_id, channel, channel_data)
    }

    /// Subscribes to a public channel.
    pub(crate) async fn subscribe(&mut self, channel: &str) -> Frame {
        self.ask(json!({"channel": channel, "auth": ""})).await;
        self.expect_subscribed(channel).await
    }

    /// Subscribes to a private or encrypted channel.
    pub(crate) async fn subscribe_private(&mut self, channel: &str) -> Frame {
        self.ask_private(channel).await;
        self.expect_subscribed(channel).await
    }

    /// Subscribes to a presence channel as this user.
    pub(crate) async fn subscribe_presence(
        &mut self,
        channel: &str,
        user_id: impl Into<Value>,
        user_info: impl Into<Value>,
    ) -> Frame {
        let channel_data = json!({"user_id": user_id.into(), "user_info": user_info.into()}).to_string();
        self.ask_presence(channel, &channel_data).await;
        self.expect_subscribed(channel).await
    }

    /// The next event must say that the client is subscribed to this channel.
    pub(crate) async fn expect_subscribed(&mut self, channel: &str) -> Frame {
        self.expect_on(channel, "pusher_internal:subscription_succeeded").await
    }

    /// The next events must be a refused subscription: one for the channel's listeners, one for the connection's.
    pub(crate) async fn expect_refused(&mut self, channel: impl AsRef<str> + Debug) -> Refusal {
        let frame = self.expect_on(channel.as_ref(), "pusher:subscription_error").await;
        let data = frame.json();
        let message =
            data["error"].as_str().unwrap_or_else(|| panic!("no error in {}", frame.text)).to_owned();
        let told = self.expect_error(None).await;
        assert_eq!(told, message, "both frames of a refused subscription give the same reason");
        Refusal {
            kind: data["type"].as_str().expect("a kind").into(),
            status: data["status"].as_u64().expect("a status"),
            message,
        }
    }

    /// Leaves a channel. There is no answer to that.
    pub(crate) async fn unsubscribe(&mut self, channel: &str) {
        self.send(json!({"event": "pusher:unsubscribe", "data": {"channel": channel}})).await;
    }

    /// Asks to be signed in with this user data, rightly signed.
    pub(crate) async fn ask_sign_in(&mut self, user_data: &str) {
        let auth = self.credentials.user_auth(&self.socket_id, user_data);
        self.send(json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})).await;
    }

    /// Signs in.
    pub(crate) async fn sign_in(&mut self, user_data: Value) -> Frame {
        self.ask_sign_in(&user_data.to_string()).await;
        self.expect("pusher:signin_success").await
    }

    /// Sends a client event.
    pub(crate) async fn trigger(&mut self, channel: &str, event: &str, data: impl Into<Value>) {
        self.send(json!({"event": event, "channel": channel, "data": data.into()})).await;
    }

    /// Closes the connection and waits until the server has answered and ended it.
    pub(crate) async fn close(mut self) {
        timeout(DEADLINE, self.socket.close(None))
            .await
            .expect("the node reads")
            .expect("the connection is open");
        while self.message().await.is_some() {}
    }
}
