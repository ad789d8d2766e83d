//! How Redis is reached: parsed and checked whichever drivers are in use.

use std::fmt;

use app_manager::app::settings::{Problems, Values, host_and_port, without_credentials};

const LONGEST_PREFIX: usize = 100;
const DEFAULT_PORT: u16 = 6379;

/// How Redis is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The server, or those nodes of a cluster that are asked first, or the sentinels. Never empty.
    pub urls: Vec<RedisUrl>,
    /// What every key and topic begins with.
    pub prefix: String,
    /// Whether connections use TLS.
    pub tls: bool,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// What sentinels are asked, if the URLs are theirs. User, password and database of the first URL are then for the
    /// servers that they watch.
    pub sentinel: Option<SentinelConfig>,
}

/// What sentinels are asked, and how they let us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelConfig {
    /// The name of the primary that they watch.
    pub master: String,
    /// Their own user.
    pub username: Option<String>,
    /// Their own password.
    pub password: Option<Password>,
}

/// A password, which `Debug` hides.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself: for the client that connects, never for a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// A complete Redis URL, `redis[s]://[user:password@]host:port[/database]`. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Reads what stands in settings, and completes it with scheme and port.
    pub fn parse(text: &str) -> Option<Self> {
        read_url(text).map(Self)
    }

    /// The number of the database, 0 if none is named.
    fn database(&self) -> u16 {
        let (_, rest) = self.0.split_once("://").expect("a URL that was read has a scheme");
        rest.split_once('/').map_or(0, |(_, database)| database.parse().expect("it was read as a number"))
    }

    /// What stands in it beside the server's address: `user:password@`, and `/database`.
    fn surroundings(&self) -> (&str, &str) {
        let (_, rest) = self.0.split_once("://").expect("a URL that was read has a scheme");
        let (user, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        (user, address.split_once('/').map_or("", |(_, database)| database))
    }

    /// The whole URL, password and all: for the client that connects, never for a log.
    pub fn with_password(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// The part of the settings that is about Redis.
pub(super) fn build(server: &Values, problems: &mut Problems) -> RedisConfig {
    let text = server.text("redis_url").expect("redis_url has a default");
    let tls = server.is_on("redis_tls") || text.contains("rediss://");
    let urls: Vec<_> = text.split(',').map(|url| RedisUrl(with_scheme(url, tls))).collect();
    let prefix = server.text("redis_prefix").expect("redis_prefix has a default");
    let sentinel = sentinel(server, &urls, problems);
    // A list of servers can only mean a cluster, unless they are sentinels.
    let cluster = server.is_on("redis_cluster") || (urls.len() > 1 && sentinel.is_none());
    if cluster && urls.iter().any(|url| url.database() != 0) {
        problems.add(server.source("redis_url"), "a Redis cluster has no database but 0");
    }
    RedisConfig { urls, prefix, tls, cluster, sentinel }
}

fn sentinel(server: &Values, urls: &[RedisUrl], problems: &mut Problems) -> Option<SentinelConfig> {
    let username = server.text("redis_sentinel_username");
    let password = server.password("redis_sentinel_password").map(Password);
    let Some(master) = server.text("redis_sentinel_master") else {
        let keys = ["redis_sentinel_username", "redis_sentinel_password"];
        for key in keys.into_iter().filter(|key| server.value(key).is_some()) {
            problems.add(server.source(key), "needs redis_sentinel_master");
        }
        return None;
    };
    if server.is_on("redis_cluster") {
        problems.add(server.source("redis_sentinel_master"), "cannot be combined with redis_cluster");
    }
    if username.is_some() && password.is_none() {
        problems.add(server.source("redis_sentinel_username"), "needs redis_sentinel_password");
    }
    let first = urls[0].surroundings();
    if urls[1..].iter().map(RedisUrl::surroundings).any(|other| other != ("", "") && other != first) {
        let what = "user, password and database are those of the servers that the sentinels watch: give them once, \
                    in the first URL";
        problems.add(server.source("redis_url"), what);
    }
    Some(SentinelConfig { master, username, password })
}

/// Reads the name that sentinels have for a primary.
pub(super) fn read_master(text: &str) -> Result<String, String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.is_empty() || !text.bytes().all(sound) {
        return Err("must be letters, digits, '.', '-' and '_'".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a user or a password.
pub(super) fn read_credential(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("must not be empty or contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// One scheme for all nodes: half an encrypted cluster is a mistake that nobody wants to find later.
fn with_scheme(url: &str, tls: bool) -> String {
    let (_, rest) = url.split_once("://").expect("every URL that was read has a scheme");
    format!("{}://{rest}", if tls { "rediss" } else { "redis" })
}

/// Reads one or more URLs, separated by commas, and completes each with scheme and port.
pub(super) fn read_urls(text: &str) -> Result<String, String> {
    let urls: Option<Vec<_>> = text.split(',').map(|url| read_url(url.trim())).collect();
    urls.map(|urls| urls.join(",")).ok_or_else(|| {
        "must be 'host:port' or 'redis[s]://[user:password@]host[:port][/database]', or several separated by commas"
            .to_owned()
    })
}

fn read_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    let (host, port) = host_and_port(authority)?;
    let sound = matches!(scheme, "redis" | "rediss")
        && user.is_none_or(|user| user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'))
        && (database.is_empty() || database.parse::<u16>().is_ok());
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let database = if database.is_empty() { String::new() } else { format!("/{database}") };
    sound.then(|| format!("{scheme}://{user}{host}:{}{database}", port.unwrap_or(DEFAULT_PORT)))
}

/// Reads the prefix of keys. Braces would be taken for a cluster's hash tag and send all keys to one node.
pub(super) fn read_prefix(text: &str) -> Result<String, String> {
    let sound = |char: char| !char.is_whitespace() && !char.is_control() && char != '{' && char != '}';
    if text.is_empty() || text.len() > LONGEST_PREFIX || !text.chars().all(sound) {
        return Err(format!(
            "must be 1 to {LONGEST_PREFIX} bytes without white space, control characters or braces"
        ));
    }
    Ok(text.to_owned())
}
