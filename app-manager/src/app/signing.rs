//! Signatures by which a customer's backend lets a client in, and the one on webhooks.

use std::time::{SystemTime, UNIX_EPOCH};

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

    /// The lower-case hex HMAC-SHA256 of a webhook's body: during a rotation by the oldest secret that still counts, since
    /// receivers may not have the new one yet.
    pub fn sign_webhook(&self, body: &[u8]) -> String {
        self.secrets.oldest(now_ms()).sign(&[body])
    }

    /// `auth` is `key:signature`, and the signature that of `parts` joined by `:`.
    fn verify_auth(&self, auth: &str, parts: &[&str]) -> Result<(), AuthError> {
        let (key, signature) = auth.split_once(':').ok_or(AuthError::Malformed)?;
        if key != self.key.as_str() {
            return Err(AuthError::WrongKey(key.to_owned()));
        }
        let to_sign = parts.join(":");
        if !self.secrets.verify(&[to_sign.as_bytes()], signature, now_ms()) {
            return Err(AuthError::BadSignature { to_sign, given: signature.to_owned() });
        }
        Ok(())
    }
}

/// Milliseconds since 1970; before it, a clock is none, and a rotation not over.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::{
        app::{App, AuthError, SignedRequest, settings},
        secret::Secret,
    };
    use settings::{APP_SETTINGS, Problems, Setting, Values};

    /// An app that had another secret before, which counts until then.
    fn rotated(until_ms: u64) -> App {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, text) in [
            ("app_id", "1"),
            ("app_key", "key"),
            ("app_secret", "new canary"),
            ("app_previous_secret", "old canary"),
            ("app_previous_secret_until", &until_ms.to_string()),
        ] {
            let setting = Setting::find_json(APP_SETTINGS, name).unwrap();
            values.add(setting, &text.into(), name.to_owned(), &mut problems);
        }
        settings::build(&values, "the app", &mut problems).filter(|_| problems.is_empty()).unwrap()
    }

    fn during_the_rotation() -> App {
        rotated(super::now_ms() + 60_000)
    }

    fn after_it() -> App {
        rotated(super::now_ms() - 1)
    }

    fn sign(secret: &str, text: &str) -> String {
        Secret::new(secret).sign(&[text.as_bytes()])
    }

    /// Whether channels, users and requests that this secret has signed are let in.
    fn lets_in(app: &App, secret: &str) -> [bool; 3] {
        let auth = |text| format!("key:{}", sign(secret, text));
        let query = "auth_key=key&auth_timestamp=1000&auth_version=1.0";
        let signature = sign(secret, &format!("GET\n/apps/1/channels\n{query}"));
        let query = format!("{query}&auth_signature={signature}");
        let request =
            SignedRequest { method: "GET", path: "/apps/1/channels", query: &query, body: b"", now: 1000 };
        [
            app.verify_subscription(&auth("1.1:private-x"), "1.1", "private-x", None).is_ok(),
            app.verify_user(&auth("1.1::user::{}"), "1.1", "{}").is_ok(),
            app.verify_request(&request).is_ok(),
        ]
    }

    #[test]
    fn during_a_rotation_both_secrets_let_in_and_afterwards_the_new_one_alone() {
        for (app, old) in [(during_the_rotation(), true), (after_it(), false)] {
            assert_eq!(lets_in(&app, "new canary"), [true; 3]);
            assert_eq!(lets_in(&app, "old canary"), [old; 3]);
            assert_eq!(lets_in(&app, "neither"), [false; 3]);
        }
    }

    #[test]
    fn webhooks_are_signed_by_the_oldest_secret_that_counts() {
        assert_eq!(during_the_rotation().sign_webhook(b"{}"), sign("old canary", "{}"));
        assert_eq!(after_it().sign_webhook(b"{}"), sign("new canary", "{}"));
    }

    #[test]
    fn neither_errors_nor_debug_output_tell_of_a_rotation_what_nobody_may_know() {
        let [during, after] = [during_the_rotation(), after_it()]
            .map(|app| app.verify_user(&format!("key:{}", sign("neither", "x")), "1.1", "{}").unwrap_err());
        assert!(matches!(during, AuthError::BadSignature { .. }));
        assert_eq!(during, after);
        let text = format!("{:?}", during_the_rotation());
        assert!(!text.contains("canary"), "{text}");
    }
}
