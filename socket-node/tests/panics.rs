//! Panics, in a process of their own: the hook is the process's.

use socket_node::log;

#[tokio::test]
async fn a_panic_ends_its_own_task_and_is_counted() {
    log::report_panics();
    let other = tokio::spawn(async { 1 });
    let broken = tokio::spawn(async { panic!("a payload") });
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(other.await.unwrap(), 1);
    assert_eq!(log::panics(), 1);
}
