//! How AWS is reached: by the store of apps in DynamoDB, and by whoever hands webhooks over to its queues.

#[cfg(feature = "aws")]
mod sdk;

#[cfg(feature = "aws")]
pub use sdk::{ANSWER, CONNECT, NoRegion, reason};

/// What is configured. Credentials are not: the SDK finds them where every program of AWS does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The region, unless the SDK is to find it.
    pub region: Option<String>,
    /// Who stands in for AWS.
    pub endpoint_url: Option<String>,
}
