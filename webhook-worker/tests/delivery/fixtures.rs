//! Apps and jobs to test with.

use std::{
    fmt::Display,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use app_manager::{
    app::{
        App, AppId,
        settings::{APP_SETTINGS, Problems, Setting, Values, build},
    },
    apps::Apps,
    store::ArrayStore,
    webhook::{Endpoint, WebhookTarget},
};
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings},
    event::WebhookEvent,
    job::Job,
    target::AddressPolicy,
};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A secret that must appear nowhere.
pub(crate) const SECRET: &str = "canary-secret";

/// The app `id` with the key `key-{id}`.
pub(crate) fn app(id: &str) -> App {
    let mut values = Values::new(APP_SETTINGS);
    let mut problems = Problems::default();
    for (name, value) in [("app_id", id), ("app_key", &format!("key-{id}")), ("app_secret", SECRET)] {
        let setting = Setting::find_json(APP_SETTINGS, name).expect("every app has one");
        values.add(setting, &value.into(), name.into(), &mut problems);
    }
    build(&values, "test", &mut problems).expect("the three suffice")
}

/// The apps 1 to 3.
pub(crate) fn apps() -> Apps {
    Apps::new(ArrayStore::new(["1", "2", "3"].map(app)).expect("they differ"))
}

pub(crate) fn target(url: &str) -> WebhookTarget {
    WebhookTarget {
        endpoint: Endpoint::Url(url.into()),
        event_types: Vec::new(),
        channel_name_starts_with: None,
        channel_name_ends_with: None,
        headers: Vec::new(),
    }
}

/// A client event on `channel` whose data is `data`.
pub(crate) fn event(channel: &str, data: impl Display) -> WebhookEvent {
    WebhookEvent::ClientEvent {
        channel: channel.into(),
        event: "client-e".into(),
        data: data.to_string(),
        socket_id: "1.1".into(),
        user_id: None,
    }
}

/// A webhook of app 1, made now.
pub(crate) fn job(url: &str, events: &[WebhookEvent]) -> Job {
    Job::render(&AppId::from("1"), &target(url), events, now_ms())
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(now.as_millis()).expect("for a while")
}

/// A deliverer for receivers on the loopback interface.
pub(crate) fn deliverer(deadline: Duration) -> Deliverer {
    Deliverer::new(DeliverySettings {
        deadline,
        ..DeliverySettings::new(AddressPolicy::public_and_private())
    })
}
