//! How the cloud is reached.

use app_manager::access::Access;
use aws_config::SdkConfig;

use super::{Failure, Kind};

/// The cloud, with credentials and a region. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cloud {
    pub(super) config: SdkConfig,
}

impl Cloud {
    /// Finds region and credentials, which may take a moment where a machine's metadata is asked.
    ///
    /// # Errors
    /// If there is no region.
    pub async fn open(access: &Access) -> Result<Self, Failure> {
        match access.open().await {
            Ok(config) => Ok(Self { config }),
            Err(none) => Err(Failure { kind: Kind::Settings, text: none.to_string(), code: None }),
        }
    }
}
