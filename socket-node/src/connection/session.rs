//! The life of one connection: its task reads, understands, and answers, one frame after the other.

use std::{cell::RefCell, future::poll_fn, io, sync::Arc, time::Instant};

use app_manager::{app::App, apps::LiveApp};
use bytes::Bytes;
use tracing::{Level, debug, trace};

use super::{Sockets, client_events::Waiting};
use crate::{
    channels::{Subscription, UserSession},
    hub::Socket,
    limits::EventRate,
    protocol::{
        ChannelName, ClientMessage, Close, Decoder, Frame, Incoming, event,
        message::{SignIn, Subscribe},
    },
    tally::AppTally,
};

/// Bytes that one read takes; all connections of a thread share the buffer.
const READ_BUFFER: usize = 64 * 1024;

/// Channels that one connection may be subscribed to. Real clients have a handful; this only bounds what one of them
/// can make the node remember.
pub(super) const MAX_SUBSCRIPTIONS: usize = 10_000;

/// What RFC 6455 calls the end of a connection without a goodbye.
const NO_CLOSE: u16 = 1006;

/// Largest message that any client may send, where the app's own limits do not ask for more.
const MIN_MESSAGE_LIMIT: usize = 128 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

/// One client's connection. Dropping it, for whatever reason, takes it out of everything it was part of.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sockets: Sockets,
    /// Whatever it is now: it may change while the client is here.
    pub(super) app: LiveApp,
    /// Where the connection is counted from its beginning to its end.
    pub(super) tally: Arc<AppTally>,
    pub(super) socket: Arc<Socket>,
    decoder: Decoder,
    /// The beginning of a message whose end has not come; mostly empty, and then without a buffer.
    unread: Vec<u8>,
    /// In the order of their channels' names.
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) user: Option<Box<SignedInUser>>,
    /// Made with the first client event, where the app limits their rate.
    pub(super) client_event_rate: Option<EventRate>,
    /// Whether the connection is one of those that the app's quota counts.
    is_counted: bool,
    began: Instant,
}

/// What a connection knows of its user.
#[derive(Debug)]
pub(super) struct SignedInUser {
    pub(super) session: UserSession,
    /// Raw JSON, an object.
    pub(super) user_info: Option<Box<serde_json::value::RawValue>>,
}

/// What is next for the connection's task.
enum Step {
    /// To wait until there is more to read.
    Read,
    /// To do what a client asked for before anything else it said is looked at.
    Perform(Request),
    /// To end.
    End,
}

/// What a client asked for that may take time.
pub(super) enum Request {
    Subscribe(Subscribe),
    Unsubscribe(String),
    SignIn(SignIn),
    /// An event for a channel that is too full just now.
    ClientEvent(Waiting),
}

impl Request {
    /// What the log calls it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::SignIn(_) => "signin",
            Self::ClientEvent(_) => "client_event",
        }
    }
}

impl Session {
    /// A connection whose handshake is done; `early` is what the client said right behind it.
    pub(super) fn new(sockets: Sockets, app: LiveApp, socket: Arc<Socket>, early: &Bytes) -> Box<Self> {
        let decoder = Decoder::new(max_message(&app.load()));
        let tally = {
            let (socket_id, app_id) = (socket.id(), &app.load().id);
            debug!(%socket_id, %app_id, "connection {socket_id} of app {app_id} began");
            sockets.shared.tally.apps.of(app_id)
        };
        tally.connections.one();
        Box::new(Self {
            sockets,
            app,
            tally,
            socket,
            decoder,
            unread: early.to_vec(),
            subscriptions: Vec::new(),
            user: None,
            client_event_rate: None,
            is_counted: false,
            began: Instant::now(),
        })
    }

    pub(super) const fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    pub(super) const fn app(&self) -> &LiveApp {
        &self.app
    }

    /// Takes one of the app's places, or, where connections must be authorised first, starts the time for that:
    /// those that are not yet authorised do not count. False if there is no place; the client is told.
    pub(super) async fn claim_place_or_wait(&mut self) -> bool {
        let app = self.app.load_full();
        if app.features.require_authorization {
            self.socket.authorize_within(app.limits.authorization_timeout_seconds);
            return true;
        }
        self.claim_place().await
    }

    /// The connection has shown that it may be here. False if there is no place for it; the client is told.
    pub(super) async fn authorize(&mut self) -> bool {
        self.socket.authorized();
        self.claim_place().await
    }

    async fn claim_place(&mut self) -> bool {
        self.is_counted =
            self.is_counted || self.sockets.shared.channels.connect(&self.app.load_full()).await;
        if !self.is_counted {
            self.socket.close(&Close::OVER_QUOTA);
        }
        self.is_counted
    }

    /// Serves the client until one side hangs up.
    pub(super) async fn run(mut self: Box<Self>) {
        let mut step = self.resume();
        loop {
            step = match step {
                Step::Read => {
                    if poll_fn(|cx| self.socket.poll_read_ready(cx)).await.is_err() {
                        return;
                    }
                    self.read()
                }
                Step::Perform(request) => {
                    // Boxed, so that the many connections that ask for nothing do not pay for it.
                    Box::pin(self.perform(request)).await;
                    self.resume()
                }
                Step::End => return,
            }
        }
    }

    /// Reads once and handles what came.
    fn read(&mut self) -> Step {
        BUFFER.with_borrow_mut(|buffer| match self.socket.try_read(buffer) {
            Ok(0) => Step::End,
            Ok(count) => {
                self.socket.heard();
                self.take_in(&mut buffer[..count])
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Read,
            Err(_) => Step::End,
        })
    }

    fn take_in(&mut self, input: &mut [u8]) -> Step {
        if !self.unread.is_empty() {
            self.unread.extend_from_slice(input);
            return self.resume();
        }
        let (used, step) = self.handle_frames(input);
        self.unread.extend_from_slice(&input[used..]);
        step
    }

    /// Goes on with what was read before.
    fn resume(&mut self) -> Step {
        let mut input = std::mem::take(&mut self.unread);
        let (used, step) = self.handle_frames(&mut input);
        if used < input.len() {
            input.drain(..used);
            self.unread = input;
        }
        step
    }

    /// Handles whole frames one after the other, as far as there are any and none asks for something that takes time.
    /// Gives how many bytes that were.
    fn handle_frames(&mut self, input: &mut [u8]) -> (usize, Step) {
        self.decoder.limit(max_message(&self.app.load()));
        let mut received = 0;
        let handled = self.handle_messages(input, &mut received);
        if received > 0 {
            self.sockets.shared.tally.received.add(received);
        }
        handled
    }

    fn handle_messages(&mut self, input: &mut [u8], received: &mut u64) -> (usize, Step) {
        let mut used = 0;
        while used < input.len() {
            if self.socket.is_closing() {
                // Read on, so that the peer's bytes in the kernel do not turn our goodbye into a reset.
                return (input.len(), Step::Read);
            }
            let (count, message) = match self.decoder.next(&mut input[used..]) {
                Ok(decoded) => decoded,
                Err(close) => {
                    self.socket.close(&close);
                    continue;
                }
            };
            if count == 0 {
                break;
            }
            used += count;
            *received += u64::from(message.is_some());
            if let Some(step) = message.and_then(|message| handle(self, message)) {
                return (used, step);
            }
        }
        (used, Step::Read)
    }

    /// Answers a message of text; what takes time is given back.
    fn handle_text(&mut self, text: &str) -> Option<Request> {
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Ping) => self.socket.push(&event::pong()),
            Ok(ClientMessage::Pong) => {}
            Ok(ClientMessage::Subscribe(subscribe)) => return Some(Request::Subscribe(subscribe)),
            Ok(ClientMessage::Unsubscribe(channel)) => return Some(Request::Unsubscribe(channel)),
            Ok(ClientMessage::SignIn(sign_in)) => return Some(Request::SignIn(sign_in)),
            Ok(ClientMessage::ClientEvent(event)) => {
                return self.client_event(&event).map(Request::ClientEvent);
            }
            Err(error) => self.complain(&error.to_string()),
        }
        None
    }

    async fn perform(&mut self, request: Request) {
        let (socket_id, name) = (self.socket.id(), request.name());
        trace!(%socket_id, request = name, "connection {socket_id} asks for {name}");
        match request {
            Request::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Request::Unsubscribe(channel) => self.unsubscribe(&channel).await,
            Request::SignIn(sign_in) => self.sign_in(&sign_in).await,
            Request::ClientEvent(waiting) => self.send_waiting(waiting).await,
        }
    }

    /// Tells the client what is wrong; the connection goes on.
    pub(super) fn complain(&self, message: &str) {
        self.socket.complain(None, message);
    }

    fn log_end(&self) {
        let (socket_id, app_id) = (self.socket.id(), &self.app.load().id);
        let code = self.socket.close_code().unwrap_or(NO_CLOSE);
        let duration_ms = self.began.elapsed().as_secs_f64() * 1000.0;
        debug!(%socket_id, %app_id, code, duration_ms, "connection {socket_id} of app {app_id} ended with {code}");
    }

    /// Where the subscription to a channel is, or where it would be.
    pub(super) fn find(&self, channel: &str) -> Result<usize, usize> {
        self.subscriptions
            .binary_search_by(|subscription| ChannelName::as_str(subscription.channel()).cmp(channel))
    }
}

/// Answers a frame. Gives the next step if that is anything but to go on.
fn handle(session: &mut Session, message: Incoming<'_>) -> Option<Step> {
    match message {
        Incoming::Text(text) => session.handle_text(&text).map(Step::Perform),
        Incoming::Binary(_) => {
            session.complain("Binary messages are not supported");
            None
        }
        Incoming::Ping(payload) => {
            session.socket.push(&Frame::pong(payload));
            None
        }
        Incoming::Pong => None,
        Incoming::Close(code) => {
            // Whoever sees the answer may come again at once, and finds the place free.
            session.leave();
            session.socket.echo_close(code);
            Some(Step::End)
        }
    }
}

impl Session {
    /// Gives back everything that the connection has; what it does not have any more is not given back again.
    fn leave(&mut self) {
        let Self { sockets, app, socket, subscriptions, user, is_counted, .. } = self;
        let (channels, app) = (&sockets.shared.channels, &*app.load());
        for subscription in subscriptions.drain(..) {
            channels.unsubscribe(app, socket, &subscription);
        }
        if let Some(user) = user.take() {
            channels.sign_out(&app.id, socket, &user.session);
        }
        if std::mem::take(is_counted) {
            channels.disconnect(app);
        }
    }
}

impl Drop for Session {
    /// Also runs when the task panics: one connection may break, but it must not leave a ghost behind.
    fn drop(&mut self) {
        self.leave();
        self.tally.disconnections.one();
        if tracing::enabled!(Level::DEBUG) {
            self.log_end();
        }
        // Last, because a node that goes away waits for this, and for nothing else that happens here.
        self.sockets.shared.registry.remove(self.socket.id());
    }
}

/// Bytes of the largest message that a client may send: every character of a payload may be escaped, and there is
/// something around it.
fn max_message(app: &App) -> usize {
    MIN_MESSAGE_LIMIT.max(app.limits.max_event_payload.saturating_mul(6))
}

/// Reads what a client that was turned away still has to say, until it hangs up: to close with unread bytes would
/// reset the connection, and the client would never see why.
pub(super) async fn see_off(sockets: Sockets, socket: Arc<Socket>) {
    let drain = || BUFFER.with_borrow_mut(|buffer| socket.try_read(buffer));
    while poll_fn(|cx| socket.poll_read_ready(cx)).await.is_ok() {
        match drain() {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    sockets.shared.registry.remove(socket.id());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
        assert!(size_of::<Socket>() <= 112, "{}", size_of::<Socket>());
        assert!(size_of::<Subscription>() <= 40, "{}", size_of::<Subscription>());
        fn future_size<F>(_: impl Fn(Box<Session>) -> F) -> usize {
            size_of::<F>()
        }
        // Beyond, tokio would need a larger cell for the task of every connection.
        assert!(future_size(Session::run) <= 128, "{}", future_size(Session::run));
    }
}
