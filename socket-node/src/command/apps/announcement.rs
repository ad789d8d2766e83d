//! Telling nodes that apps have changed.

use std::io::Write;

use super::Desk;
use crate::{cluster::announce_app_changes, config::Driver};

impl Desk<'_> {
    /// Tells the nodes that these apps were created, changed or deleted, if there is a way to tell them, and says when they
    /// know. The change is made by now, so nothing that fails here fails the command.
    pub(super) async fn announce(&self, ids: &[String], output: &mut impl Write) -> anyhow::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let seconds = self.config.app_freshness.app.as_secs();
        let later = format!("nodes notice it within {seconds} s (app_cache_ttl_seconds)");
        let what = match self.config.adapter {
            Driver::Local => later,
            Driver::Redis => {
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                match announce_app_changes(&self.config.redis, &ids).await {
                    Ok(nodes) => format!("nodes told over Redis: {nodes}; all others: {later}"),
                    Err(error) => format!("nodes cannot be told over Redis ({error:#}): {later}"),
                }
            }
        };
        // What a machine reads is the answer alone.
        if self.as_json {
            eprintln!("{what}")
        } else {
            writeln!(output, "{what}")?
        }
        Ok(())
    }
}
