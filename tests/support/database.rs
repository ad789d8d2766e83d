//! A PostgreSQL or MariaDB of a test's own, which it may kill and start again.

mod mariadb;
mod postgres;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, geteuid};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Row as _, any::AnyConnectOptions};
use tempfile::TempDir;

use super::{
    port::Port,
    process::signal,
    tls::{CERTIFICATE, Identity, KEY},
};

/// How long a server may take to start, and to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(5);

/// Who may do everything, in the database of the same name.
const USER: &str = "rush";

/// The password of that user, as `tests/run` gave it. It stands nowhere else, so that it is found wherever it must not be.
pub(crate) const PASSWORD: &str = "canary-database-password";

/// The files in a server's home that take its log and hold its data.
const LOG: &str = "database.log";
const DATA: &str = "data";

/// A server on a copy of the data directory that `tests/run` has made: a tenth of a second for PostgreSQL, and half a one
/// for MariaDB. It ends with this value, and also with the thread that started it, if that is killed.
#[derive(Debug)]
pub(crate) struct Database {
    /// Where it listens, also while it does not run.
    pub(crate) address: SocketAddr,
    _port: Port,
    product: &'static Product,
    arguments: Vec<String>,
    /// What its URL ends with.
    parameters: String,
    process: Child,
    home: TempDir,
}

/// What tells one kind of server from another.
#[derive(Debug)]
struct Product {
    name: &'static str,
    /// The scheme of its URLs.
    scheme: &'static str,
    /// The data directory that is copied.
    template: &'static str,
    /// Whether it refuses to run as root.
    refuses_root: bool,
    /// The signal that ends it as a crash would, with all of its processes.
    crash: Signal,
    /// What it logs when clients may come.
    ready: &'static str,
    program: fn() -> PathBuf,
    arguments: fn(SocketAddr, &Path) -> Vec<String>,
    /// What it is given besides to speak TLS, with the certificate in its home, and with nobody who does not show the same.
    encrypted: fn(&Path) -> Vec<String>,
    /// How its URL asks for TLS with a server that is known, and what it calls the authority, the certificate and the key.
    parameters: [&'static str; 4],
}

impl Database {
    /// A PostgreSQL on a free port of the loopback address, once it answers.
    pub(crate) fn postgres() -> Self {
        Self::start(&postgres::PRODUCT, None)
    }

    /// A MariaDB on a free port of the loopback address, once it answers.
    pub(crate) fn mariadb() -> Self {
        Self::start(&mariadb::PRODUCT, None)
    }

    /// A PostgreSQL that speaks TLS, and with nobody who does not show this certificate too.
    pub(crate) fn postgres_over_tls(identity: &Identity) -> Self {
        Self::start(&postgres::PRODUCT, Some(identity))
    }

    /// A MariaDB like that.
    pub(crate) fn mariadb_over_tls(identity: &Identity) -> Self {
        Self::start(&mariadb::PRODUCT, Some(identity))
    }

    fn start(product: &'static Product, identity: Option<&Identity>) -> Self {
        let temporary = TempDir::new().expect("a directory for temporary files");
        let (home, port) = (temporary.path(), Port::reserve());
        copy(product, &home.join(DATA));
        let mut arguments = (product.arguments)(port.address, home);
        let mut parameters = String::new();
        if let Some(identity) = identity {
            identity.put_into(home);
            arguments.extend((product.encrypted)(home));
            let [mode, authority, certificate, key] = product.parameters;
            let [shown, secret] = [CERTIFICATE, KEY].map(|name| path(home, name));
            parameters = format!("?{mode}&{authority}={shown}&{certificate}={shown}&{key}={secret}");
        }
        let process = spawn(product, port.address, &arguments, home);
        let process = process.unwrap_or_else(|| panic!("{} does not stay up:\n{}", product.name, log(home)));
        let address = port.address;
        Self { address, _port: port, product, arguments, parameters, process, home: temporary }
    }

    /// Where clients find it, with the password.
    pub(crate) fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// The same for what stands between.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        format!("{}://{USER}:{PASSWORD}@{address}/{USER}{}", self.product.scheme, self.parameters)
    }

    /// The word for it in the settings of a node.
    pub(crate) fn app_manager(&self) -> &'static str {
        self.product.scheme
    }

    /// Ends it as a crash does: connections break, and nothing is tidied up.
    pub(crate) fn kill(&mut self) {
        signal(&self.process, self.product.crash);
        let deadline = Instant::now() + DEADLINE;
        while self.process.try_wait().expect("it is our child").is_none() {
            assert!(Instant::now() < deadline, "it does not end:\n{}", log(self.home.path()));
            thread::sleep(PAUSE);
        }
    }

    /// Starts it again on the same port, with what was committed, once it answers.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.try_wait().expect("it is our child").is_some(), "it still runs");
        let process = spawn(self.product, self.address, &self.arguments, self.home.path());
        self.process =
            process.unwrap_or_else(|| panic!("it does not start again:\n{}", log(self.home.path())));
    }

    /// Carries out statements, of a user who may do everything.
    pub(crate) async fn execute(&self, statements: &str) {
        let mut connection = self.connect().await.unwrap_or_else(|error| panic!("no connection: {error}"));
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The first column of what a query finds, as whole numbers.
    pub(crate) async fn numbers(&self, query: &str) -> Vec<i64> {
        let mut connection = self.connect().await.unwrap_or_else(|error| panic!("no connection: {error}"));
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn connect(&self) -> sqlx::Result<AnyConnection> {
        sqlx::any::install_default_drivers();
        self.url().parse::<AnyConnectOptions>()?.connect().await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It may have ended already.
        signal(&self.process, self.product.crash);
        let _status = self.process.wait();
    }
}

/// Copies the data directory of a product, with owner and rights.
fn copy(product: &Product, data: &Path) {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(product.template);
    let copied = Command::new("cp").arg("--archive").arg(&template).arg(data).status().expect("cp is there");
    assert!(copied.success(), "{} cannot be copied: `tests/run` makes it", template.display());
}

/// Starts a server and waits until clients may come; `None` if it ends instead.
fn spawn(product: &Product, address: SocketAddr, arguments: &[String], home: &Path) -> Option<Child> {
    let program = (product.program)();
    // What an earlier one has logged says nothing of this one.
    let log_file = fs::File::create(home.join(LOG)).expect("the directory is ours");
    let mut process = Command::new("setpriv")
        .args(privileges(product))
        .arg(&program)
        .args(arguments)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv does not start ({error}): it is part of util-linux"));
    let deadline = Instant::now() + DEADLINE;
    // Its own word for it: whoever answers on the port may be another one.
    while !log(home).contains(product.ready) {
        if process.try_wait().expect("it is our child").is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "{} does not listen on {address}:\n{}", product.name, log(home));
        thread::sleep(PAUSE);
    }
    Some(process)
}

/// As whom it runs, in the words of `setpriv`. The program takes the place of `setpriv`, so it has the process id that we
/// know.
fn privileges(product: &Product) -> Vec<&'static str> {
    let with_us = if product.crash == Signal::QUIT { "--pdeathsig=QUIT" } else { "--pdeathsig=KILL" };
    if !product.refuses_root || !geteuid().is_root() {
        return vec![with_us];
    }
    // Nobody, who may pass to where its files are: they stand in directories of ours.
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let passes = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
    [&nobody[..], &passes, &[with_us]].concat()
}

/// A file in a server's home, as arguments and URLs name it.
fn path(home: &Path, name: &str) -> String {
    home.join(name).to_str().expect("our names are text").to_owned()
}

fn log(home: &Path) -> String {
    fs::read_to_string(home.join(LOG)).expect("the directory is ours")
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    async fn keeps_what_was_committed(mut database: Database) {
        database.execute("CREATE TABLE kept (number BIGINT); INSERT INTO kept VALUES (7)").await;
        let before = database.address;
        database.kill();
        assert!(TcpStream::connect(before).is_err(), "it still listens");
        database.restart();
        assert_eq!(database.address, before);
        assert_eq!(database.numbers("SELECT number FROM kept").await, [7]);
        drop(database);
        assert!(TcpStream::connect(before).is_err(), "it still listens");
    }

    #[tokio::test]
    async fn a_postgres_that_was_killed_comes_back_with_what_it_had_and_ends_with_its_test() {
        keeps_what_was_committed(Database::postgres()).await;
    }

    #[tokio::test]
    async fn a_mariadb_that_was_killed_comes_back_with_what_it_had_and_ends_with_its_test() {
        keeps_what_was_committed(Database::mariadb()).await;
    }

    #[tokio::test]
    async fn two_tests_have_nothing_in_common() {
        let (one, other) = (Database::postgres(), Database::postgres());
        one.execute("CREATE TABLE mine (number BIGINT)").await;
        other.execute("CREATE TABLE mine (number BIGINT)").await;
    }

    #[test]
    fn a_server_ends_with_a_thread_that_leaves_it_behind() {
        for start in [Database::postgres, Database::mariadb] {
            let database = thread::spawn(start).join().expect("it does not panic");
            let address = database.address;
            let deadline = Instant::now() + DEADLINE;
            while TcpStream::connect(address).is_ok() {
                assert!(Instant::now() < deadline, "it still listens on {address}");
                thread::sleep(PAUSE);
            }
        }
    }
}
