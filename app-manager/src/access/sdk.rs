//! What is configured, and what the AWS SDK makes of it.

use std::{error::Error, iter::successors, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use thiserror::Error;

use super::Access;

/// Time for a connection to stand.
pub const CONNECT: Duration = Duration::from_secs(2);

/// Time for an answer. Whoever waits for something to come gives more.
pub const ANSWER: Duration = Duration::from_secs(5);

/// Nothing says in which region everything is.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("no region: set aws_region, or the variable AWS_REGION")]
pub struct NoRegion;

impl Access {
    /// Finds the region and where credentials come from, which may take a moment where a machine's metadata is asked.
    ///
    /// Nothing is tried again: those who ask know best what to do meanwhile, and when to come again.
    ///
    /// # Errors
    /// If there is no region.
    pub async fn open(&self) -> Result<SdkConfig, NoRegion> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if config.region().is_some() { Ok(config) } else { Err(NoRegion) }
    }
}

/// An error with its causes: those of the SDK say little without them.
pub fn reason(error: &(dyn Error + 'static)) -> String {
    let causes = successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
