//! What the kernel and the node itself tell of a running node.

use std::{fs, time::Duration};

use super::Node;
use crate::support::{api::raw_request, process::cpu_time};

impl Node {
    /// Its resident memory in bytes, as the kernel counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.read_proc("status");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has an RSS");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("RSS is given in kB");
        kilobytes * 1024
    }

    /// What it has used of all processors so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(self.pid())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the node runs").count()
    }

    /// A metric without labels, by its name on the page without what all names begin with. The node has to be started
    /// with [`METRICS`](super::METRICS).
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let address = self.metrics.expect("metrics were asked for");
        let request = "GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n";
        let page = raw_request(address, request).await.expect("an answer");
        let whole_name = format!("socket_rush_{name} ");
        let value = page.text().lines().find_map(|line| line.strip_prefix(whole_name.as_str()));
        let value = value.unwrap_or_else(|| panic!("{name} is not in {}", page.text()));
        value.parse().unwrap_or_else(|error| panic!("{error}: {name} is {value}"))
    }

    fn read_proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("the node runs")
    }
}
