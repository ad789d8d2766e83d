//! MariaDB, which stands for MySQL too.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::{DATA, Product, USER, path};
use crate::support::{
    program,
    tls::{CERTIFICATE, KEY},
};

pub(super) static PRODUCT: Product = Product {
    name: "MariaDB",
    scheme: "mysql",
    template: "mariadb.data",
    refuses_root: false,
    crash: Signal::KILL,
    ready: "ready for connections",
    program,
    arguments,
    encrypted,
    parameters: ["ssl-mode=verify_identity", "ssl-ca", "ssl-cert", "ssl-key"],
};

fn program() -> PathBuf {
    program::find("MARIADBD", "mariadb", "mariadbd")
}

fn arguments(address: SocketAddr, home: &Path) -> Vec<String> {
    let path = |name| path(home, name);
    let mut arguments = vec![
        // It would read the machine's own settings otherwise.
        "--no-defaults".to_owned(),
        format!("--datadir={}", path(DATA)),
        format!("--socket={}", path("socket")),
        format!("--bind-address={}", address.ip()),
        format!("--port={}", address.port()),
    ];
    // It runs as root only if it is told to.
    if rustix::process::geteuid().is_root() {
        arguments.push("--user=root".to_owned());
    }
    // As the data directory was made; and nothing here has to outlive the machine.
    let others = [
        "--skip-name-resolve",
        "--skip-log-bin",
        "--innodb-log-file-size=4M",
        "--innodb-buffer-pool-size=8M",
        "--innodb-data-file-path=ibdata1:4M:autoextend",
        "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
        "--innodb-doublewrite=0",
        "--innodb-flush-method=nosync",
    ];
    arguments.extend(others.map(ToOwned::to_owned));
    arguments
}

fn encrypted(home: &Path) -> Vec<String> {
    let path = |name| path(home, name);
    let rules = path("rules");
    fs::write(&rules, format!("ALTER USER {USER}@'%' REQUIRE X509;\n")).expect("the directory is ours");
    vec![
        format!("--ssl-cert={}", path(CERTIFICATE)),
        format!("--ssl-key={}", path(KEY)),
        format!("--ssl-ca={}", path(CERTIFICATE)),
        format!("--init-file={rules}"),
    ]
}
