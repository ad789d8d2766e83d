//! Apps that others have written into a store: whatever they wrote, it is an app or says what is wrong with it.

#![no_main]

use app_manager::record::AppRecord;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

fuzz_target!(|json: &str| {
    let Ok(settings) = serde_json::from_str::<Map<String, Value>>(json) else { return };
    match AppRecord::new(&settings) {
        Ok(record) => {
            let app = record.to_app();
            assert_eq!((app.id.as_str(), app.key.as_str()), (record.id(), record.key()));
            // What a store keeps of it is the same app.
            let kept = AppRecord::kept(record.id(), record.settings(), record.version()).expect("it was one");
            assert_eq!((kept.settings(), kept.version()), (record.settings(), record.version()));
            let next = record.changed(&Map::new()).expect("it goes on being one");
            assert_eq!((next.settings(), next.version()), (record.settings(), record.version() + 1));
        }
        Err(problems) => assert!(problems.iter().any(|problem| !problem.is_empty())),
    }
    // Here each value must have the type of its setting.
    let _ = AppRecord::kept("1", &settings, 1);
});
