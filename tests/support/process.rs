//! Signals to the processes that a test has started, and to no others; and what they have used.

use std::{fs, process::Child, time::Duration};

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

/// What a process has used of all processors so far. The kernel counts hundredths of a second.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    // Fields 14 and 15 of proc(5), counted from the third.
    let ticks: u64 = [11, 12].into_iter().map(|field| fields[field].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn pid(process: &Child) -> Pid {
    Pid::from_raw(process.id().cast_signed()).expect("a child's id is a process id")
}
