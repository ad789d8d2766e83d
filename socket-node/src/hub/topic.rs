//! What an event is addressed to.

use app_manager::app::AppId;

use crate::protocol::ChannelName;

/// A channel of an app. The same name in two apps is two topics, so that nothing crosses from one app to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Whose channel it is.
    pub app: AppId,
    /// Which of its channels.
    pub channel: ChannelName,
}
