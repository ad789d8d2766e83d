//! Signals to the processes that a test has started, and to no others; what they have used, and what they have said.

use std::{collections::HashMap, fs, path::Path, process::Child, time::Duration};

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

/// Prints what a program has logged, for whoever looks why a test failed. It does not panic: what is called while a test
/// panics would end the test binary by that, and with it all that other tests have to say.
pub(crate) fn print_log(whose: &str, file: &Path) {
    match fs::read(file) {
        Ok(log) => eprintln!("--- log of {whose}\n{}---", String::from_utf8_lossy(&log)),
        Err(error) => eprintln!("--- log of {whose}: {error} ---"),
    }
}

/// What a process has used of all processors so far. The kernel counts hundredths of a second.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let fields = stat(pid).expect("it runs");
    let ticks: u64 =
        [14, 15].into_iter().map(|field| fields[field - 3].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// What the kernel says of a process that is there, from the third field of proc(5) on: behind its name, which stands in
/// parentheses and may have some in it.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Kills what a process has started, directly or not, and runs this program. How many that were.
pub(crate) fn kill_started_by(process: &Child, program: &Path) -> usize {
    let parents = parents();
    let is_descendant = |pid: u32| {
        let mut ancestors = std::iter::successors(parents.get(&pid), |parent| parents.get(parent));
        ancestors.any(|ancestor| *ancestor == process.id())
    };
    let runs_it = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    let pids = parents.keys().copied().filter(|pid| is_descendant(*pid) && runs_it(*pid));
    let pids = pids.map(|pid| Pid::from_raw(pid.cast_signed()).expect("a process has an id"));
    // It may end by itself meanwhile.
    pids.filter(|pid| kill_process(*pid, Signal::KILL).is_ok()).count()
}

/// All processes, each with who has started it.
fn parents() -> HashMap<u32, u32> {
    let parent = |pid: u32| Some((pid, stat(pid)?[4 - 3].parse().ok()?));
    let entries = fs::read_dir("/proc").expect("this is Linux").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(parent).collect()
}

fn pid(process: &Child) -> Pid {
    Pid::from_raw(process.id().cast_signed()).expect("a child's id is a process id")
}
