//! Users: signing in, watching each other, and being sent away.

use std::sync::Arc;

use app_manager::app::{App, AppId};

use super::{Channels, Overloaded, Shared, run};
use crate::{
    cluster::{Cluster, Command, census::Edge},
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
        if let Some(cluster) = self.cluster() {
            return self.sign_in_clustered(cluster, app, socket, sign_in).await;
        }
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
        run(flush);
        UserSession { user_id, watchlist }
    }

    /// The same where users are signed in to other nodes as well. Who comes and goes is told by the census, to the
    /// watchers on all nodes.
    async fn sign_in_clustered(
        &self,
        cluster: &Cluster,
        app: &App,
        socket: &Arc<Socket>,
        sign_in: SignIn,
    ) -> UserSession {
        let SignIn { user_id, watchlist, greeting } = sign_in;
        let Shared { hub, census, .. } = &*self.shared;
        let topics: Vec<Topic> = watchlist.iter().map(|watched| watch_topic(&app.id, watched)).collect();
        let own = user_topic(&app.id, &user_id);
        let listening: Vec<_> =
            [&own].into_iter().chain(&topics).map(|topic| cluster.bus.listen(topic)).collect();
        let entered = {
            let mut users = census.users(&app.id);
            (users.sign_in(&user_id) == Edge::First).then(|| cluster.census.sign_in(&app.id, &user_id))
        };
        // Without Redis there is nobody to hear, and nobody to tell.
        for listening in listening {
            let _ = listening.await;
        }
        if let Some(entered) = entered {
            let _ = entered.await;
        }
        {
            // Held, so that nobody who leaves these topics at the same time makes the node deaf to them.
            let _users = census.users(&app.id);
            hub.subscribe(&own, socket, &greeting);
            for topic in [&own].into_iter().chain(&topics) {
                hub.subscribe(topic, socket, &[]);
                drop(cluster.bus.listen(topic));
            }
        }
        if !watchlist.is_empty() {
            let is_online = match cluster.census.online(&app.id, &watchlist).await {
                Ok(is_online) => is_online,
                Err(_) => watchlist.iter().map(|watched| census.users(&app.id).is_online(watched)).collect(),
            };
            let those_who_are = |wanted: bool| -> Vec<&str> {
                let users = watchlist.iter().zip(&is_online);
                users.filter(|(_, is_online)| **is_online == wanted).map(|(user, _)| &**user).collect()
            };
            socket.push(&event::watchlist_events(&those_who_are(true), &those_who_are(false)));
        }
        UserSession { user_id, watchlist }
    }

    /// Ends what [`sign_in`](Self::sign_in) began.
    pub fn sign_out(&self, app: &AppId, socket: &Arc<Socket>, session: &UserSession) {
        let hub = &self.shared.hub;
        let mut users = self.shared.census.users(app);
        let own = user_topic(app, &session.user_id);
        let watched = session.watchlist.iter().map(|watched| watch_topic(app, watched));
        for topic in [own].into_iter().chain(watched) {
            hub.unsubscribe(&topic, socket.id());
            if let Some(cluster) = self.cluster()
                && !hub.has_subscribers(&topic)
            {
                cluster.bus.unlisten(&topic);
            }
        }
        users.sign_out(&session.user_id, pulse::now());
    }

    /// Ends all connections that are signed in as this user, on all nodes.
    pub async fn terminate_user(&self, app: &App, user_id: &str) -> Result<(), Overloaded> {
        if let Some(cluster) = self.cluster() {
            let command =
                Command::TerminateUser { app: app.id.as_str().to_owned(), user: user_id.to_owned() };
            cluster.bus.command(&command).map_err(|_| Overloaded)?;
        }
        self.close_connections_of(&app.id, user_id);
        Ok(())
    }

    /// Ends the connections of a user to this node.
    pub(super) fn close_connections_of(&self, app: &AppId, user_id: &str) {
        for socket in self.shared.hub.subscribers(&user_topic(app, user_id)) {
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
                if let Some(cluster) = self.cluster() {
                    cluster.census.sign_out(&app, &user_id);
                    continue;
                }
                let notice = event::watchlist_events(&[], &[&user_id]);
                let flush = self.announce(&watch_topic(&app, &user_id), &notice, None);
                drop(users);
                run(flush);
            }
        }
    }
}
