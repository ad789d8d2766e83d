//! The WebSocket handshake (RFC 6455, section 4), and who is let in.
//!
//! A request that is a proper handshake is always accepted, even when the client must go away again: only inside the
//! WebSocket can it be told why, and with which code (clients see an HTTP error as a broken network, and never learn
//! the reason).

use std::sync::Arc;

use app_manager::apps::{LiveApp, Standing};
use axum::body::Body;
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use tungstenite::handshake::derive_accept_key;

use super::{
    Sockets,
    session::{self, Session},
};
use crate::{
    hub::{Socket, SocketOptions, Transport},
    protocol::{Close, event},
};

/// Protocol versions of the clients that we serve: Java and .NET still say 5.
const PROTOCOLS: std::ops::RangeInclusive<u32> = 4..=7;

/// The only subprotocol that a Pusher client offers; browsers insist on an answer to what they offer.
const SUBPROTOCOL: &str = "pusher-channels-protocol-7";

/// Characters of an unknown key that are told back.
const MAX_KEY_ECHO: usize = 100;

/// What of a handshake decides whether its client is let in.
struct Visitor {
    uri: Uri,
    /// Of the page, if it is one.
    origin: Option<HeaderValue>,
}

impl Sockets {
    /// Whether a request wants to become a WebSocket; all others are for the HTTP API.
    pub fn is_meant<B>(request: &Request<B>) -> bool {
        let wants_upgrade =
            request.headers().get(header::UPGRADE).is_some_and(|value| names(value, "websocket"));
        wants_upgrade || request.uri().path().starts_with("/app/")
    }

    /// Answers a handshake and begins the connection.
    pub fn upgrade(&self, mut request: Request<Incoming>) -> Response<Body> {
        let accept = match check_handshake(request.method(), request.version(), request.headers()) {
            Ok(accept) => accept,
            Err(refusal) => return *refusal,
        };
        let visitor =
            Visitor { uri: request.uri().clone(), origin: request.headers().get(header::ORIGIN).cloned() };
        let subprotocol = offers_subprotocol(request.headers());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(self.clone().begin(upgrade, visitor));

        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        response
    }

    /// The app that the connection belongs to, or why it has to go.
    async fn admit(&self, visitor: &Visitor) -> Result<LiveApp, Close> {
        let Visitor { uri, origin } = visitor;
        let key = uri.path().strip_prefix("/app/").filter(|key| !key.is_empty() && !key.contains('/'));
        let key = key.ok_or(Close::PATH_NOT_FOUND)?;
        self.check_protocol(uri.query().unwrap_or_default())?;
        let unknown = || Close::unknown_app(&key[..key.floor_char_boundary(MAX_KEY_ECHO)]);
        // Only a certain no is one: a store that is away must not send anybody away for good.
        let found = self.shared.apps.live_by_key(key).await.map_err(|_| Close::APP_AWAY)?;
        let app = found.ok_or_else(unknown)?;
        if !app.load().enabled {
            return Err(Close::APP_DISABLED);
        }
        let origin = origin.as_ref().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        if !origin.is_none_or(|origin| app.load().allows_origin(&origin)) {
            return Err(Close::ORIGIN_REFUSED);
        }
        if self.shared.readiness.is_draining() {
            return Err(Close::SHUTTING_DOWN);
        }
        Ok(app)
    }

    fn check_protocol(&self, query: &str) -> Result<(), Close> {
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        let protocol = parameters.find(|(name, _)| name == "protocol").map(|(_, value)| value);
        let Some(protocol) = protocol.filter(|protocol| !protocol.is_empty()) else {
            let is_allowed = self.shared.options.allow_missing_protocol;
            return if is_allowed { Ok(()) } else { Err(Close::NO_PROTOCOL) };
        };
        let digits = protocol.strip_prefix('-').unwrap_or(&protocol);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Close::INVALID_VERSION);
        }
        // Below zero, or too large for a number, is no version that we speak either.
        let is_spoken = protocol.parse().is_ok_and(|version: u32| PROTOCOLS.contains(&version));
        if is_spoken { Ok(()) } else { Err(Close::UNSUPPORTED_PROTOCOL) }
    }

    /// Takes the TCP stream out of hyper, so that nothing of hyper stays, and hands it to a task of its own that is
    /// as small as it can be.
    async fn begin(self, upgrade: OnUpgrade, visitor: Visitor) {
        let Ok(upgraded) = upgrade.await else {
            // The client was gone before it had its answer.
            return;
        };
        let Some((transport, early)) = into_parts(upgraded) else {
            return debug!("an upgraded connection is neither a TCP stream nor TLS over one");
        };
        match self.admit(&visitor).await {
            Ok(app) => self.welcome(transport, app, &early).await,
            Err(close) => self.turn_away(transport, &close),
        }
    }

    async fn welcome(self, transport: Transport, app: LiveApp, early: &Bytes) {
        let activity_timeout_seconds = app.load().limits.activity_timeout_seconds;
        let options =
            SocketOptions { max_backlog: self.shared.options.max_backlog, activity_timeout_seconds };
        let socket = Socket::new(self.next_id(), transport, options, Arc::clone(&self.shared.tally));
        self.shared.registry.insert(&socket, Some(app.clone()));
        let mut session = Session::new(self, app, socket, early);
        if session.claim_place_or_wait().await {
            session
                .socket()
                .push(&event::connection_established(session.socket().id(), activity_timeout_seconds));
        }
        // The drain may have looked at all connections before this one was among them, and so may whoever closes those
        // of an app that is switched off.
        if session.sockets.shared.readiness.is_draining() {
            session.socket().close(&Close::SHUTTING_DOWN);
        }
        if let Some(close) = reason_to_go(session.app()) {
            session.socket().close(&close);
        }
        tokio::spawn(session.run());
    }

    fn turn_away(self, transport: Transport, close: &Close) {
        let options =
            SocketOptions { max_backlog: self.shared.options.max_backlog, activity_timeout_seconds: 1 };
        let socket = Socket::new(self.next_id(), transport, options, Arc::clone(&self.shared.tally));
        let (socket_id, code) = (socket.id(), close.code);
        debug!(%socket_id, code, "connection {socket_id} was refused with code {code}");
        self.shared.registry.insert(&socket, None);
        socket.close(close);
        tokio::spawn(session::see_off(self, socket));
    }
}

/// Why nobody may be connected to an app, if that is so.
pub(super) fn reason_to_go(app: &LiveApp) -> Option<Close> {
    match app.standing() {
        Standing::Active => None,
        Standing::Disabled => Some(Close::APP_DISABLED),
        Standing::Gone => Some(Close::unknown_app(app.load().key.as_str())),
    }
}

/// The connection without hyper, and what the client has said already.
fn into_parts(upgraded: Upgraded) -> Option<(Transport, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Some((Transport::plain(parts.io.into_inner()), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
    let (stream, session) = parts.io.into_inner().into_inner();
    let (transport, decrypted) = Transport::encrypted(stream, session);
    // Hyper reads only what it has room for, so most often the one or the other is empty.
    let early =
        if decrypted.is_empty() { parts.read_buf } else { [parts.read_buf, decrypted].concat().into() };
    Some((transport, early))
}

/// The value of `Sec-WebSocket-Accept`, or the answer to a request that is no proper handshake.
fn check_handshake(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, Box<Response<Body>>> {
    let bad_request = |reason: &'static str| refusal(StatusCode::BAD_REQUEST, reason);
    let has = |name: HeaderName, token: &str| headers.get_all(name).iter().any(|value| names(value, token));
    if !has(header::UPGRADE, "websocket") {
        let mut refusal = refusal(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint");
        refusal.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(refusal);
    }
    if method != Method::GET || version != Version::HTTP_11 {
        return Err(bad_request("a WebSocket handshake is a GET of HTTP/1.1"));
    }
    if !has(header::CONNECTION, "upgrade") {
        return Err(bad_request("the Connection header does not name upgrade"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut refusal = refusal(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken");
        refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(refusal);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_handshake_key(key.as_bytes()) => {
            let accept = derive_accept_key(key.as_bytes());
            Ok(HeaderValue::from_str(&accept).expect("base64 is fit for a header"))
        }
        _ => Err(bad_request("Sec-WebSocket-Key must be given once, 16 bytes in base64")),
    }
}

/// 16 bytes in base64 are 22 digits and two padding signs.
fn is_handshake_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'/';
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

/// Whether a comma-separated header names this token, in any case.
fn names(value: &HeaderValue, token: &str) -> bool {
    let tokens = value.as_bytes().split(|byte| *byte == b',');
    tokens.map(<[u8]>::trim_ascii).any(|candidate| candidate.eq_ignore_ascii_case(token.as_bytes()))
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().any(|value| names(value, SUBPROTOCOL))
}

fn refusal(status: StatusCode, reason: &'static str) -> Box<Response<Body>> {
    let body = format!("{{\"error\":\"{reason}\",\"code\":{}}}", status.as_u16());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Box::new(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(change: impl FnOnce(&mut HeaderMap)) -> Result<HeaderValue, StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        change(&mut headers);
        check_handshake(&Method::GET, Version::HTTP_11, &headers).map_err(|refusal| refusal.status())
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        assert_eq!(handshake(|_| ()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        let without = |name: HeaderName| handshake(|headers| drop(headers.remove(name))).unwrap_err();
        assert_eq!(without(header::UPGRADE), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(without(header::CONNECTION), StatusCode::BAD_REQUEST);
        assert_eq!(without(header::SEC_WEBSOCKET_VERSION), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(without(header::SEC_WEBSOCKET_KEY), StatusCode::BAD_REQUEST);
        for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=x", "!GhlIHNhbXBsZSBub25jZQ=="]
        {
            let changed = handshake(|headers| {
                headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
            });
            assert_eq!(changed.unwrap_err(), StatusCode::BAD_REQUEST, "{key}");
        }
    }
}
