//! Who the apps of a server are: identity, limits, secrets and signatures, and the stores they come from.
//!
//! An app's secret is readable only inside this package. Everybody else asks an [`App`](app::App) to sign or to
//! verify, and never sees the key.
//!
//! Suggested reading order: [`app`], [`secret`], [`webhook`], [`apps`], [`record`], [`store`], [`access`].

pub mod access;
pub mod app;
pub mod apps;
pub mod record;
pub mod secret;
pub mod store;
pub mod webhook;
