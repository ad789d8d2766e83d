//! What is wrong with the settings.

/// Everything that is wrong with what was set, one line each. No line ever holds a secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    lines: Vec<String>,
}

impl Problems {
    /// Adds what is wrong with the thing that `source` names, such as `--port` or `applications[1].app_id`.
    pub fn add(&mut self, source: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.lines.push(format!("{source}: {what}"));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, in the order in which they were added.
    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}
