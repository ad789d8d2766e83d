//! Signals to the processes that a test has started, and to no others.

use std::process::Child;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Sends a signal to a process that may have ended.
pub(crate) fn signal(process: &Child, signal: Signal) {
    // What it ended with is for the caller to see.
    let _ended = kill_process(pid(process), signal);
}

/// Stops a process in the middle of what it does, and waits until all of its threads stand. Its connections stay open,
/// and nothing on them is answered.
pub(crate) fn freeze(process: &Child) {
    kill_process(pid(process), Signal::STOP).expect("it runs");
    let status = waitpid(Some(pid(process)), WaitOptions::UNTRACED).expect("it is our child");
    assert!(status.is_some_and(|(_, status)| status.stopped()), "it ended instead: {status:?}");
}

/// Lets it go on.
pub(crate) fn thaw(process: &Child) {
    signal(process, Signal::CONT);
}

fn pid(process: &Child) -> Pid {
    Pid::from_raw(process.id().cast_signed()).expect("a child's id is a process id")
}
