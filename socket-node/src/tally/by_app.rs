//! What is counted for each app.

use std::collections::HashMap;

use app_manager::app::AppId;

use super::Count;

/// Apps that are counted apart. All others share one tally, so that the number of apps cannot make what is counted
/// grow without bound.
const MAX_APPS: usize = 100;

/// A tally for each of the first apps of the settings, and one for all others. Which these are is settled at the
/// start, so that nobody waits for a lock to count.
#[derive(Debug, Default)]
pub struct ByApp {
    known: HashMap<AppId, AppTally>,
    others: AppTally,
}

/// What is counted for an app.
#[derive(Debug, Default)]
pub struct AppTally {
    /// Connections that began.
    pub connections: Count,
    /// Connections that ended.
    pub disconnections: Count,
    /// Events that its backend published, each channel's apart.
    pub api_events: Count,
    /// Events that its clients sent and that went out.
    pub client_events: Count,
}

impl ByApp {
    pub(super) fn new(apps: impl IntoIterator<Item = AppId>) -> Self {
        let known = apps.into_iter().take(MAX_APPS).map(|app| (app, AppTally::default())).collect();
        Self { known, others: AppTally::default() }
    }

    /// Where this app is counted.
    pub fn of(&self, app: &AppId) -> &AppTally {
        self.known.get(app).unwrap_or(&self.others)
    }

    /// All tallies, that of the apps without one of their own under no id. In no particular order.
    pub fn all(&self) -> impl Iterator<Item = (Option<&AppId>, &AppTally)> {
        self.known.iter().map(|(app, tally)| (Some(app), tally)).chain([(None, &self.others)])
    }
}

impl AppTally {
    /// Connections that have begun and not ended.
    pub fn active(&self) -> u64 {
        // Ends are read first, so that no connection has ended before it began.
        let ended = self.disconnections.total();
        self.connections.total().saturating_sub(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_beyond_the_bound_share_a_tally() {
        let app = |number: usize| AppId::from(number.to_string().as_str());
        let apps = ByApp::new((0..2 * MAX_APPS).map(app));
        for number in 0..2 * MAX_APPS {
            apps.of(&app(number)).connections.one();
        }
        assert_eq!(apps.all().count(), MAX_APPS + 1);
        assert_eq!(apps.of(&app(0)).active(), 1);
        assert_eq!(apps.of(&app(MAX_APPS)).active(), MAX_APPS as u64);
    }
}
