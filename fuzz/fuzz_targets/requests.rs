//! Signed requests of strangers: whatever the query, it is judged without a panic, and nothing is let in without a
//! signature.

#![no_main]

use std::sync::LazyLock;

use app_manager::app::{
    App, RequestAuthError, SignedRequest,
    settings::{self, APP_SETTINGS, Problems, Values},
};
use libfuzzer_sys::fuzz_target;

/// The time at which all requests arrive.
const NOW: u64 = 1_353_088_179;

static APP: LazyLock<App> = LazyLock::new(|| {
    let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
    for (name, text) in [("app_id", "3"), ("app_key", "key"), ("app_secret", "secret")] {
        let setting = APP_SETTINGS.iter().find(|setting| setting.key == name).expect("it is in the table");
        values.add(setting, &text.into(), name.to_owned(), &mut problems);
    }
    settings::build(&values, "the app", &mut problems).expect("the settings are good")
});

/// The signed form of a query of plain parameters: no escapes, names in lower case, each at most once.
fn plain_form(query: &str) -> Option<String> {
    let mut pairs: Vec<_> = query.split('&').map(|piece| piece.split_once('=')).collect::<Option<_>>()?;
    pairs.retain(|(name, _)| *name != "auth_signature");
    pairs.sort_unstable();
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte))
    };
    let is_unique = pairs.windows(2).all(|two| two[0].0 != two[1].0);
    let all_plain = pairs.iter().all(|(name, value)| is_plain(name) && is_plain(value));
    let form = || pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    (is_unique && all_plain).then(form)
}

fuzz_target!(|input: (&str, &[u8])| {
    let (rest, body) = input;
    // What every check before the signature asks for; half of the inputs bring their own instead.
    let start = if body.first().is_some_and(|byte| byte % 2 == 0) {
        format!("auth_key=key&auth_timestamp={NOW}&auth_version=1.0&")
    } else {
        String::new()
    };
    let query = format!("{start}{rest}");
    let request = SignedRequest { method: "POST", path: "/apps/3/events", query: &query, body, now: NOW };
    let refused = APP.verify_request(&request).expect_err("nobody but us can sign");
    assert!(matches!(refused.status(), 400 | 401));
    // Answers quote the request; they must not grow with it.
    assert!(refused.to_string().len() < 16 * 1024, "{} bytes of complaint", refused.to_string().len());
    if let (RequestAuthError::BadSignature { to_sign, .. }, Some(form)) = (&refused, plain_form(&query)) {
        let plain = format!("POST\n/apps/3/events\n{form}");
        assert!(plain.starts_with(to_sign.as_str()), "{to_sign:?} is to be signed instead of {plain:?}");
        assert!(to_sign.len() == plain.len() || to_sign.len() >= 1000);
    }
});
