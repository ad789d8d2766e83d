//! Names into addresses, where only those come out that may be called.

use std::{
    error::Error,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::AddressPolicy;

/// A resolver in front of another, which holds back the addresses that the policy forbids.
///
/// The HTTP client connects to exactly what comes out of it. A name with only forbidden addresses fails with
/// [`ForbiddenAddress`](super::ForbiddenAddress) as the error; of a name with both kinds, the allowed ones are used.
#[derive(Clone, Debug)]
pub struct GuardedResolver<R> {
    inner: R,
    policy: AddressPolicy,
}

impl<R> GuardedResolver<R> {
    /// Guards `inner`.
    pub fn new(inner: R, policy: AddressPolicy) -> Self {
        Self { inner, policy }
    }
}

/// What the connector can take: any error, with the reason inside.
type BoxError = Box<dyn Error + Send + Sync>;

impl<R> Service<Name> for GuardedResolver<R>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy.clone();
        let lookup = self.inner.call(name);
        Box::pin(async move {
            let addresses = lookup.await.map_err(Into::into)?;
            Ok(allowed(addresses, &policy)?.into_iter())
        })
    }
}

/// The addresses that may be called, or why none may.
fn allowed(
    addresses: impl Iterator<Item = SocketAddr>,
    policy: &AddressPolicy,
) -> Result<Vec<SocketAddr>, super::ForbiddenAddress> {
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in addresses {
        match policy.check(address.ip()) {
            Ok(()) => allowed.push(address),
            Err(forbidden) => refused = Some(forbidden),
        }
    }
    match refused {
        Some(forbidden) if allowed.is_empty() => Err(forbidden),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
        io::ErrorKind,
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use hyper::Uri;
    use hyper_util::client::legacy::connect::HttpConnector;

    use super::*;
    use crate::target::{ForbiddenAddress, Network, Target};

    /// Gives a list of answers round and round, as a name server does that wants to be trusted and then abused.
    #[derive(Clone)]
    struct Turncoat {
        answers: Vec<Vec<&'static str>>,
        /// How often it was asked. A connector asks a clone for each connection.
        asked: Arc<AtomicUsize>,
    }

    impl Service<Name> for Turncoat {
        type Response = vec::IntoIter<SocketAddr>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let answer = &self.answers[self.asked.fetch_add(1, Relaxed) % self.answers.len()];
            let addresses: Vec<_> = answer.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            ready(Ok(addresses.into_iter()))
        }
    }

    async fn ask(resolver: &mut GuardedResolver<Turncoat>) -> Result<Vec<String>, BoxError> {
        let addresses = resolver.call("example.com".parse().unwrap()).await?;
        Ok(addresses.map(|address| address.ip().to_string()).collect())
    }

    fn guarded(answers: &[&[&'static str]], policy: AddressPolicy) -> GuardedResolver<Turncoat> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        GuardedResolver::new(Turncoat { answers, asked: Arc::default() }, policy)
    }

    #[tokio::test]
    async fn a_name_that_turns_private_is_refused_each_time_it_does() {
        let mut resolver = guarded(&[&["93.184.216.34"], &["127.0.0.1"]], AddressPolicy::public_only());
        for _ in 0..1_000 {
            assert_eq!(ask(&mut resolver).await.unwrap(), ["93.184.216.34"]);
            let error = ask(&mut resolver).await.unwrap_err();
            assert!(error.downcast_ref::<ForbiddenAddress>().is_some(), "{error}");
        }
    }

    /// The same by real connections, to a listener that may be reached and to one that may not, on the same port.
    #[tokio::test]
    async fn a_name_that_turns_private_a_thousand_times_leads_nobody_there() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        let open = TcpListener::bind(("127.0.0.2", port)).unwrap();
        let policy = AddressPolicy::public_only().allowing([Network::parse("127.0.0.2").unwrap()]);
        let mut connector =
            HttpConnector::new_with_resolver(guarded(&[&["127.0.0.2"], &["127.0.0.1"]], policy));
        let uri: Uri = format!("http://example.com:{port}/").parse().unwrap();
        for _ in 0..1_000 {
            connector.call(uri.clone()).await.unwrap();
            assert_eq!(open.accept().unwrap().1.ip().to_string(), "127.0.0.1", "from this machine");
            connector.call(uri.clone()).await.unwrap_err();
        }
        closed.set_nonblocking(true).unwrap();
        assert_eq!(closed.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
    }

    #[tokio::test]
    async fn names_of_this_machine_are_names_like_any_other() {
        let names = [
            ("http://localhost/", "localhost"),
            ("http://LOCALHOST/", "localhost"),
            ("http://localhost./", "localhost."),
            ("http://%6cocalhost/", "localhost"),
            ("http://\u{ff4c}\u{ff4f}calhost/", "localhost"),
            ("http://\u{24db}ocalhost\u{3002}/", "localhost."),
            ("http://loc\u{ad}alhost/", "localhost"),
            ("http://a.localhost/", "a.localhost"),
            ("http://127.0.0.1.example.com/", "127.0.0.1.example.com"),
            ("http://b\u{fc}cher.example./", "xn--bcher-kva.example."),
        ];
        let policy = AddressPolicy::public_only();
        for answer in [&["127.0.0.1"][..], &["::1", "::ffff:127.0.0.1"], &["10.0.0.1", "fd00:ec2::254"]] {
            let mut resolver = guarded(&[answer], policy.clone());
            for (url, name) in names {
                let target = Target::parse(url, &policy).unwrap();
                assert_eq!(target.uri().host(), Some(name), "{url}");
                let error = resolver.call(name.parse().unwrap()).await.unwrap_err();
                assert!(error.downcast_ref::<ForbiddenAddress>().is_some(), "{url}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn forbidden_addresses_among_allowed_ones_are_held_back() {
        let answer: &[&str] =
            &["10.0.0.1", "93.184.216.34", "169.254.169.254", "::ffff:127.0.0.1", "2606:4700::1"];
        let mut resolver = guarded(&[answer], AddressPolicy::public_only());
        assert_eq!(ask(&mut resolver).await.unwrap(), ["93.184.216.34", "2606:4700::1"]);
        let mut resolver = guarded(&[answer], AddressPolicy::public_and_private());
        assert_eq!(
            ask(&mut resolver).await.unwrap(),
            ["10.0.0.1", "93.184.216.34", "::ffff:127.0.0.1", "2606:4700::1"]
        );
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_not_forbidden() {
        let mut resolver = guarded(&[&[]], AddressPolicy::public_only());
        assert!(ask(&mut resolver).await.unwrap().is_empty());
    }
}
