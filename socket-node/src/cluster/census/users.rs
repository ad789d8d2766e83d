//! The signed-in users of an app.

use std::collections::HashMap;

use parking_lot::MappedMutexGuard;

use super::Edge;

/// Seconds for which a user who left still counts as there: a page that is loaded anew is no news.
const GRACE: u32 = 2;

/// Which users of an app are signed in.
#[derive(Debug, Default)]
pub(super) struct AppUsers {
    users: HashMap<Box<str>, SignedIn>,
    /// Users whose last connection left, with the second in which it did; some may be back.
    left: Vec<(u32, Box<str>)>,
}

#[derive(Debug, Default)]
struct SignedIn {
    connections: u32,
    /// When the last connection left.
    left: u32,
}

/// The signed-in users of an app, held.
#[derive(Debug)]
pub struct Users<'a>(MappedMutexGuard<'a, AppUsers>);

impl<'a> Users<'a> {
    pub(super) const fn new(users: MappedMutexGuard<'a, AppUsers>) -> Self {
        Self(users)
    }

    /// A connection signs in. Coming back within the grace is no edge: nobody was told that the user had left.
    pub fn sign_in(&mut self, user_id: &str) -> Edge {
        if let Some(user) = self.0.users.get_mut(user_id) {
            user.connections += 1;
            return Edge::None;
        }
        self.0.users.insert(user_id.into(), SignedIn { connections: 1, left: 0 });
        Edge::First
    }

    /// A signed-in connection leaves at this second. Whether the user is gone shows when the grace is over.
    pub fn sign_out(&mut self, user_id: &str, now: u32) {
        let Some(user) = self.0.users.get_mut(user_id) else { return };
        user.connections -= 1;
        if user.connections == 0 {
            user.left = now;
            self.0.left.push((now, user_id.into()));
        }
    }

    /// Whether the user is there, or was a moment ago.
    pub fn is_online(&self, user_id: &str) -> bool {
        self.0.users.contains_key(user_id)
    }
}

impl AppUsers {
    /// Forgets, and gives, the users whose grace is over at this second.
    pub(super) fn due_departures(&mut self, now: u32) -> Vec<Box<str>> {
        let is_due = |left: u32| now.saturating_sub(left) >= GRACE;
        let due = self.left.extract_if(.., |(left, _)| is_due(*left));
        let mut departures: Vec<_> = due.map(|(_, user_id)| user_id).collect();
        departures.retain(|user_id| {
            let is_gone = |user: &SignedIn| user.connections == 0 && is_due(user.left);
            self.users.get(user_id).is_some_and(is_gone) && self.users.remove(user_id).is_some()
        });
        departures
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Census, *};

    fn departures(census: &Census, now: u32) -> Vec<Box<str>> {
        census.due_departures(now).into_iter().flat_map(|(_, users)| users).collect()
    }

    #[test]
    fn a_user_is_gone_when_the_grace_is_over() {
        let census = Census::default();
        let app = "1".into();
        assert_eq!(census.users(&app).sign_in("a"), Edge::First);
        assert_eq!(census.users(&app).sign_in("a"), Edge::None);
        census.users(&app).sign_out("a", 10);
        census.users(&app).sign_out("a", 11);
        assert!(census.users(&app).is_online("a"));
        assert!(departures(&census, 12).is_empty());
        assert_eq!(departures(&census, 13), [Box::from("a")]);
        assert!(!census.users(&app).is_online("a"));
        assert_eq!(census.users(&app).sign_in("a"), Edge::First);
    }

    #[test]
    fn who_comes_back_in_time_never_left() {
        let census = Census::default();
        let app = "1".into();
        census.users(&app).sign_in("a");
        census.users(&app).sign_out("a", 10);
        assert_eq!(census.users(&app).sign_in("a"), Edge::None);
        assert!(departures(&census, 12).is_empty());
        census.users(&app).sign_out("a", 12);
        assert!(departures(&census, 13).is_empty());
        assert_eq!(departures(&census, 14), [Box::from("a")]);
    }
}
