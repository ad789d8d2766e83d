//! PostgreSQL, over TCP alone.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::{DATA, Product, path};
use crate::support::tls::{CERTIFICATE, KEY};

pub(super) static PRODUCT: Product = Product {
    name: "PostgreSQL",
    scheme: "postgres",
    template: "postgres.data",
    refuses_root: true,
    // To be killed, its first process alone would die; this one ends the others too, and leaves as much behind.
    crash: Signal::QUIT,
    ready: "database system is ready to accept connections",
    program,
    arguments,
    encrypted,
    parameters: ["sslmode=verify-full", "sslrootcert", "sslcert", "sslkey"],
};

/// The server's program: in the folder that is named in the environment, else the one that `tests/run` has unpacked, else
/// the system's.
fn program() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/postgres/bin/postgres");
    match env::var_os("POSTGRES_BIN") {
        Some(folder) => Path::new(&folder).join("postgres"),
        None if unpacked.exists() => unpacked,
        None => "postgres".into(),
    }
}

fn arguments(address: SocketAddr, home: &Path) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), path(home, DATA)];
    arguments.extend(settings([
        format!("listen_addresses={}", address.ip()),
        format!("port={}", address.port()),
        "unix_socket_directories=".to_owned(),
        // Nothing here has to outlive the machine, and nothing is to be left behind outside of the data directory.
        "fsync=off".to_owned(),
        "dynamic_shared_memory_type=mmap".to_owned(),
        "shared_buffers=16MB".to_owned(),
    ]));
    arguments
}

fn encrypted(home: &Path) -> Vec<String> {
    let path = |name| path(home, name);
    let rules = path("rules");
    fs::write(&rules, "hostssl all all all scram-sha-256 clientcert=verify-ca\n")
        .expect("the directory is ours");
    settings([
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", path(CERTIFICATE)),
        format!("ssl_key_file={}", path(KEY)),
        format!("ssl_ca_file={}", path(CERTIFICATE)),
        format!("hba_file={rules}"),
    ])
    .collect()
}

fn settings<const N: usize>(settings: [String; N]) -> impl Iterator<Item = String> {
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting])
}
