//! What every store of apps promises: one suite, run on each of them.
//!
//! `array` needs nothing. Another store needs a server, which the environment names; without it, its tests are ignored.
//! The tests of the whole program start such servers, and run this binary with `--include-ignored`.

#![cfg_attr(feature = "sql", expect(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

mod array;
#[cfg(feature = "aws")]
mod dynamodb;
mod fixtures;
#[cfg(feature = "sql")]
mod sql;
mod suite;

/// The suite as tests of the store that `$open` gives, an empty one each time.
macro_rules! suite_on {
    ($open:path $(, #[$attribute:meta])?) => {
        suite_on! { @tests $open, [$(#[$attribute])?],
            what_is_created_is_found_as_it_was,
            what_is_not_there_is_not_found,
            an_id_is_that_of_one_app,
            a_key_is_that_of_one_app,
            a_change_takes_the_place_of_the_version_before,
            a_change_of_something_out_of_date_is_refused,
            a_changed_key_is_free_and_the_new_one_is_taken,
            a_deleted_app_frees_its_id_and_its_key,
            a_deletion_of_something_out_of_date_is_refused,
            all_apps_are_listed_once_whatever_the_page,
            one_of_many_creations_with_the_same_key_wins,
            one_of_many_creations_with_the_same_id_wins,
            one_of_many_changes_of_the_same_version_wins,
            two_apps_that_want_each_others_key_do_not_both_lose_theirs,
            settings_of_every_kind_come_back_as_they_were,
            strange_ids_and_keys_are_those_of_no_app,
        }
    };
    (@tests $open:path, $attributes:tt, $($name:ident,)*) => {$(
        suite_on! { @test $open, $attributes, $name }
    )*};
    (@test $open:path, [$(#[$attribute:meta])?], $name:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        $(#[$attribute])?
        async fn $name() {
            crate::suite::$name(&$open().await).await;
        }
    };
}
use suite_on;
