//! A client of Pusher's HTTP API whose requests can be tampered with before and after they are signed.

mod wire;

use std::{
    fmt::{Display, Write as _},
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use md5::{Digest, Md5};
use serde_json::{Value, json};
use tokio::time::sleep;

pub(crate) use wire::{Connection, Response, raw_request};

use super::{
    node::{Doors, Node},
    signing::Credentials,
};

/// How long one node may take to know what the other was told, on a machine that is busy.
const MOMENT: Duration = Duration::from_secs(2);

/// Time between two times of asking.
const PAUSE: Duration = Duration::from_millis(5);

/// One app's view of a node's HTTP API. Paths given to it begin after `/apps/{id}`.
///
/// Requests in sequence share one kept-alive connection to each process, concurrent ones have one each. Of two processes
/// that are one node, one gets all that is published, and both are read from by turns.
#[derive(Debug)]
pub(crate) struct Api {
    doors: Doors,
    app: Credentials,
    /// Connections that are waiting for their next request, and where they lead.
    idle: Mutex<Vec<(SocketAddr, Connection)>>,
}

impl Api {
    /// An app's API on the node at `addr`.
    pub(crate) fn new(addr: SocketAddr, app_id: &str, key: &str, secret: &str) -> Self {
        let doors = Doors::new(&[addr], 0);
        Self { doors, app: Credentials::new(app_id, key, secret), idle: Mutex::default() }
    }

    /// The API of the app that the node was started with.
    pub(crate) fn on(node: &Node) -> Self {
        Self::of(node, &node.credentials)
    }

    /// The API of any of the node's apps.
    pub(crate) fn of(node: &Node, app: &Credentials) -> Self {
        Self { doors: node.requests().clone(), app: app.clone(), idle: Mutex::default() }
    }

    /// Publishes an event and expects the answer of the real service to the byte. `data` is text, or a JSON value
    /// whose text is sent, which is what the SDKs do.
    pub(crate) async fn publish(&self, channel: &str, event: &str, data: impl Display) {
        let body = json!({ "name": event, "channels": [channel], "data": data.to_string() });
        let response = self.post("/events", body).await.expect_status(200);
        assert_eq!(response.text(), "{}", "the answer to publishing {event} on {channel}");
    }

    /// Posts a JSON value, or text that stands for one, signed.
    pub(crate) async fn post(&self, path: &str, body: impl Display) -> Response {
        self.request("POST", path).json(body).send().await
    }

    /// Gets a path with its query, signed.
    pub(crate) async fn get(&self, path_and_query: &str) -> Response {
        self.request("GET", path_and_query).send().await
    }

    /// Gets a path and expects this answer: at once of a single node; of two, within a moment, because what one has just
    /// been told (a subscription more, a channel left) reaches the other a little later.
    pub(crate) async fn expect_soon(&self, path_and_query: &str, expected: Value) {
        let deadline =
            Instant::now() + if self.doors.addresses().len() > 1 { MOMENT } else { Duration::ZERO };
        loop {
            let told = self.get(path_and_query).await.expect_status(200).json();
            if told == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{path_and_query}: {told} instead of {expected}");
            sleep(PAUSE).await;
        }
    }

    /// A request to this app, to be changed before it is signed and sent.
    pub(crate) fn request(&self, method: &str, path_and_query: &str) -> Request<'_> {
        self.request_at(method, &format!("/apps/{}{path_and_query}", self.app.id))
    }

    /// A request to any path of the node, signed as this app. Parameters in `target` are taken as decoded text.
    pub(crate) fn request_at(&self, method: &str, target: &str) -> Request<'_> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let params = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Request {
            api: self,
            method: method.to_owned(),
            path: path.to_owned(),
            params: params.collect(),
            omitted: Vec::new(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
        }
    }

    /// Sends bytes on a kept-alive connection. A connection that the server closed while nobody used it is
    /// replaced once, as every HTTP client does.
    async fn exchange(&self, method: &str, bytes: &[u8]) -> io::Result<Response> {
        let address = self.door(method);
        if let Some(connection) = self.take_idle(address) {
            match self.exchange_on(address, connection, method, bytes).await {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                }
                Err(error) => return Err(error),
            }
        }
        let connection = Connection::open(address).await?;
        let response = self.exchange_on(address, connection, method, bytes).await?;
        response.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn exchange_on(
        &self,
        address: SocketAddr,
        mut connection: Connection,
        method: &str,
        bytes: &[u8],
    ) -> io::Result<Option<Response>> {
        connection.send(bytes).await?;
        let response = connection.response_to(method).await?;
        if connection.is_reusable() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((address, connection));
        }
        Ok(response)
    }

    /// Where a request goes. What changes something keeps to one process: nobody promises an order to a publisher who
    /// does not.
    fn door(&self, method: &str) -> SocketAddr {
        match method {
            "POST" => self.doors.addresses().last().copied().expect("a node has a door"),
            _ => self.doors.next(),
        }
    }

    fn take_idle(&self, address: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let position = idle.iter().position(|(leads_to, _)| *leads_to == address)?;
        Some(idle.swap_remove(position).1)
    }
}

/// A request that is not signed yet: what is changed here is covered by the signature.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    api: &'a Api,
    method: String,
    path: String,
    params: Vec<(String, String)>,
    omitted: Vec<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// Adds a parameter. One that signing would add, such as `auth_timestamp`, takes that one's place.
    pub(crate) fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a parameter that signing would add.
    pub(crate) fn omit(mut self, name: &str) -> Self {
        self.omitted.push(name.to_owned());
        self
    }

    /// Says another time than now, so many seconds in the future.
    pub(crate) fn seconds_from_now(self, seconds: i64) -> Self {
        self.param("auth_timestamp", &(unix_seconds() + seconds).to_string())
    }

    /// Adds a header, which replaces the one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(old, _)| !old.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body as JSON: a value, or text that stands for one.
    pub(crate) fn json(self, body: impl Display) -> Self {
        self.body(body.to_string())
    }

    /// The body, byte for byte.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Signs it: HMAC-SHA256 over method, path and the sorted parameters with lower-cased names and decoded values.
    pub(crate) fn sign(self) -> SignedRequest<'a> {
        let mut params = self.auth_params();
        params.extend(self.params);
        let to_sign = format!("{}\n{}\n{}", self.method, self.path, canonical_query(&params));
        params.push(("auth_signature".to_owned(), self.api.app.sign(&to_sign)));
        SignedRequest {
            api: self.api,
            method: self.method,
            path: self.path,
            query: Query::Params(params),
            headers: self.headers,
            body: self.body,
        }
    }

    /// Signs and sends it.
    pub(crate) async fn send(self) -> Response {
        self.sign().send().await
    }

    /// The parameters that make a request a signed one, without those that the test gave or left out itself.
    fn auth_params(&self) -> Vec<(String, String)> {
        let mut params = vec![
            ("auth_key".to_owned(), self.api.app.key.clone()),
            ("auth_timestamp".to_owned(), unix_seconds().to_string()),
            ("auth_version".to_owned(), "1.0".to_owned()),
        ];
        if !self.body.is_empty() {
            params.push(("body_md5".to_owned(), md5_hex(&self.body)));
        }
        params.retain(|(name, _)| {
            !self.omitted.contains(name) && !self.params.iter().any(|(given, _)| given == name)
        });
        params
    }
}

/// A signed request: what is changed here is tampering.
#[derive(Debug, Clone)]
pub(crate) struct SignedRequest<'a> {
    api: &'a Api,
    method: String,
    path: String,
    query: Query,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What follows the `?`.
#[derive(Debug, Clone)]
enum Query {
    /// Decoded names and values, in the order in which they are sent.
    Params(Vec<(String, String)>),
    /// The bytes themselves.
    Raw(Vec<u8>),
}

impl SignedRequest<'_> {
    /// Gives a parameter another value, or adds it.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.remove(name).append(name, value)
    }

    /// Takes a parameter out.
    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.params_mut().retain(|(found, _)| found != name);
        self
    }

    /// Adds a parameter, also when there is one of that name.
    pub(crate) fn append(mut self, name: &str, value: &str) -> Self {
        self.params_mut().push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the parameters in the opposite order.
    pub(crate) fn reversed(mut self) -> Self {
        self.params_mut().reverse();
        self
    }

    /// Rewrites the query as it is on the wire.
    pub(crate) fn map_query(mut self, rewrite: impl FnOnce(String) -> Vec<u8>) -> Self {
        self.query = Query::Raw(rewrite(wire_query(self.params_mut())));
        self
    }

    /// Sends another method than the one that was signed.
    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Sends another path than the one that was signed.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Sends another body than the one that was signed.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The request as it goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_with(&[("Content-Length", &self.body.len().to_string())]);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The request line and the headers, with others instead of `Content-Length`, for bodies framed by the test.
    pub(crate) fn head_with(&self, framing: &[(&str, &str)]) -> Vec<u8> {
        let mut head = format!("{} {}?", self.method, self.path).into_bytes();
        match &self.query {
            Query::Params(params) => head.extend_from_slice(wire_query(params).as_bytes()),
            Query::Raw(query) => head.extend_from_slice(query),
        }
        head.extend_from_slice(
            format!(" HTTP/1.1\r\nHost: {}\r\n", self.api.doors.addresses()[0]).as_bytes(),
        );
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(framing.iter().copied()) {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Sends it as it is; panics when the node does not answer.
    pub(crate) async fn send(self) -> Response {
        let answer = self.api.exchange(&self.method, &self.to_bytes()).await;
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }

    /// Sends it as it is, on a connection of its own that the node may cut off; see [`raw_request`].
    pub(crate) async fn send_or_be_cut_off(self) -> Option<Response> {
        raw_request(self.api.door(&self.method), self.to_bytes()).await
    }

    fn params_mut(&mut self) -> &mut Vec<(String, String)> {
        match &mut self.query {
            Query::Params(params) => params,
            Query::Raw(_) => panic!("parameters are changed before the query is rewritten as text"),
        }
    }
}

/// The lower-case hex MD5 of a body.
pub(crate) fn md5_hex(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

/// Now, as `auth_timestamp` says it.
pub(crate) fn unix_seconds() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since_epoch.as_secs().try_into().expect("it is before the year 292277026596")
}

/// The parameters as they are signed. The sort is stable, so a repeated name keeps the order of its values.
fn canonical_query(params: &[(String, String)]) -> String {
    let mut lowered: Vec<_> = params.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    lowered.sort_by(|(left, _), (right, _)| left.cmp(right));
    let pairs: Vec<_> = lowered.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The parameters as they are sent: escaped where they must be, commas left alone as most SDKs do.
fn wire_query(params: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        params.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}

/// Percent-encodes what may not stand in a query as it is.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b','
            | b':'
            | b';'
            | b'@' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a String takes all that is written"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Pusher's HTTP API reference, with the answer printed there.
    #[test]
    fn signs_the_published_example() {
        let api = Api::new(([127, 0, 0, 1], 1).into(), "3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let request = api.request("POST", "/events").param("auth_timestamp", "1353088179").body(body);
        let bytes = request.sign().to_bytes();
        let signature = "auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
        assert!(String::from_utf8_lossy(&bytes).contains(signature), "{}", String::from_utf8_lossy(&bytes));
    }
}
