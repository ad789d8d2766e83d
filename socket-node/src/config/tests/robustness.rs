//! Whatever is given, the answer is settings or errors: no crash, no endless loop, no secret.

use proptest::{collection::vec, prelude::*, sample::select};

use super::super::{SERVER_SETTINGS, Startup};
use super::{CANARY, Operator, nothing, one_app};
use app_manager::app::settings::{APP_SETTINGS, Setting};

/// What a command line may be made of: names, parts of names, values good and bad.
fn argument() -> impl Strategy<Value = String> {
    let settings = || SERVER_SETTINGS.iter().chain(APP_SETTINGS);
    let names: Vec<_> = settings().flat_map(Setting::flag_names).map(|name| format!("--{name}")).collect();
    let values =
        ["1", "-1", "true", "redis", "a,b", "", "-", "--", "-p", "-pv", "-e=", "x y", "--=", "=", "-é"];
    let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    prop_oneof![
        select(names.clone()),
        select(values.clone()),
        (select(names), select(values)).prop_map(|(name, value)| format!("{name}={value}")),
        select(vec![
            "--app-secret",
            "--app-secret=",
            "--app-id=",
            "--app-key=!",
            "--app-webhook-url=",
            "--nonsense="
        ])
        .prop_map(|flag| format!("{flag}{CANARY}")),
        "-{0,3}[a-z]{0,4}",
    ]
}

/// JSON of any shape, with keys that are nearly settings.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e400".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just(format!("\"{CANARY}\"")),
    ];
    let key =
        select(vec!["server", "applications", "app_id", "app_secret", "webhooks", "url", "headers", "x"]);
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|entries| format!("[{}]", entries.join(","))),
            vec((key.clone(), inner), 0..4).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

/// Loads, and looks for the secret in whatever comes out.
fn assert_answered(operator: &Operator) {
    let shown = match operator.load() {
        Ok(Startup::Print(text)) => text,
        Ok(running @ Startup::Run(_)) => format!("{running:?}"),
        Err(errors) => {
            assert_eq!(errors.to_string().lines().count(), errors.lines.len(), "{errors}");
            errors.to_string()
        }
    };
    assert!(!shown.contains(CANARY), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_command_line_is_answered(args in vec(argument(), 0..8)) {
        assert_answered(&args.iter().fold(one_app(), |operator, arg| operator.arg(arg)));
    }

    #[test]
    fn any_config_file_is_answered(text in prop_oneof![json(), "\\PC{0,40}"]) {
        assert_answered(&nothing().config_file(&text));
    }

    #[test]
    fn any_env_file_is_answered(text in r#"([A-Z_]{0,3}(PORT|APP_ID)?[= '"\\$#{}a-z0-9\n\t]{0,6}){0,6}"#) {
        assert_answered(&one_app().file(".env", &text));
    }
}
