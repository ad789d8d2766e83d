//! What somebody may have meant.

/// Below this likeness a suggestion confuses more than it helps.
const LEAST_LIKENESS: f64 = 0.65;

/// `; did you mean '…'?` with the name that is most like the given one, or nothing if none is.
pub(super) fn did_you_mean(given: &str, names: impl Iterator<Item = String>) -> String {
    let rated = names.map(|name| (strsim::normalized_damerau_levenshtein(given, &name), name));
    let best = rated.filter(|(likeness, _)| *likeness >= LEAST_LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default()
}
