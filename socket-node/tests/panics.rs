//! Panics, in a process of their own: the hook is the process's.

use std::net::SocketAddr;

use socket_node::{
    config::{self, Purpose, Startup},
    log,
    node::Node,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A node that serves metrics, before it has begun to.
fn node() -> Node {
    let flags = "socket-rush --app-id 1 --app-key k --app-secret s --bind-address 127.0.0.1 --port 0 \
                 --metrics-enabled --metrics-port 0";
    match config::load(flags.split_whitespace(), [("", ""); 0], Purpose::Serving).expect("good settings") {
        Startup::Run(config) => Node::build(*config).expect("free ports"),
        Startup::Print(text) => panic!("instead of settings: {text}"),
    }
}

/// How many panics the page of the metrics tells of.
async fn panics_on_the_page(metrics: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(metrics).await.expect("the port is open");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\n\r\n").await.expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("a page");
    let value = page.lines().find_map(|line| line.strip_prefix("socket_rush_panics_total "));
    value.unwrap_or_else(|| panic!("it is not in {page}")).parse().expect("a number")
}

#[tokio::test]
async fn a_panic_ends_its_own_task_and_is_counted() {
    log::report_panics();
    let node = node();
    let metrics = node.metrics_address().unwrap().unwrap();
    let _running = node.start();
    assert_eq!(panics_on_the_page(metrics).await, 0);
    let other = tokio::spawn(async { 1 });
    let broken = tokio::spawn(async { panic!("a payload") });
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(other.await.unwrap(), 1);
    assert_eq!(log::panics(), 1);
    assert_eq!(panics_on_the_page(metrics).await, 1);
}
