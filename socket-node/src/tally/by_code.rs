//! Errors by their code.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The codes that are counted apart: closes of RFC 6455, refused subscriptions, and Pusher's. Whatever else may come
/// shares a count, so that no peer can make up new ones.
const CODES: [u16; 19] = [
    400, 401, 403, 1002, 1007, 1009, 4001, 4003, 4004, 4005, 4006, 4007, 4008, 4009, 4100, 4200, 4201, 4301,
    4302,
];

/// Counts of errors by code. They are rare, so plain numbers will do.
#[derive(Debug, Default)]
pub struct ByCode {
    known: [AtomicU64; CODES.len()],
    without: AtomicU64,
    other: AtomicU64,
}

impl ByCode {
    /// Counts an error; most that clients are told have no code.
    pub fn count(&self, code: Option<u16>) {
        let count = match code.map(|code| CODES.binary_search(&code)) {
            Some(Ok(at)) => &self.known[at],
            Some(Err(_)) => &self.other,
            None => &self.without,
        };
        count.fetch_add(1, Relaxed);
    }

    /// All counts, with what stands for their code.
    pub fn all(&self) -> impl Iterator<Item = (String, u64)> {
        let known = CODES.iter().map(ToString::to_string).zip(&self.known);
        let rest = [("none".to_owned(), &self.without), ("other".to_owned(), &self.other)];
        known.chain(rest).map(|(code, count)| (code, count.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_nobody_knows_share_a_count() {
        assert!(CODES.is_sorted());
        let errors = ByCode::default();
        for code in [Some(4001), Some(4001), Some(1), Some(9999), None] {
            errors.count(code);
        }
        let counted: Vec<_> = errors.all().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("4001".into(), 2), ("none".into(), 1), ("other".into(), 2)]);
    }
}
