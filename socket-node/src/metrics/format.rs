//! How the page is written: in the text format of OpenMetrics for those who ask for it, as Prometheus does, and for all
//! others in the older one of Prometheus, which every scraper reads.
//!
//! The two differ in little, but in that little readers of the one misunderstand the other: OpenMetrics names a counter
//! without the `_total` of its samples, so that an old reader takes these for metrics of no known type.

use std::{collections::HashSet, fmt::Write as _};

use hyper::{HeaderMap, header};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4.
    Plain,
}

impl Format {
    /// The one that suits these headers of a request.
    pub(super) fn wanted_in(headers: &HeaderMap) -> Self {
        let accepted =
            headers.get_all(header::ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let mut ranges = accepted.map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default());
        let names_it =
            |range: &[u8]| range.trim_ascii().eq_ignore_ascii_case(b"application/openmetrics-text");
        if ranges.any(names_it) { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its media type.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The page in this format, given the page in that of OpenMetrics.
    pub(super) fn of_open_metrics(self, page: String) -> String {
        match self {
            Self::OpenMetrics => page,
            Self::Plain => plain(&page),
        }
    }
}

/// Names counters by the name of their samples, and leaves out the end.
fn plain(page: &str) -> String {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: HashSet<_> = types.collect();
    let mut plain = String::with_capacity(page.len() + page.len() / 16);
    for line in page.lines().filter(|line| *line != "# EOF") {
        let comment = line.strip_prefix("# ").and_then(|line| {
            let (keyword, rest) = line.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(name).then_some((keyword, name, rest))
        });
        let written = match comment {
            Some((keyword, name, rest)) => writeln!(plain, "# {keyword} {name}_total {rest}"),
            None => writeln!(plain, "{line}"),
        };
        written.expect("a String takes everything");
    }
    plain
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn wanted(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Format::wanted_in(&headers)
    }

    #[test]
    fn open_metrics_is_for_those_who_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        for accept in [prometheus, "text/plain, Application/OpenMetrics-Text"] {
            assert_eq!(wanted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in
            ["", "*/*", "text/plain;version=0.0.4", "application/openmetrics", "text/html,application/*"]
        {
            assert_eq!(wanted(accept), Format::Plain, "{accept}");
        }
        assert_eq!(Format::wanted_in(&HeaderMap::new()), Format::Plain);
    }

    #[test]
    fn a_plain_page_names_counters_as_their_samples() {
        let page = "# HELP a_b Some help.\n# TYPE a_b counter\na_b_total{x=\"# TYPE a_b\"} 1\n\
                    # HELP a Help of a_b.\n# TYPE a gauge\na 2\n# EOF\n";
        let plain = "# HELP a_b_total Some help.\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE a_b\"} 1\n\
                     # HELP a Help of a_b.\n# TYPE a gauge\na 2\n";
        assert_eq!(Format::Plain.of_open_metrics(page.to_owned()), plain);
        assert_eq!(Format::OpenMetrics.of_open_metrics(page.to_owned()), page);
    }
}
