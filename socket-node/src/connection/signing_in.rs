//! Saying which user a connection belongs to.

use app_manager::app::AuthError;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::session::{Session, SignedInUser};
use crate::{
    channels,
    protocol::{Frame, channel_name::is_legal_text, event, message::SignIn},
};

/// Characters of a user's id, as the server SDKs have it.
const MAX_USER_ID_LENGTH: usize = 200;

/// Users on one watchlist; those beyond are left out, and the client is told.
const MAX_WATCHLIST: usize = 100;

/// The code of a watchlist that is too long. It is never a reason to close.
const WATCHLIST_TOO_LONG: u16 = 4302;

/// What the customer's backend says of a user.
#[derive(Debug, Deserialize)]
struct UserData {
    id: String,
    user_info: Option<Box<RawValue>>,
    watchlist: Option<Vec<Box<str>>>,
}

impl Session {
    /// Does what a `pusher:signin` asks for, and tells how it went.
    pub(super) async fn sign_in(&mut self, request: &SignIn) {
        if let Err(message) = self.try_sign_in(request).await {
            self.complain(&message);
        }
    }

    async fn try_sign_in(&mut self, request: &SignIn) -> Result<(), String> {
        let app = self.app.load_full();
        if !app.features.user_authentication {
            return Err("User authentication is not enabled for this app".to_owned());
        }
        let SignIn { auth, user_data } = request;
        let socket_id = self.socket.id().to_string();
        app.verify_user(auth, &socket_id, user_data).map_err(|error| describe(&error))?;
        let user = parse_user(user_data)?;
        match self.user.as_ref().map(|known| known.session.user_id()) {
            Some(known) if known != user.id => {
                return Err(format!("The connection is already signed in as user '{known}'"));
            }
            Some(_) => {
                self.socket.push(&event::signin_success(user_data));
                return Ok(());
            }
            None => {}
        }
        if !self.authorize().await {
            return Ok(());
        }
        let UserData { id, user_info, watchlist } = user;
        let (watchlist, notice) = self.cut_watchlist(watchlist.unwrap_or_default());
        let greeting = [event::signin_success(user_data)].into_iter().chain(notice).collect();
        let sign_in = channels::SignIn { user_id: id.into(), watchlist, greeting };
        let session = self.sockets.shared.channels.sign_in(&app, &self.socket, sign_in).await;
        self.user = Some(Box::new(SignedInUser { session, user_info }));
        Ok(())
    }

    /// The watchlist as far as it counts, and what the client is told if that is not all of it.
    fn cut_watchlist(&self, mut watchlist: Vec<Box<str>>) -> (Vec<Box<str>>, Option<Frame>) {
        if !self.app.load().features.watchlist_events {
            return (Vec::new(), None);
        }
        let is_too_long = watchlist.len() > MAX_WATCHLIST;
        if is_too_long {
            self.sockets.shared.tally.errors.count(Some(WATCHLIST_TOO_LONG));
        }
        watchlist.truncate(MAX_WATCHLIST);
        let notice = is_too_long.then(|| {
            let message = format!(
                "The watchlist is limited to {MAX_WATCHLIST} users. Accepted were: {}",
                watchlist.join(",")
            );
            event::error(Some(WATCHLIST_TOO_LONG), &message)
        });
        watchlist.sort_unstable();
        watchlist.dedup();
        (watchlist, notice)
    }
}

fn describe(error: &AuthError) -> String {
    match error {
        AuthError::Malformed => "Invalid format: auth must have the format key:signature".to_owned(),
        AuthError::WrongKey(_) | AuthError::BadSignature { .. } => error.to_string(),
    }
}

/// Reads a user out of the JSON that the customer's backend signed.
fn parse_user(user_data: &str) -> Result<UserData, String> {
    let user: UserData = serde_json::from_str(user_data)
        .map_err(|_| "user_data must be a JSON object with an id of text".to_owned())?;
    let is_legal = |id: &str| !id.is_empty() && id.len() <= MAX_USER_ID_LENGTH && is_legal_text(id);
    if !is_legal(&user.id) {
        return Err(format!(
            "The user's id must be 1 to {MAX_USER_ID_LENGTH} of the characters legal in channel names"
        ));
    }
    if user.user_info.as_deref().is_some_and(|info| !info.get().starts_with('{')) {
        return Err(
            "user_info supplied to signin is invalid - if supplied it must be a type of hash".to_owned()
        );
    }
    if !user.watchlist.iter().flatten().all(|id| is_legal(id)) {
        return Err("watchlist must be an array of user ids".to_owned());
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_an_id_of_text() {
        assert_eq!(parse_user(r#"{"id":"u1"}"#).unwrap().id, "u1");
        let bad = ["", "{}", r#"{"id":1}"#, r#"{"id":""}"#, r#"{"id":"a b"}"#, r#"{"id":null}"#, "[]"];
        for data in bad {
            assert!(parse_user(data).is_err(), "{data}");
        }
    }

    #[test]
    fn watchlist_and_user_info_are_optional_but_not_of_any_type() {
        assert!(parse_user(r#"{"id":"u1","watchlist":["a","b"],"user_info":{"name":"x"}}"#).is_ok());
        assert!(parse_user(r#"{"id":"u1","watchlist":null,"user_info":null}"#).is_ok());
        for data in [
            r#"{"id":"u1","watchlist":[1]}"#,
            r#"{"id":"u1","watchlist":"a"}"#,
            r#"{"id":"u1","user_info":1}"#,
        ] {
            assert!(parse_user(data).is_err(), "{data}");
        }
    }
}
