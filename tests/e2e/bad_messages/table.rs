//! Messages that no client library sends, each with what may be answered.

/// One message and its answer.
#[derive(Debug)]
pub(super) struct Case {
    /// What is tried.
    pub(super) what: String,
    /// The text that is sent.
    pub(super) text: String,
    /// What may be answered.
    pub(super) answer: Answer,
}

/// What may be answered. The connection stays in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A `pusher:error` without a code, and nothing else.
    Error,
    /// A subscription that fails: for the channel's listeners, then as an error; or, where no channel is named, as an
    /// error alone.
    Refused,
    /// A subscription that succeeds.
    Subscribed,
    /// A `pusher:pong`.
    Pong,
    /// Nothing.
    Silence,
    /// JSON leaves open what it means: it is an error, or understood in the more generous way.
    ErrorOrPong,
    /// A subscription that is generously understood, or fails.
    SubscribedOrRefused,
}

/// All cases, but for those with which the connection ends.
pub(super) fn cases() -> Vec<Case> {
    let groups = [
        no_json(),
        no_object(),
        no_event(),
        odd_pings(),
        odd_but_legal_json(),
        unsupported_events(),
        bad_subscribes(),
        odd_subscribes(),
        bad_unsubscribes(),
        bad_signins(),
        bad_client_events(),
    ];
    groups.into_iter().flatten().collect()
}

fn case(what: impl Into<String>, text: impl Into<String>, answer: Answer) -> Case {
    Case { what: what.into(), text: text.into(), answer }
}

/// One value of every type of JSON.
const VALUES: [&str; 9] =
    ["null", "true", "0", "-1.5e3", r#""""#, r#""text""#, "[]", r#"["a",1]"#, r#"{"a":{"b":null}}"#];

/// Values of every type but text.
fn no_texts() -> impl Iterator<Item = &'static str> {
    VALUES.into_iter().filter(|value| !value.starts_with('"'))
}

/// One case for each value, in the place of the `%` in a message.
fn each(
    what: &str,
    template: &str,
    values: impl IntoIterator<Item = &'static str>,
    answer: Answer,
) -> Vec<Case> {
    let of_value = |value| case(format!("{what}: {value}"), template.replace('%', value), answer);
    values.into_iter().map(of_value).collect()
}

/// Texts that are no JSON.
const NO_JSON: &[&str] = &[
    "",
    " ",
    "\n\n",
    "nonsense",
    "undefined",
    "True",
    "NaN",
    "Infinity",
    "'text'",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\0",
    "<event/>",
    "event=pusher:ping",
    "pusher:ping",
    "{}{}",
    "{}x",
    "{} {}",
    "[]]",
    "\u{feff}{}",
    "{,}",
    "{'event':'pusher:ping'}",
    "{event:\"pusher:ping\"}",
    "{\"event\"}",
    "{\"event\":}",
    "{\"event\":\"pusher:ping\"",
    "{\"event\":\"pusher:ping\",}",
    "{\"event\":\"pusher:ping\"}}",
    "{\"event\":\"pusher:ping\"}x",
    "{\"event\":\"pusher:ping\"}\0",
    "{\"event\":\"pusher:ping\"}{\"event\":\"pusher:ping\"}",
    "// {}\n{\"event\":\"pusher:ping\"}",
];

/// Texts that are no JSON where a value of it should stand.
const NO_VALUES: &[&str] = &[
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "+1",
    "01",
    "-01",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "--1",
    "tru",
    "nul",
    "[1,]",
    "[1 2]",
    "{\"a\" 1}",
    "{\"a\":1,}",
    "{1:2}",
    "\"a",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u{41}\"",
    "\"\\\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"a\0b\"",
    "\"\u{1f}\"",
];

fn no_json() -> Vec<Case> {
    let mut cases: Vec<_> =
        NO_JSON.iter().map(|text| case(format!("no JSON: {text:?}"), *text, Answer::Error)).collect();
    cases.extend(each(
        "a number or text that is none",
        r#"{"event":"pusher:ping","data":%}"#,
        NO_VALUES.iter().copied(),
        Answer::Error,
    ));
    cases
}

fn no_object() -> Vec<Case> {
    let values = VALUES.into_iter().filter(|value| !value.starts_with('{'));
    let mut cases = each("no object", "%", values, Answer::Error);
    cases.push(case("a list of messages", r#"[{"event":"pusher:ping","data":{}}]"#, Answer::Error));
    cases.push(case("a message as text", r#""{\"event\":\"pusher:ping\"}""#, Answer::Error));
    cases
}

fn no_event() -> Vec<Case> {
    let mut cases = each("an event that is no text", r#"{"event":%,"data":{}}"#, no_texts(), Answer::Error);
    for text in [
        "{}",
        r#"{"data":{}}"#,
        r#"{"Event":"pusher:ping","data":{}}"#,
        r#"{"event ":"pusher:ping"}"#,
        r#"{"":"pusher:ping"}"#,
        r#"{"name":"pusher:ping","channel":"c"}"#,
        r#"{"event":"","data":{}}"#,
        r#"{"data":{"event":"pusher:ping"}}"#,
    ] {
        cases.push(case(format!("no event: {text}"), text, Answer::Error));
    }
    cases
}

fn odd_pings() -> Vec<Case> {
    let mut cases = each("a ping with data", r#"{"event":"pusher:ping","data":%}"#, VALUES, Answer::Pong);
    let numbers = ["1e308", "-0", "0.1e-400", "18446744073709551616", "123456789012345678901234567890.5"];
    cases.extend(each("a ping with a number", r#"{"event":"pusher:ping","data":%}"#, numbers, Answer::Pong));
    for text in [
        r#"{"event":"pusher:ping"}"#,
        r#" {"data" : { } , "event" : "pusher:ping" } "#,
        r#"{"event":"\u0070usher\u003aping","data":{}}"#,
        r#"{"event":"pusher:ping","channel":"c","data":{},"id":7,"user_id":null}"#,
    ] {
        cases.push(case(format!("an odd ping: {text}"), text, Answer::Pong));
    }
    cases.push(case("a pong nobody asked for", r#"{"event":"pusher:pong","data":{}}"#, Answer::Silence));
    cases.push(case("a pong without data", r#"{"event":"pusher:pong"}"#, Answer::Silence));
    cases
}

fn odd_but_legal_json() -> Vec<Case> {
    let ping = |data: &str| format!(r#"{{"event":"pusher:ping","data":{data}}}"#);
    let nested =
        |open: &str, close: &str, depth: usize| ping(&(open.repeat(depth) + "1" + &close.repeat(depth)));
    let keys: Vec<_> = (0..5_000).map(|number| format!(r#""k{number}":{number}"#)).collect();
    let same = r#""k":1"#;
    let mut cases = vec![
        case("a list a hundred deep", nested("[", "]", 100), Answer::ErrorOrPong),
        case("a list ten thousand deep", nested("[", "]", 10_000), Answer::ErrorOrPong),
        case("an object ten thousand deep", nested(r#"{"a":"#, "}", 10_000), Answer::ErrorOrPong),
        case("a list ten thousand deep without its end", ping(&"[".repeat(10_000)), Answer::Error),
        case("nothing but brackets", "[".repeat(50_000), Answer::Error),
        case("nothing but braces", "{\"a\":".repeat(10_000), Answer::Error),
        case("five thousand keys", ping(&format!("{{{}}}", keys.join(","))), Answer::Pong),
        case(
            "five thousand keys beside the event",
            format!(r#"{{"event":"pusher:ping",{}}}"#, keys.join(",")),
            Answer::Pong,
        ),
        case("one key a thousand times", ping(&format!("{{{}}}", [same; 1_000].join(","))), Answer::Pong),
        case("a number of a thousand digits", ping(&"9".repeat(1_000)), Answer::ErrorOrPong),
        case("ten thousand spaces", " ".repeat(10_000) + &ping("{}"), Answer::Pong),
        case(
            "an event named a thousand times",
            format!("{{{}}}", [r#""event":"pusher:ping""#; 1_000].join(",")),
            Answer::ErrorOrPong,
        ),
    ];
    let duplicates = [
        r#"{"event":"pusher:ping","event":"pusher:ping"}"#,
        r#"{"event":"pusher:ping","data":{},"data":[]}"#,
        r#"{"event":"nothing","event":"pusher:ping"}"#,
        r#"{"event":"pusher:ping","event":"nothing"}"#,
        r#"{"event":"pusher:ping","event":null}"#,
        r#"{"event":"pusher:ping","\u0065vent":"nothing"}"#,
    ];
    cases.extend(duplicates.map(|text| case(format!("a key twice: {text}"), text, Answer::ErrorOrPong)));
    cases.push(case("a ping on a number", r#"{"event":"pusher:ping","channel":17}"#, Answer::ErrorOrPong));
    for number in ["1e999", "-1e999", "1e99999999999999999999"] {
        cases.push(case(format!("a number beyond all: {number}"), ping(number), Answer::ErrorOrPong));
    }
    for surrogate in [r"\ud800", r"\udfff", r"\udc00\ud800", r"\ud800x", r"\ud800\u0041"] {
        cases.push(case(
            format!("{surrogate} in data"),
            ping(&format!(r#""{surrogate}""#)),
            Answer::ErrorOrPong,
        ));
        let in_event = format!(r#"{{"event":"{surrogate}","data":{{}}}}"#);
        cases.push(case(format!("{surrogate} in the event"), in_event, Answer::Error));
        let in_key = format!(r#"{{"event":"pusher:ping","{surrogate}":1}}"#);
        cases.push(case(format!("{surrogate} in a key"), in_key, Answer::ErrorOrPong));
    }
    cases
}

fn unsupported_events() -> Vec<Case> {
    let long = "e".repeat(50_000);
    let names = [
        "nothing",
        "pusher",
        "pusher:",
        "pusher:nothing",
        "pusher:error",
        "pusher:connection_established",
        "pusher:signin_success",
        "pusher:subscription_error",
        "pusher:subscription_succeeded",
        "pusher:cache_miss",
        "pusher:Ping",
        "PUSHER:PING",
        "pusher:ping ",
        " pusher:ping",
        "pusher:ping\\u0000",
        "pusher\u{ff1a}ping",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:member_added",
        "pusher_internal:member_removed",
        "pusher_internal:subscription_count",
        "pusher_internal:watchlist_events",
        "pusher_internal:",
        "pusher:enable_delta_compression",
        "sockudo:ping",
        "__proto__",
        "\\\"},{\\\"event\\\":\\\"forged",
        "\\u202e\\r\\n\\u2028",
        &long,
    ];
    let message = |name: &str| format!(r#"{{"event":"{name}","channel":"c","data":"{{}}"}}"#);
    let of_name = |name: &str| case(format!("unsupported: {name:.60}"), message(name), Answer::Error);
    names.into_iter().map(of_name).collect()
}

fn bad_subscribes() -> Vec<Case> {
    let no_objects = VALUES.into_iter().filter(|value| *value != r#"{"a":{"b":null}}"#);
    let mut cases = vec![
        case("a subscribe without data", r#"{"event":"pusher:subscribe"}"#, Answer::Error),
        case(
            "a channel beside data",
            r#"{"event":"pusher:subscribe","channel":"c","data":{}}"#,
            Answer::Error,
        ),
        case("data as text that is no object", r#"{"event":"pusher:subscribe","data":"[1]"}"#, Answer::Error),
        case(
            "data as text of text",
            r#"{"event":"pusher:subscribe","data":"\"{\\\"channel\\\":\\\"c\\\"}\""}"#,
            Answer::Error,
        ),
        case(
            "a lone surrogate",
            r#"{"event":"pusher:subscribe","data":{"channel":"\ud800"}}"#,
            Answer::Refused,
        ),
    ];
    let subscribe = |data: &str| format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#);
    cases.extend(each("data", &subscribe("%"), no_objects, Answer::Error));
    cases.extend(each("a channel", &subscribe(r#"{"channel":%}"#), no_texts(), Answer::Error));
    cases.extend(each("auth", &subscribe(r#"{"channel":"private-a","auth":%}"#), VALUES, Answer::Refused));
    cases.extend(each(
        "auth of presence",
        &subscribe(r#"{"channel":"presence-a","auth":%}"#),
        VALUES,
        Answer::Refused,
    ));
    let data_of_presence = subscribe(r#"{"channel":"presence-a","auth":"app-key:00","channel_data":%}"#);
    cases.extend(each("channel_data", &data_of_presence, VALUES, Answer::Refused));
    let auths = [
        r#"":""#,
        r#""::""#,
        r#""app-key""#,
        r#""app-key:""#,
        r#"":00""#,
        r#""APP-KEY:00""#,
        r#""other:00""#,
        r#""app-key:zz""#,
        r#""app-key:00:00""#,
        r#""app-key:\u0000""#,
        r#""app-key:é""#,
        r#""app-secret:00""#,
    ];
    cases.extend(each("auth", &subscribe(r#"{"channel":"private-a","auth":%}"#), auths, Answer::Refused));
    let long = format!(r#"{{"channel":"private-a","auth":"app-key:{}"}}"#, "0".repeat(50_000));
    cases.push(case("an auth of fifty kilobytes", subscribe(&long), Answer::Refused));
    cases
}

/// Each subscribes to a channel of its own, because a second subscription to one is an error of another kind.
fn odd_subscribes() -> Vec<Case> {
    let data = [
        (r#"{"channel":"odd-1"}"#, Answer::Subscribed),
        (r#"{"channel":"odd-2","auth":""}"#, Answer::Subscribed),
        (r#"{"channel":"odd-3","auth":"nonsense"}"#, Answer::Subscribed),
        (r#"{"auth":null,"channel":"odd-4","channel_data":null}"#, Answer::Subscribed),
        (r#"{"channel":"odd-5","tags_filter":{"a":[1]},"delta":true,"rewind":7}"#, Answer::Subscribed),
        (r#""{\"channel\":\"odd-6\"}""#, Answer::Subscribed),
        (r#"{"channel":"\u006fdd-7"}"#, Answer::Subscribed),
        (r#"{"channel":"odd-8","auth":17}"#, Answer::SubscribedOrRefused),
        (r#"{"channel":"odd-9","channel_data":{"user_id":"1"}}"#, Answer::SubscribedOrRefused),
        (r#"{"channel":"a b","channel":"odd-10"}"#, Answer::SubscribedOrRefused),
        (r#"{"channel":"odd-11","channel":"a b"}"#, Answer::SubscribedOrRefused),
    ];
    let of_data = |(data, answer)| {
        case(format!("odd: {data}"), format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#), answer)
    };
    data.into_iter().map(of_data).collect()
}

fn bad_unsubscribes() -> Vec<Case> {
    let unsubscribe = |data: &str| format!(r#"{{"event":"pusher:unsubscribe","data":{data}}}"#);
    let mut cases = each("an unsubscribe with", &unsubscribe("%"), VALUES, Answer::Error);
    cases.extend(each("an unsubscribe from", &unsubscribe(r#"{"channel":%}"#), VALUES, Answer::Error));
    let channels = [r#""never-subscribed""#, r##""#server-to-user-u1""##, r#""a b""#, r#""private-a""#];
    cases.extend(each("an unsubscribe from", &unsubscribe(r#"{"channel":%}"#), channels, Answer::Error));
    cases.push(case("an unsubscribe without data", r#"{"event":"pusher:unsubscribe"}"#, Answer::Error));
    cases
}

fn bad_signins() -> Vec<Case> {
    let signin = |data: &str| format!(r#"{{"event":"pusher:signin","data":{data}}}"#);
    let mut cases = each("a sign-in with", &signin("%"), VALUES, Answer::Error);
    let users = [
        r#""{}""#,
        r#""[]""#,
        r#""null""#,
        r#""{\"id\":1}""#,
        r#""{\"id\":\"\"}""#,
        r#""{\"id\":\"u1\"}""#,
        r#"{"id":"u1"}"#,
    ];
    cases.extend(each(
        "the auth of a sign-in",
        &signin(r#"{"auth":%,"user_data":"{\"id\":\"u1\"}"}"#),
        VALUES,
        Answer::Error,
    ));
    cases.extend(each(
        "the user of a sign-in",
        &signin(r#"{"auth":"app-key:00","user_data":%}"#),
        VALUES,
        Answer::Error,
    ));
    cases.extend(each(
        "the user of a sign-in",
        &signin(r#"{"auth":"app-key:00","user_data":%}"#),
        users,
        Answer::Error,
    ));
    cases.push(case("a sign-in without data", r#"{"event":"pusher:signin"}"#, Answer::Error));
    cases.push(case("a sign-in without a user", signin(r#"{"auth":"app-key:00"}"#), Answer::Error));
    cases.push(case("a sign-in without auth", signin(r#"{"user_data":"{\"id\":\"u1\"}"}"#), Answer::Error));
    cases
}

fn bad_client_events() -> Vec<Case> {
    let mut cases =
        each("a client event on", r#"{"event":"client-e","channel":%,"data":"d"}"#, VALUES, Answer::Error);
    let channels = [
        r#""private-a""#,
        r#""presence-a""#,
        r#""odd-1""#,
        r##""#server-to-user-u1""##,
        r#""private-encrypted-a""#,
        r#""*""#,
    ];
    cases.extend(each(
        "a client event on",
        r#"{"event":"client-e","channel":%,"data":"d"}"#,
        channels,
        Answer::Error,
    ));
    for text in [
        r#"{"event":"client-e"}"#,
        r#"{"event":"client-e","channel":"private-mine"}"#,
        r#"{"event":"client-e","data":"d"}"#,
        r#"{"event":"client-e","data":{"channel":"private-mine"}}"#,
        r#"{"event":"client-","data":{}}"#,
    ] {
        cases.push(case(format!("a client event that lacks something: {text}"), text, Answer::Error));
    }
    let large = format!(r#"{{"event":"client-e","channel":"private-mine","data":"{}"}}"#, "d".repeat(10_241));
    cases.push(case("a client event of 10,241 bytes", large, Answer::Error));
    cases
}
