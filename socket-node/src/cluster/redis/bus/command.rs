//! What nodes ask of each other.

use serde::{Deserialize, Serialize};

/// Something that every node does for its own part, said on the topic that all of them hear. It is JSON, so that later
/// versions can add to it; a node ignores the commands that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Close all connections of a signed-in user.
    TerminateUser {
        /// The id of the user's app.
        app: String,
        /// The user's id.
        user: String,
    },
    /// Look an app up anew: it was created, changed or deleted.
    AppChanged {
        /// The app's id.
        app: String,
    },
}

impl Command {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings are always JSON")
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_a_later_version_is_understood_if_it_is_known() {
        let terminate = |json: &str| Command::read(json.as_bytes());
        let known = Command::TerminateUser { app: "1".into(), user: "u".into() };
        let later = r#"{"command":"terminate_user","app":"1","user":"u","grace":5}"#;
        assert_eq!(terminate(later), Some(known.clone()));
        assert_eq!(terminate(r#"{"command":"dance"}"#), None);
        let changed = Command::AppChanged { app: "1".into() };
        assert_eq!(terminate(r#"{"command":"app_changed","app":"1","by":"somebody"}"#), Some(changed));
        assert_eq!(known.to_bytes(), br#"{"command":"terminate_user","app":"1","user":"u"}"#);
    }
}
