//! An app's secret, which can sign and verify but never be read back.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The shared secret of an app. It has no way out: not through `Debug`, not through an accessor.
#[derive(Clone)]
pub struct Secret {
    /// HMAC-SHA256 with the key already absorbed; cloning it is cheaper than keying it anew.
    keyed: Hmac<Sha256>,
}

impl Secret {
    /// Takes over the secret's text.
    pub fn new(text: &str) -> Self {
        let keyed = Hmac::new_from_slice(text.as_bytes()).expect("HMAC takes keys of any length");
        Self { keyed }
    }

    /// The lower-case hex HMAC-SHA256 of the parts, one after the other.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> String {
        hex::encode(self.mac(parts).finalize().into_bytes())
    }

    /// Whether `signature` is the hex HMAC-SHA256 of the parts, compared in constant time.
    pub(crate) fn verify(&self, parts: &[&[u8]], signature: &str) -> bool {
        let mut given = [0u8; 32];
        // Official SDKs sign in lower case; upper case digits would be another text than the one documented.
        let lower_case = !signature.bytes().any(|byte| byte.is_ascii_uppercase());
        lower_case
            && hex::decode_to_slice(signature, &mut given).is_ok()
            && self.mac(parts).verify_slice(&given).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// The secrets of an app: the one that it has, and, while it is being replaced, the one before.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    current: Secret,
    previous: Option<Box<Previous>>,
}

/// A secret that still counts for a time.
#[derive(Clone, Debug)]
struct Previous {
    secret: Secret,
    /// Milliseconds since 1970.
    until_ms: u64,
}

impl Secrets {
    /// This secret, and one before it with the millisecond since 1970 in which it ends.
    pub(crate) fn new(current: Secret, previous: Option<(Secret, u64)>) -> Self {
        let previous = previous.map(|(secret, until_ms)| Box::new(Previous { secret, until_ms }));
        Self { current, previous }
    }

    /// Whether `signature` is by any secret that counts now. All of them are tried, whichever it is.
    pub(crate) fn verify(&self, parts: &[&[u8]], signature: &str, now_ms: u64) -> bool {
        let is_current = self.current.verify(parts, signature);
        let is_previous = self.previous(now_ms).is_some_and(|secret| secret.verify(parts, signature));
        is_current | is_previous
    }

    /// The oldest secret that counts now.
    pub(crate) fn oldest(&self, now_ms: u64) -> &Secret {
        self.previous(now_ms).unwrap_or(&self.current)
    }

    fn previous(&self, now_ms: u64) -> Option<&Secret> {
        self.previous.as_ref().filter(|previous| now_ms < previous.until_ms).map(|previous| &previous.secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
