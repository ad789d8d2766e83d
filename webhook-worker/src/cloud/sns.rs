//! A topic in SNS.

use app_manager::webhook::EVENT_NAME_ATTRIBUTE;
use aws_sdk_sns::{
    Client,
    error::BuildError,
    types::{MessageAttributeValue, PublishBatchRequestEntry},
};

use super::{Cloud, Failure, Letter, Rejected};

/// The value of the attribute by which subscriptions tell our messages from others.
pub(crate) const EVENT_NAME: &str = "pusher-webhook";

/// A topic. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Topic {
    client: Client,
    arn: String,
    is_fifo: bool,
}

impl Topic {
    /// The topic with this ARN, once it is known to be there.
    ///
    /// # Errors
    /// If it is not, or cannot be asked.
    pub async fn find(cloud: &Cloud, arn: &str) -> Result<Self, Failure> {
        let client = Client::new(&cloud.config);
        client.get_topic_attributes().topic_arn(arn).send().await?;
        Ok(Self { client, arn: arn.to_owned(), is_fifo: arn.ends_with(".fifo") })
    }

    pub(super) async fn publish(&self, letters: &[Letter]) -> Result<Vec<Rejected>, Failure> {
        let entries: Result<Vec<_>, _> =
            letters.iter().enumerate().map(|(index, letter)| self.entry(index, letter)).collect();
        let request = self.client.publish_batch().topic_arn(&self.arn);
        let answer = request.set_publish_batch_request_entries(Some(entries?)).send().await?;
        let failed = answer.failed().iter().filter_map(|failed| {
            Rejected::read(failed.id(), failed.code(), failed.message(), failed.sender_fault())
        });
        Ok(failed.collect())
    }

    fn entry(&self, index: usize, letter: &Letter) -> Result<PublishBatchRequestEntry, BuildError> {
        let value = MessageAttributeValue::builder().data_type("String").string_value(EVENT_NAME).build()?;
        let entry = PublishBatchRequestEntry::builder()
            .id(index.to_string())
            .message(&letter.body)
            .message_attributes(EVENT_NAME_ATTRIBUTE, value);
        if !self.is_fifo {
            return entry.build();
        }
        entry.message_group_id(&letter.group).message_deduplication_id(&letter.deduplication).build()
    }
}
