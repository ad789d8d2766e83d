//! Nothing crosses from one app to another, whatever they are called.

use socket_node::{
    cluster::redis::census::journal::{Record, Transition},
    hub::Topic,
};

use crate::world::{ALL, World, app, exactly, member, topic, watched};

const APPS: [&str; 10] =
    ["1", "1:presence-room", "a:b", "a%3Ab", "*", "{}", "{1}:", "nul\0nul", "\u{ff}\u{10ffff}", "%"];

#[tokio::test]
async fn apps_with_any_name_have_only_what_is_theirs() {
    let world = World::new().await;
    let a = world.node().await;
    let room = |name: &str| topic(name, "presence-room");
    for name in APPS {
        a.census.enter(&room(name), ALL).await.unwrap();
        a.census.join(&room(name), &member(name), 1, ALL, false).await.unwrap();
        a.census.sign_in(&app(name), name).await.unwrap();
        assert_eq!(a.census.connect(&app(name), std::num::NonZeroU32::new(1)).await, Ok(true));
    }
    let users = APPS.map(Box::from);
    for name in APPS {
        let found = a.occupied(&app(name), "").await;
        assert_eq!((found.len(), found[0].1.subscriptions, found[0].1.users), (1, 1, 1), "{name:?}");
        let snapshot = a.census.snapshot(&room(name)).await.unwrap();
        let members: Vec<_> = snapshot.members.iter().map(|member| &*member.user_id).collect();
        assert_eq!(members, [name]);
        assert_eq!(
            snapshot.members[0].user_info.as_ref().unwrap().get(),
            member(name).user_info.unwrap().get()
        );
        assert_eq!(a.census.online(&app(name), &users).await.unwrap(), APPS.map(|other| other == name));
        assert_eq!(world.heard_of(&room(name), name), [1]);
        assert_eq!(world.heard_of(&watched(name, name), name), [3]);
    }
    a.die();
    a.census.leave_all(std::time::Duration::ZERO).await;
    let b = world.node().await;
    assert!(b.census.online(&app("1"), &users).await.is_ok());
}

#[tokio::test]
async fn the_journal_names_apps_and_users_as_they_are() {
    let world = World::new().await;
    let a = world.node().await;
    for name in APPS {
        a.join(&topic(name, "presence-room"), name, ALL).await;
    }
    let records = exactly(&mut world.journal(), APPS.len()).await;
    for name in APPS {
        let is_it = |record: &&Record| {
            let room: Topic = topic(name, "presence-room");
            record.topic == room && record.event == Transition::MemberAdded(name.into())
        };
        assert_eq!(records.iter().filter(is_it).count(), 1, "{name:?}");
    }
}
