//! The settings as the README shows them.

use app_manager::app::settings::{APP_SETTINGS, markdown};

use super::server_settings::SERVER_SETTINGS;

/// The README's section on settings, in Markdown: the server's table, then an app's.
pub fn table() -> String {
    let server = markdown(SERVER_SETTINGS, "");
    let app = markdown(APP_SETTINGS, "applications[].");
    format!("### Server\n\n{server}\n### Apps\n\n{app}")
}
