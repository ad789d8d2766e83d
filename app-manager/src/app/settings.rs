//! What can be set about an app, and how what was set becomes an [`App`](super::App).
//!
//! One table, [`APP_SETTINGS`], defines every setting once; flags, environment variables, JSON keys, `--help` and the
//! README are readings of it, and so is whatever a store keeps of an app. Whoever reads a source fills [`Values`],
//! which checks each value as it comes in; [`fn@build`] makes the app of them. What is wrong is gathered in
//! [`Problems`] rather than returned at the first mistake, so that an operator sees all of them at once.
//!
//! Suggested reading order: [`Setting`], [`APP_SETTINGS`], [`Values`], [`fn@build`].

mod address;
mod arn;
mod build;
mod checks;
mod markdown;
mod problems;
mod setting;
mod table;
mod value;
mod values;
mod webhooks;

pub use address::{host_and_port, read_origin};
pub use arn::{read_function, read_topic_arn, region_of};
pub use build::build;
pub(crate) use checks::is_app_key;
pub use markdown::markdown;
pub use problems::Problems;
pub use setting::{Check, Kind, Places, Setting};
pub use table::{APP_SETTINGS, CREDENTIALS};
pub use value::{Hidden, Value, without_credentials};
pub use values::{Given, Values};
