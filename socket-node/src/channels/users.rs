//! Users: signing in, watching each other, and being sent away.

use std::sync::Arc;

use app_manager::app::{App, AppId};

use super::Channels;
use crate::{
    cluster::census::Edge,
    hub::{Socket, Topic, pulse},
    protocol::{ChannelName, Frame, event},
};

/// A sign-in that was checked and may happen.
#[derive(Debug)]
pub struct SignIn {
    /// Who it is.
    pub user_id: Box<str>,
    /// Whose coming and going the connection wants to hear of.
    pub watchlist: Vec<Box<str>>,
    /// What the connection is told first.
    pub greeting: Vec<Frame>,
}

/// A connection's sign-in. It must be given back with [`Channels::sign_out`].
#[derive(Debug)]
pub struct UserSession {
    user_id: Box<str>,
    watchlist: Vec<Box<str>>,
}

impl UserSession {
    /// Who it is.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }
}

fn user_topic(app: &AppId, user_id: &str) -> Topic {
    Topic { app: app.clone(), channel: ChannelName::of_user(user_id) }
}

fn watch_topic(app: &AppId, user_id: &str) -> Topic {
    Topic { app: app.clone(), channel: ChannelName::of_watched_user(user_id) }
}

impl Channels {
    /// Makes a connection one of a user's. From now on it gets what is sent to the user, and is told who of its
    /// watchlist is there.
    pub async fn sign_in(&self, app: &App, socket: &Arc<Socket>, sign_in: SignIn) -> UserSession {
        let SignIn { user_id, watchlist, greeting } = sign_in;
        let hub = &self.shared.hub;

        // Held until the watchlist has been sent: what happens to those on it later is told later.
        let mut users = self.shared.census.users(&app.id);
        let edge = users.sign_in(&user_id);
        hub.subscribe(&user_topic(&app.id, &user_id), socket, &greeting);
        for watched in &watchlist {
            hub.subscribe(&watch_topic(&app.id, watched), socket, &[]);
        }
        let (online, offline): (Vec<&str>, Vec<&str>) =
            watchlist.iter().map(|watched| &**watched).partition(|watched| users.is_online(watched));
        if !watchlist.is_empty() {
            socket.push(&event::watchlist_events(&online, &offline));
        }
        let notice = event::watchlist_events(&[&user_id], &[]);
        let flush = (edge == Edge::First)
            .then(|| self.announce(&watch_topic(&app.id, &user_id), &notice, Some(socket.id())))
            .flatten();
        drop(users);
        if let Some(flush) = flush {
            flush.run();
        }
        UserSession { user_id, watchlist }
    }

    /// Ends what [`sign_in`](Self::sign_in) began.
    pub fn sign_out(&self, app: &AppId, socket: &Arc<Socket>, session: &UserSession) {
        let hub = &self.shared.hub;
        let mut users = self.shared.census.users(app);
        hub.unsubscribe(&user_topic(app, &session.user_id), socket.id());
        for watched in &session.watchlist {
            hub.unsubscribe(&watch_topic(app, watched), socket.id());
        }
        users.sign_out(&session.user_id, pulse::now());
    }

    /// Ends all connections that are signed in as this user.
    pub async fn terminate_user(&self, app: &App, user_id: &str) {
        for socket in self.shared.hub.subscribers(&user_topic(&app.id, user_id)) {
            socket.close(&self.shared.terminated);
        }
    }

    pub(super) fn tell_departures(&self, now: u32) {
        for (app, departed) in self.shared.census.due_departures(now) {
            for user_id in departed {
                let users = self.shared.census.users(&app);
                if users.is_online(&user_id) {
                    // Back since a moment ago, and told as coming.
                    continue;
                }
                let notice = event::watchlist_events(&[], &[&user_id]);
                let flush = self.announce(&watch_topic(&app, &user_id), &notice, None);
                drop(users);
                if let Some(flush) = flush {
                    flush.run();
                }
            }
        }
    }
}
