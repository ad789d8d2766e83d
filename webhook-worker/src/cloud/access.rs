//! How the cloud is reached.

use std::time::Duration;

use app_manager::app::settings::Values;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{Failure, Kind};
use crate::settings::{AWS_ENDPOINT_URL, AWS_REGION};

/// Time for a connection to stand.
const CONNECT: Duration = Duration::from_secs(2);

/// Time for an answer. Whoever waits for messages is given more.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// What is configured. Credentials are not: the SDK finds them where every program of AWS does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The region, unless the SDK is to find it.
    pub region: Option<String>,
    /// Who stands in for AWS.
    pub endpoint_url: Option<String>,
}

/// The cloud, with credentials and a region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cloud {
    pub(super) config: SdkConfig,
}

impl Access {
    /// What the settings say.
    pub fn of(values: &Values) -> Self {
        Self { region: values.text(AWS_REGION.key), endpoint_url: values.text(AWS_ENDPOINT_URL.key) }
    }

    /// Finds region and credentials, which may take a moment where a machine's metadata is asked.
    ///
    /// # Errors
    /// If there is no region.
    pub async fn open(&self) -> Result<Cloud, Failure> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER);
        // Those who send know best what to do meanwhile, and when to come again.
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
        if config.region().is_none() {
            let text = "no region: set aws_region, or the variable AWS_REGION".to_owned();
            return Err(Failure { kind: Kind::Settings, text });
        }
        Ok(Cloud { config })
    }
}
