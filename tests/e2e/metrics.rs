//! The page for Prometheus: off unless it is asked for, complete, in the format that the scraper reads, and moved by what
//! happens.

mod apps;
mod bounds;
mod clustered;
mod moved;
mod queue;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use crate::support::{
    api::{Response, raw_request},
    cluster::Cluster,
    node::{Launch, METRICS, Node},
};

/// How long what was done may take to be on the page.
const DEADLINE: Duration = Duration::from_secs(20);

/// A node that serves metrics on a free port.
fn launch() -> Launch {
    Launch::new().flags(METRICS)
}

/// Asks for a path with these headers.
async fn ask(node: &Node, method: &str, path: &str, headers: &str) -> Response {
    let address = node.metrics.expect("metrics were asked for");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n{headers}\r\n");
    raw_request(address, request).await.expect("an answer")
}

/// The page as everybody can read it.
async fn page(node: &Node) -> String {
    ask(node, "GET", "/metrics", "").await.expect_status(200).text().to_owned()
}

/// The page of a node that shares a Redis with others: it has all metrics that there are.
async fn full_page() -> String {
    page(Cluster::of(1, launch).node(0)).await
}

/// Names and types of the metrics on a page, the names without what they all begin with.
fn types(page: &str) -> BTreeSet<(String, String)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE socket_rush_")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The page's values at one moment, by name and labels, without what all names begin with.
#[derive(Debug)]
struct Values(BTreeMap<String, f64>);

impl Values {
    async fn of(node: &Node) -> Self {
        let page = page(node).await;
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let read = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let name = name.strip_prefix("socket_rush_").expect("all names begin alike").to_owned();
            (name, value.parse().unwrap_or_else(|error| panic!("{error}: {line}")))
        };
        Self(lines.map(read).collect())
    }

    /// The values as soon as they are like this.
    async fn once(node: &Node, is_reached: impl Fn(&Self) -> bool) -> Self {
        let mut last = Self::of(node).await;
        let reached = timeout(DEADLINE, async {
            while !is_reached(&last) {
                sleep(Duration::from_millis(10)).await;
                last = Self::of(node).await;
            }
        });
        reached.await.unwrap_or_else(|_| panic!("it never came to that: {last:#?}"));
        last
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_else(|| panic!("{name} is not in {:#?}", self.0))
    }

    /// How much one has grown.
    fn growth(&self, before: &Self, name: &str) -> f64 {
        self.get(name) - before.get(name)
    }

    /// Asserts that each of these has grown, and tells how far it had come if not.
    fn assert_grown(&self, before: &Self, names: &[&str]) {
        for name in names {
            let [before, after] = [before, self].map(|values| values.get(name));
            assert!(after > before, "{name} went from {before} to {after}");
        }
    }

    fn assert_same_series(&self, before: &Self) {
        let new: Vec<_> = self.0.keys().filter(|name| !before.0.contains_key(*name)).collect();
        assert!(new.is_empty(), "what happens makes no new labels: {new:?}");
        assert_eq!(self.0.len(), before.0.len());
    }
}

#[tokio::test]
async fn metrics_are_not_served_unless_they_are_asked_for() {
    let node = Node::start();
    assert_eq!(node.metrics, None);
    node.api().request_at("GET", "/metrics").send().await.expect_status(404);
}

#[tokio::test]
async fn the_port_of_the_metrics_serves_nothing_else() {
    let node = launch().start();
    for path in ["/", "/apps/1/channels", "/metrics/", "/metrics/x", "//metrics", "/app/app-key?protocol=7"] {
        ask(&node, "GET", path, "").await.expect_status(404);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "MADEUP"] {
        let refusal = ask(&node, method, "/metrics", "Content-Length: 0\r\n").await.expect_status(405);
        assert_eq!(refusal.header("allow"), Some("GET, HEAD"));
    }
    ask(&node, "GET", "/metrics?name[]=socket_rush_panics_total", "").await.expect_status(200);
    let head = ask(&node, "HEAD", "/metrics", "").await.expect_status(200);
    assert!(head.body.is_empty(), "{head:?}");
    assert!(head.header("content-type").is_some_and(|format| format.starts_with("text/plain")), "{head:?}");
}

#[tokio::test]
async fn a_scraper_gets_open_metrics_if_it_names_it_and_else_the_format_that_all_of_them_read() {
    let node = launch().start();
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1\r\n";
    let answer = ask(&node, "GET", "/metrics", prometheus).await.expect_status(200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(answer.text().ends_with("\n# EOF\n"), "{}", answer.text());
    assert!(answer.text().contains("\n# TYPE socket_rush_panics counter\nsocket_rush_panics_total 0\n"));
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1\r\n"] {
        let answer = ask(&node, "GET", "/metrics", accept).await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert!(!answer.text().contains("EOF"), "{}", answer.text());
        assert!(
            answer.text().contains("\n# TYPE socket_rush_panics_total counter\nsocket_rush_panics_total 0\n")
        );
    }
}

#[tokio::test]
async fn every_metric_of_the_page_is_moved_by_a_test() {
    let page = full_page().await;
    let moved = |name: &str| {
        moved::ALL.concat().iter().any(|moved| {
            let moved = moved.split('{').next().unwrap_or_default();
            moved == name || moved.strip_suffix("_count") == Some(name)
        })
    };
    let untested: Vec<_> = types(&page).into_iter().filter(|(name, _)| !moved(name)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[tokio::test]
async fn the_readme_names_every_metric_and_no_other() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("there is a README");
    let named = readme.lines().filter_map(|line| line.strip_prefix("| `socket_rush_")?.split_once("` | "));
    let named: BTreeSet<_> = named
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(named, types(&full_page().await));
}
