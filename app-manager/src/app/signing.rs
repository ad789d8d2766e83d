//! Signatures by which a customer's backend lets a client in, and the one on webhooks.

use thiserror::Error;

use super::App;

/// Why a client's `auth` value was refused. The texts are the ones that Pusher sends.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// There is no `:` in it.
    #[error("should be of format 'key:signature'")]
    Malformed,
    /// The part before the first `:` is another app's key, or nobody's.
    #[error("Invalid key in subscription auth data: '{0}'")]
    WrongKey(String),
    /// The digest does not belong to what was to be signed.
    #[error("Invalid signature: Expected HMAC SHA256 hex digest of {to_sign}, but got {given}")]
    BadSignature {
        /// What should have been signed; the client knows all of it.
        to_sign: String,
        /// What the client sent instead.
        given: String,
    },
}

impl App {
    /// Checks the `auth` of a subscribe to a private or presence channel.
    ///
    /// `channel_data` is the raw text that the client sent, never re-serialised; it is part of what is signed
    /// whenever it is there and not empty, also on private channels, as the server SDKs do.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn verify_subscription(
        &self,
        auth: &str,
        socket_id: &str,
        channel: &str,
        channel_data: Option<&str>,
    ) -> Result<(), AuthError> {
        match channel_data.filter(|data| !data.is_empty()) {
            Some(data) => self.verify_auth(auth, &[socket_id, channel, data]),
            None => self.verify_auth(auth, &[socket_id, channel]),
        }
    }

    /// Checks the `auth` of a `pusher:signin`.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn verify_user(&self, auth: &str, socket_id: &str, user_data: &str) -> Result<(), AuthError> {
        self.verify_auth(auth, &[socket_id, "", "user", "", user_data])
    }

    /// The lower-case hex HMAC-SHA256 of a webhook's body.
    pub fn sign_webhook(&self, body: &[u8]) -> String {
        self.secret.sign(&[body])
    }

    /// `auth` is `key:signature`, and the signature that of `parts` joined by `:`.
    fn verify_auth(&self, auth: &str, parts: &[&str]) -> Result<(), AuthError> {
        let (key, signature) = auth.split_once(':').ok_or(AuthError::Malformed)?;
        if key != self.key.as_str() {
            return Err(AuthError::WrongKey(key.to_owned()));
        }
        let to_sign = parts.join(":");
        if !self.secret.verify(&[to_sign.as_bytes()], signature) {
            return Err(AuthError::BadSignature { to_sign, given: signature.to_owned() });
        }
        Ok(())
    }
}
