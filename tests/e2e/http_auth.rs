//! Who may call the HTTP API: what signatures cover, what is refused, and in which words.

use serde_json::{Value, json};

use crate::support::{
    api::{Api, Request, Response, SignedRequest, escaped, md5_hex, unix_seconds},
    node::Node,
    signing::Credentials,
};

/// What the request is, the request, and what must be said about it.
type Case<'a> = (&'static str, SignedRequest<'a>, &'static str);

/// Sends them all, and only then complains, of all that went wrong at once.
async fn expect_all(cases: Vec<Case<'_>>, status: u16) {
    let mut complaints = Vec::new();
    for (what, request, says) in cases {
        let response = request.send().await;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        if response.status != status || !text.contains(says) || !is_well_told(&response) {
            complaints.push(format!("{what}: expected {status} {says:?}, got {} {text}", response.status));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Every body is JSON, because the .NET SDK parses all of them, and one about a failure holds its text and status.
fn is_well_told(response: &Response) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else { return false };
    let is_json = response.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let is_failure = response.status >= 400;
    is_json
        && body.is_object()
        && (!is_failure || body["error"].is_string() && body["code"] == response.status)
}

fn read(api: &Api) -> Request<'_> {
    api.request("GET", "/channels")
}

fn publish(api: &Api) -> Request<'_> {
    api.request("POST", "/events").json(json!({"name": "e", "channels": ["c"], "data": "d"}))
}

#[tokio::test]
async fn the_ways_in_which_sdks_write_a_request_are_all_accepted() {
    let node = Node::start();
    let api = Api::on(&node);
    let presence =
        api.request("GET", "/channels?filter_by_prefix=presence-&info=user_count,subscription_count");
    let with_comma =
        |comma: &'static str| presence.clone().sign().map_query(|query| query.replace(',', comma).into());
    let cases = vec![
        ("the plain form", read(&api).sign(), ""),
        ("a publish", publish(&api).sign(), "{}"),
        ("the signature in front", publish(&api).sign().reversed(), "{}"),
        ("commas as they are", presence.clone().sign(), "{"),
        ("commas escaped by Guzzle and Java", with_comma("%2C"), "{"),
        ("escapes in lower case", with_comma("%2c"), "{"),
        (
            "escapes where none are needed",
            read(&api).sign().map_query(|q| q.replace("auth", "%61uth").into()),
            "{",
        ),
        (
            "the md5 of no body, as Python's GET has it",
            read(&api).param("body_md5", &md5_hex(b"")).sign(),
            "{",
        ),
        ("a name in upper case, signed in lower", read(&api).param("Name", "Something else").sign(), "{"),
        ("an unknown parameter", publish(&api).param("flavour", "x").sign(), "{}"),
        ("an empty parameter", read(&api).param("flavour", "").sign(), "{"),
        ("an escaped plus", read(&api).param("flavour", "a+b").sign(), "{"),
        ("an escaped ampersand", read(&api).param("flavour", "a&b=c").sign(), "{"),
        ("text beyond ASCII", read(&api).param("flavour", "crème 🍮").sign(), "{"),
        ("an array of Ruby's", publish(&api).param("k[]", "b").param("k[]", "a").sign(), "{}"),
    ];
    expect_all(cases, 200).await;
}

#[tokio::test]
async fn the_content_type_decides_nothing() {
    let node = Node::start();
    let api = Api::on(&node);
    let typed = |kind| publish(&api).header("Content-Type", kind).sign();
    let cases = vec![
        (".NET's", typed("application/json; charset=utf-8"), "{}"),
        ("text", typed("text/plain"), "{}"),
        ("a form", typed("application/x-www-form-urlencoded"), "{}"),
        ("none", typed(""), "{}"),
        ("nonsense", typed("\"//;;"), "{}"),
    ];
    expect_all(cases, 200).await;
}

#[tokio::test]
async fn a_missing_or_empty_parameter_is_refused_whether_or_not_the_rest_is_signed() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut cases = Vec::new();
    for (name, says) in [
        ("auth_key", "Missing parameter: auth_key"),
        ("auth_version", "Version required"),
        ("auth_timestamp", "Timestamp required"),
        ("body_md5", ""),
    ] {
        cases.push((name, publish(&api).omit(name).sign(), says));
        cases.push((name, publish(&api).sign().remove(name), says));
    }
    cases.push(("auth_signature", publish(&api).sign().remove("auth_signature"), ""));
    cases.push(("an empty version", publish(&api).param("auth_version", "").sign(), "Version"));
    cases.push(("an empty time", publish(&api).param("auth_timestamp", "").sign(), "Timestamp"));
    cases.push(("an empty md5", publish(&api).param("body_md5", "").sign(), ""));
    cases.push(("an empty signature", publish(&api).sign().set("auth_signature", ""), ""));
    cases.push((
        "no query at all",
        publish(&api).sign().map_query(|_| Vec::new()),
        "Missing parameter: auth_key",
    ));
    cases.push((
        "only ampersands",
        publish(&api).sign().map_query(|_| b"&&&".into()),
        "Missing parameter: auth_key",
    ));
    expect_all(cases, 401).await;
}

#[tokio::test]
async fn only_version_1_0_is_supported() {
    let node = Node::start();
    let api = Api::on(&node);
    let versions = ["1.1", "2.0", "1", "1.00", "01.0", "1.0 ", " 1.0", "1,0", "one"];
    let cases = versions
        .map(|version| (version, read(&api).param("auth_version", version).sign(), "Version not supported"));
    expect_all(cases.into(), 401).await;
}

#[tokio::test]
async fn a_time_less_than_600_seconds_off_is_accepted_on_both_sides() {
    let node = Node::start();
    let api = Api::on(&node);
    // The past has a second to spare, for a request that is sent in one second and read in the next.
    let offsets = [("past", -598), ("slightly past", -6), ("slightly future", 6), ("future", 599)];
    let cases = offsets.map(|(what, offset)| (what, read(&api).seconds_from_now(offset).sign(), "{"));
    expect_all(cases.into(), 200).await;
}

#[tokio::test]
async fn a_time_600_seconds_off_or_more_is_refused_on_both_sides() {
    let node = Node::start();
    let api = Api::on(&node);
    let offsets =
        [("past", -600), ("further past", -601), ("future", 601), ("far", 86_400), ("long ago", -86_400)];
    let cases = offsets.map(|(what, offset)| {
        (what, read(&api).seconds_from_now(offset).sign(), "not within 600s of server time")
    });
    expect_all(cases.into(), 401).await;
}

#[tokio::test]
async fn a_time_that_is_none_is_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let in_milliseconds = (unix_seconds() * 1000).to_string();
    let fractional = format!("{}.5", unix_seconds());
    let times = [
        ("the first second of time, which replays for ever elsewhere", "1"),
        ("zero", "0"),
        ("negative", "-1"),
        ("the least number", "-9223372036854775808"),
        ("the greatest number", "9223372036854775807"),
        ("more than any number", "99999999999999999999999"),
        ("milliseconds", &in_milliseconds),
        ("a fraction", &fractional),
        ("an exponent", "1e9"),
        ("a word", "now"),
        ("a space", " "),
        ("not a number", "NaN"),
        ("other digits", "١٧٩٥٣٩٩٩١٨"),
    ];
    let cases =
        times.map(|(what, time)| (what, read(&api).param("auth_timestamp", time).sign(), "Timestamp"));
    expect_all(cases.into(), 401).await;
}

#[tokio::test]
async fn a_wrong_signature_is_answered_with_what_should_have_been_signed() {
    let node = Node::start();
    let api = Api::on(&node);
    let response = publish(&api).sign().set("auth_signature", "abc").send().await.expect_status(401);
    let error = response.json()["error"].as_str().unwrap().to_owned();
    let start =
        r#"Invalid signature: you should have sent HmacSHA256Hex("POST\n/apps/1/events\nauth_key=app-key&"#;
    assert!(error.starts_with(start), "{error}");
    assert!(error.ends_with(r#", your_secret_key), but you sent "abc""#), "{error}");
}

#[tokio::test]
async fn a_wrong_signature_is_refused_in_every_form() {
    let node = Node::start();
    let api = Api::on(&node);
    let signatures = [
        ("three letters", "abc".to_owned()),
        ("zeros", "0".repeat(64)),
        ("too short", "a".repeat(63)),
        ("too long", "a".repeat(65)),
        ("far too long", "a".repeat(4096)),
        ("no hex", "z".repeat(64)),
        ("beyond ASCII", "é".repeat(32)),
        ("NULs", "\0".repeat(64)),
        ("quotes", "\"\\\n".to_owned()),
    ];
    let cases = signatures.map(|(what, signature)| {
        (
            what,
            publish(&api).sign().set("auth_signature", &signature),
            "Invalid signature: you should have sent",
        )
    });
    expect_all(cases.into(), 401).await;
}

#[tokio::test]
async fn whatever_is_changed_after_signing_is_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let prefixed = || api.request("GET", "/channels?filter_by_prefix=a").sign();
    let array = || publish(&api).param("k[]", "a").param("k[]", "b").sign();
    let other_body = r#"{"name":"e","channels":["c"],"data":"D"}"#;
    let swapped =
        |query: String| query.replace("=a&", "=x&").replace("=b&", "=a&").replace("=x&", "=b&").into();
    let cases = vec![
        ("the path", read(&api).sign().path("/apps/1/channels/a"), ""),
        ("the body", publish(&api).sign().body(other_body), ""),
        (
            "the body with its md5",
            publish(&api).sign().body(other_body).set("body_md5", &md5_hex(other_body.as_bytes())),
            "",
        ),
        ("the body cut off", publish(&api).sign().body(r#"{"name":"e","#), ""),
        ("the body emptied", publish(&api).sign().body(""), ""),
        ("the body with a line feed more", publish(&api).sign().body(format!("{other_body}\n")), ""),
        ("a body where none was", read(&api).sign().body(other_body), ""),
        ("the time", read(&api).sign().set("auth_timestamp", &(unix_seconds() + 5).to_string()), ""),
        ("a parameter changed", prefixed().set("filter_by_prefix", "b"), ""),
        ("a parameter removed", prefixed().remove("filter_by_prefix"), ""),
        ("a parameter added", read(&api).sign().append("filter_by_prefix", "a"), ""),
        ("a parameter repeated", prefixed().append("filter_by_prefix", "b"), ""),
        ("a parameter repeated in front", prefixed().append("filter_by_prefix", "b").reversed(), ""),
        ("the key repeated", read(&api).sign().append("auth_key", "app-key"), ""),
        ("the order of an array", array().map_query(swapped), ""),
        (
            "one of an array removed",
            array().map_query(|query| query.replacen("k%5B%5D=a&", "", 1).into()),
            "",
        ),
    ];
    expect_all(cases, 401).await;
}

#[tokio::test]
async fn a_signature_is_for_one_method() {
    let node = Node::start();
    let api = Api::on(&node);
    assert_eq!(read(&api).sign().method("HEAD").send().await.status, 401);
    assert_eq!(api.request("HEAD", "/channels").sign().method("GET").send().await.status, 401);
}

#[tokio::test]
async fn a_body_md5_that_is_signed_but_not_the_bodys_is_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let sums = [md5_hex(b"another"), md5_hex(b""), "0".repeat(32), "no md5".to_owned()];
    let mut cases = Vec::new();
    for sum in &sums {
        cases.push(("of a publish", publish(&api).param("body_md5", sum).sign(), ""));
    }
    cases.push(("of a GET", read(&api).param("body_md5", &md5_hex(b"another")).sign(), ""));
    expect_all(cases, 401).await;
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_and_harms_nobody() {
    let node = Node::start();
    let api = Api::on(&node);
    let tails: [(&str, Vec<u8>); 11] = [
        ("bytes that are no UTF-8", b"&x=\xFF\xFE".to_vec()),
        ("escaped bytes that are no UTF-8", b"&x=%FF%FE".to_vec()),
        ("a lone surrogate", b"&x=%ED%A0%80".to_vec()),
        ("an overlong slash", b"&x=%C0%AF".to_vec()),
        ("a lone percent", b"&x=%".to_vec()),
        ("half an escape", b"&x=%2".to_vec()),
        ("no escape", b"&x=%zz".to_vec()),
        ("an escaped NUL", b"&x=%00".to_vec()),
        ("escaped line ends", b"&x=%0d%0aX-Y:%20z".to_vec()),
        ("a thousand parameters", b"&x=1".repeat(1000)),
        ("a huge parameter", [b"&x=".to_vec(), vec![b'a'; 60_000]].concat()),
    ];
    for (what, tail) in tails {
        let tampered = read(&api).sign().map_query(|query| [query.into_bytes(), tail].concat());
        let answer = tampered.send_or_be_cut_off().await;
        let refused = answer.as_ref().is_none_or(|response| (400..500).contains(&response.status));
        assert!(refused, "{what}: {answer:?}");
    }
    assert_eq!(api.get("/channels").await.status, 200);
}

#[tokio::test]
async fn a_huge_parameter_that_is_signed_is_no_reason_to_fail() {
    let node = Node::start();
    let api = Api::on(&node);
    let response = read(&api).param("flavour", &"a".repeat(2_000)).send().await;
    assert_eq!(response.status, 200, "{}", response.text());
    let response = read(&api).param("flavour", &"a".repeat(1_000_000)).sign().send_or_be_cut_off().await;
    assert!(
        response.is_none_or(|response| (400..500).contains(&response.status)),
        "a megabyte of query is refused"
    );
}

/// Two good apps and a disabled one.
fn node_with_three_apps() -> Node {
    Node::from_config(&json!({"applications": [
        {"app_id": "1", "app_key": "key-one", "app_secret": "secret-one"},
        {"app_id": "2", "app_key": "key-two", "app_secret": "secret-two"},
        {"app_id": "3", "app_key": "key-three", "app_secret": "secret-three", "app_enabled": false},
    ]}))
}

#[tokio::test]
async fn a_key_opens_its_own_app_and_no_other() {
    let node = node_with_three_apps();
    let mixed = |id, key, secret| Api::of(&node, &Credentials::new(id, key, secret));
    assert_eq!(mixed("1", "key-one", "secret-one").get("/channels").await.status, 200);
    assert_eq!(mixed("2", "key-two", "secret-two").get("/channels").await.status, 200);
    for (what, api) in [
        ("another app's key and secret", mixed("1", "key-two", "secret-two")),
        ("another app's secret", mixed("1", "key-one", "secret-two")),
        ("another app's key", mixed("1", "key-two", "secret-one")),
        ("its key as the secret", mixed("1", "key-one", "key-one")),
        ("no secret", mixed("1", "key-one", "")),
    ] {
        expect_all(vec![(what, read(&api).sign(), ""), (what, publish(&api).sign(), "")], 401).await;
    }
}

#[tokio::test]
async fn an_unknown_key_is_answered_as_the_real_service_does() {
    let node = Node::start();
    let api = Api::of(&node, &Credentials::new("1", "nobodys", "app-secret"));
    expect_all(vec![("unknown", read(&api).sign(), "Unknown auth_key")], 400).await;
    let case = read(&api).param("auth_key", &"k".repeat(2_000)).sign();
    expect_all(vec![("unknown and long", case, "Unknown auth_key")], 400).await;
}

#[tokio::test]
async fn a_disabled_app_is_forbidden_and_an_unknown_one_not_found() {
    let node = node_with_three_apps();
    let disabled = Api::of(&node, &Credentials::new("3", "key-three", "secret-three"));
    expect_all(vec![("read", read(&disabled).sign(), ""), ("publish", publish(&disabled).sign(), "")], 403)
        .await;
    for id in ["999", "nobody", "0", "-1", "1%00", "1*", "%2A", "1:2"] {
        let unknown = Api::of(&node, &Credentials::new(id, "key-one", "secret-one"));
        expect_all(vec![("read", read(&unknown).sign(), ""), ("publish", publish(&unknown).sign(), "")], 404)
            .await;
    }
}

#[tokio::test]
async fn python_terminates_users_without_naming_the_app_in_the_path() {
    let node = node_with_three_apps();
    let api = Api::on(&node);
    let mut user = node.connect().await;
    user.sign_in(json!({"id": "u1"})).await;
    let terminate = |api| Api::request_at(api, "POST", "/users/u1/terminate_connections").json("{}").sign();

    let other_app = Api::of(&node, &Credentials::new("2", "key-two", "secret-two"));
    assert_eq!(terminate(&other_app).send().await.text(), "{}");
    user.expect_quiet().await;
    expect_all(vec![("tampered", terminate(&api).set("auth_signature", "abc"), "Invalid signature")], 401)
        .await;
    user.expect_quiet().await;

    assert_eq!(terminate(&api).send().await.expect_status(200).text(), "{}");
    user.expect_end(4009).await;
}

#[tokio::test]
async fn the_path_is_signed_as_it_stands_in_the_request_line() {
    let node = Node::start();
    let api = Api::on(&node);
    let terminate =
        |user: &str| api.request("POST", &format!("/users/{user}/terminate_connections")).json("{}");
    for user in ["u@1;=,", "u.1", "u-_1", "%75%31", "u%401"] {
        assert_eq!(terminate(user).send().await.expect_status(200).text(), "{}", "{user}");
    }
    let unescaped = terminate("u1").sign().path("/apps/1/users/%751/terminate_connections");
    expect_all(vec![("a path escaped after signing", unescaped, "Invalid signature")], 401).await;
    let slashed = api.request("POST", "/events/").json("{}").send().await;
    assert_eq!(slashed.status, 404, "no other path than the documented one: {}", slashed.text());
}

#[tokio::test]
async fn no_answer_to_a_failed_request_holds_a_secret_or_a_right_signature() {
    let node = Node::start();
    let api = Api::on(&node);
    let right =
        String::from_utf8(publish(&api).param("auth_timestamp", "1353088179").sign().to_bytes()).unwrap();
    let signature = right.split("auth_signature=").nth(1).unwrap().split(['&', ' ']).next().unwrap();
    for request in [
        publish(&api).param("auth_timestamp", "1353088179").sign(),
        publish(&api).param("auth_timestamp", "1353088179").sign().set("auth_signature", "abc"),
        publish(&api).sign().set("auth_signature", "abc"),
        publish(&api).sign().body("{}"),
        api.request("POST", "/events").json("{").sign(),
    ] {
        let response = request.send().await;
        assert!(response.status >= 400, "{response:?}");
        for hidden in ["app-secret", signature, &escaped("app-secret")] {
            assert!(!response.text().contains(hidden), "{}", response.text());
            assert!(
                response.headers.iter().all(|(_, value)| !value.contains(hidden)),
                "{:?}",
                response.headers
            );
        }
    }
    assert!(!node.log().contains("app-secret"), "{}", node.log());
}
