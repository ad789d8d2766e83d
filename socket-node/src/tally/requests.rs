//! Requests of the HTTP API, by what they asked for and how they were answered.

use super::Count;

/// What a request asks for. Never a path, which anybody can make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// To publish an event.
    Events,
    /// To publish several.
    BatchEvents,
    /// What channels there are.
    Channels,
    /// What a channel is like.
    Channel,
    /// Who is in a channel.
    Users,
    /// To end a user's connections.
    TerminateConnections,
    /// Something that there is not.
    Other,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As was asked.
    Done,
    /// It was the sender's fault that not.
    Refused,
    /// It was the server's fault that not.
    Failed,
}

/// Counts of requests.
#[derive(Debug, Default)]
pub struct Requests([[Count; Outcome::ALL.len()]; Endpoint::ALL.len()]);

impl Endpoint {
    const ALL: [Self; 7] = [
        Self::Events,
        Self::BatchEvents,
        Self::Channels,
        Self::Channel,
        Self::Users,
        Self::TerminateConnections,
        Self::Other,
    ];

    /// What the API's path of this shape is for.
    pub fn of_path(path: &str) -> Self {
        // The Python SDK leaves the app out of one path.
        let path = path
            .strip_prefix("/apps/")
            .and_then(|path| path.split_once('/'))
            .map_or_else(|| path.trim_start_matches('/'), |(_, path)| path);
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("events"), None, None, None) => Self::Events,
            (Some("batch_events"), None, None, None) => Self::BatchEvents,
            (Some("channels"), None, None, None) => Self::Channels,
            (Some("channels"), Some(_), None, None) => Self::Channel,
            (Some("channels"), Some(_), Some("users"), None) => Self::Users,
            (Some("users"), Some(_), Some("terminate_connections"), None) => Self::TerminateConnections,
            _ => Self::Other,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::BatchEvents => "batch_events",
            Self::Channels => "channels",
            Self::Channel => "channel",
            Self::Users => "users",
            Self::TerminateConnections => "terminate_connections",
            Self::Other => "other",
        }
    }
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// What a status says.
    pub const fn of_status(status: u16) -> Self {
        match status {
            ..400 => Self::Done,
            400..500 => Self::Refused,
            500.. => Self::Failed,
        }
    }

    /// The statuses that say so.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Done => "2xx",
            Self::Refused => "4xx",
            Self::Failed => "5xx",
        }
    }
}

impl Requests {
    /// Where such requests are counted.
    pub const fn of(&self, endpoint: Endpoint, outcome: Outcome) -> &Count {
        &self.0[endpoint as usize][outcome as usize]
    }

    /// All counts.
    pub fn all(&self) -> impl Iterator<Item = (Endpoint, Outcome, u64)> {
        let kinds = Endpoint::ALL.into_iter();
        let kinds = kinds.flat_map(|endpoint| Outcome::ALL.map(|outcome| (endpoint, outcome)));
        kinds.map(|(endpoint, outcome)| (endpoint, outcome, self.of(endpoint, outcome).total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_as_what_it_asks_for() {
        for (path, endpoint) in [
            ("/apps/1/events", Endpoint::Events),
            ("/apps/1/batch_events", Endpoint::BatchEvents),
            ("/apps/1/channels", Endpoint::Channels),
            ("/apps/1/channels/a", Endpoint::Channel),
            ("/apps/1/channels/a/users", Endpoint::Users),
            ("/apps/1/users/u/terminate_connections", Endpoint::TerminateConnections),
            ("/users/u/terminate_connections", Endpoint::TerminateConnections),
            ("/apps/1/channels/a/b", Endpoint::Other),
            ("/apps/1", Endpoint::Other),
            ("/apps/1/channels/a/users/b", Endpoint::Other),
            ("", Endpoint::Other),
        ] {
            assert_eq!(Endpoint::of_path(path), endpoint, "{path}");
        }
    }

    #[test]
    fn every_kind_of_request_has_a_count_of_its_own() {
        let requests = Requests::default();
        for endpoint in Endpoint::ALL {
            for outcome in Outcome::ALL {
                requests.of(endpoint, outcome).one();
            }
        }
        assert!(requests.all().all(|(_, _, count)| count == 1));
    }
}
