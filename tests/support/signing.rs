//! Signatures as a customer's server makes them, written here a second time on purpose: a fault in the server's own
//! signing would otherwise be on both sides of the test and cancel itself.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a customer knows of an app.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// Names the app in the HTTP API.
    pub(crate) id: String,
    /// Names the app in URLs of clients.
    pub(crate) key: String,
    /// Signs for the app.
    pub(crate) secret: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self::new("1", "app-key", "app-secret")
    }
}

impl Credentials {
    /// Credentials of these parts.
    pub(crate) fn new(id: &str, key: &str, secret: &str) -> Self {
        Self { id: id.into(), key: key.into(), secret: secret.into() }
    }

    /// The lower-case hex HMAC-SHA256 of a text.
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length of key will do");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The `auth` of a subscription, over the channel's data where there is any.
    pub(crate) fn channel_auth(&self, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
        let signature = match channel_data {
            Some(data) => self.sign(&format!("{socket_id}:{channel}:{data}")),
            None => self.sign(&format!("{socket_id}:{channel}")),
        };
        format!("{}:{signature}", self.key)
    }

    /// The `auth` of a sign-in.
    pub(crate) fn user_auth(&self, socket_id: &str, user_data: &str) -> String {
        format!("{}:{}", self.key, self.sign(&format!("{socket_id}::user::{user_data}")))
    }
}

/// The published examples of the Pusher documentation hold for this copy of the rules.
#[test]
fn the_published_signature_examples_come_out() {
    let app = Credentials::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
    assert_eq!(
        app.channel_auth("1234.1234", "private-foobar", None),
        "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    );
    assert_eq!(
        app.user_auth("1234.1234", r#"{"id":"12345"}"#),
        "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
    );
}
