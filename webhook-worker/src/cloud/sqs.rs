//! A queue in SQS.

use std::{collections::HashMap, fmt, time::Duration};

use app_manager::access::ANSWER;
use aws_sdk_sqs::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    error::BuildError,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
        MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use serde_json::Value as Json;

use super::{Cloud, Failure, LETTERS, Letter, Rejected};

/// The longest that a queue waits for something to come.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    /// Has more patience, for requests that wait for messages.
    patient: Client,
    url: String,
    is_fifo: bool,
}

/// A message as it was received.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// The same for all receives.
    pub id: String,
    /// By which this receive is answered for.
    pub handle: String,
    /// How often it was received, this time included.
    pub receives: u32,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// The group of a FIFO queue.
    pub group: Option<String>,
    /// What was written on it when it became a dead letter.
    pub note: Option<Note>,
    /// The job, perhaps in an envelope.
    pub body: String,
}

impl Received {
    /// What has to keep its order: its group, or in a queue without groups itself alone.
    pub fn line(&self) -> &str {
        self.group.as_ref().unwrap_or(&self.id)
    }
}

/// What a worker writes on a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Why it was given up.
    pub cause: String,
    /// Attempts that were made.
    pub attempts: u32,
}

/// Leaves the body out, in which a customer's tokens may be.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, handle: _, receives, sent_at_ms, group, note, body: _ } = self;
        f.debug_struct("Received")
            .field("id", id)
            .field("receives", receives)
            .field("sent_at_ms", sent_at_ms)
            .field("group", group)
            .field("note", note)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// The queue with this URL or name, once it is known to be there.
    ///
    /// A URL's host is not called: an emulator's may be known by other names elsewhere. Only the queue's name in it counts,
    /// and the owner's account.
    ///
    /// # Errors
    /// If it is not there, or cannot be asked.
    pub async fn find(cloud: &Cloud, url_or_name: &str) -> Result<Self, Failure> {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(LONGEST_WAIT + ANSWER).build();
        let patient = Client::from_conf(Builder::from(&cloud.config).timeout_config(timeouts).build());
        let client = Client::new(&cloud.config);
        let (account, name) = match url_or_name.rsplit_once('/') {
            Some((before, name)) => (before.rsplit('/').next(), name),
            None => (None, url_or_name),
        };
        let account =
            account.filter(|text| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()));
        let request = client.get_queue_url().queue_name(name);
        let found = request.set_queue_owner_aws_account_id(account.map(str::to_owned)).send().await?;
        let url = found.queue_url().unwrap_or_default().to_owned();
        Ok(Self { client, patient, is_fifo: name.ends_with(".fifo"), url })
    }

    /// What the queue is called.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    pub(super) async fn send(&self, letters: &[Letter]) -> Result<Vec<Rejected>, Failure> {
        let entries = letters.iter().enumerate().map(|(index, letter)| self.entry(index, letter));
        self.send_entries(entries.collect()).await
    }

    /// Sends a message that a worker has given up, to be kept. Sending it twice keeps it once in a FIFO queue.
    ///
    /// # Errors
    /// If it is not known to be taken.
    pub async fn bury(&self, message: &Received, note: &Note) -> Result<(), Failure> {
        let entry = (|| {
            let text = |text: &str| {
                // An attribute is not to be empty.
                let text = if text.is_empty() { "unknown" } else { text };
                MessageAttributeValue::builder().data_type("String").string_value(text).build()
            };
            let entry = SendMessageBatchRequestEntry::builder()
                .id("0")
                .message_body(&message.body)
                .message_attributes("cause", text(&note.cause)?)
                .message_attributes("attempts", text(&note.attempts.to_string())?);
            if !self.is_fifo {
                return entry.build();
            }
            entry.message_group_id(message.line()).message_deduplication_id(&message.id).build()
        })();
        let rejected = self.send_entries(vec![entry]).await?;
        rejected.into_iter().next().map_or(Ok(()), |rejected| Err(rejected.failure))
    }

    async fn send_entries(
        &self,
        entries: Vec<Result<SendMessageBatchRequestEntry, BuildError>>,
    ) -> Result<Vec<Rejected>, Failure> {
        let entries: Vec<_> = entries.into_iter().collect::<Result<_, _>>()?;
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = request.send().await?;
        let failed = answer.failed().iter().filter_map(|failed| {
            Rejected::read(failed.id(), failed.code(), failed.message(), failed.sender_fault())
        });
        Ok(failed.collect())
    }

    fn entry(&self, index: usize, letter: &Letter) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(&letter.body);
        if !self.is_fifo {
            return entry.build();
        }
        entry.message_group_id(&letter.group).message_deduplication_id(&letter.deduplication).build()
    }

    /// Waits for messages, up to `wait` of at most 20 seconds. Nobody else gets them for the time of `visibility`.
    ///
    /// # Errors
    /// If the queue cannot be asked.
    pub async fn receive(&self, wait: Duration, visibility: Duration) -> Result<Vec<Received>, Failure> {
        let answer = self
            .patient
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(LETTERS).unwrap_or(10))
            .wait_time_seconds(seconds(wait.min(LONGEST_WAIT)))
            .visibility_timeout(seconds(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    /// Takes messages out for ever. What comes back are the places of those for which that failed.
    ///
    /// # Errors
    /// If the queue cannot be asked.
    pub async fn delete(&self, handles: &[String]) -> Result<Vec<usize>, Failure> {
        let entries = handles.iter().enumerate().map(|(index, handle)| {
            DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(handle).build()
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = request.send().await?;
        Ok(answer.failed().iter().filter_map(|failed| failed.id().parse().ok()).collect())
    }

    /// Lets others have messages only after this time, counted from now. It is no harm if a message is gone meanwhile.
    ///
    /// # Errors
    /// If the queue cannot be asked.
    pub async fn hide(&self, handles: &[String], time: Duration) -> Result<(), Failure> {
        let entries = handles.iter().enumerate().map(|(index, handle)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(handle)
                .visibility_timeout(seconds(time))
                .build()
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let request = self.client.change_message_visibility_batch().queue_url(&self.url);
        request.set_entries(Some(entries)).send().await?;
        Ok(())
    }

    /// The queue that takes what this one has handed over too often, if it has one.
    ///
    /// # Errors
    /// If it cannot be found out.
    pub async fn dead_letters(&self, cloud: &Cloud) -> Result<Option<Self>, Failure> {
        let attributes = self.attributes(QueueAttributeName::RedrivePolicy).await?;
        let policy = attributes.get(&QueueAttributeName::RedrivePolicy);
        let policy: Option<Json> = policy.and_then(|policy| serde_json::from_str(policy).ok());
        let Some(Json::String(arn)) = policy.map(|mut policy| policy["deadLetterTargetArn"].take()) else {
            return Ok(None);
        };
        // arn:aws:sqs:region:account:name
        let mut parts = arn.rsplit(':');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Self::find(cloud, &format!("{account}/{name}")).await.map(Some)
    }

    /// How many messages wait, and how many are being worked on. Both are approximate.
    ///
    /// # Errors
    /// If the queue cannot be asked.
    pub async fn depth(&self) -> Result<(u64, u64), Failure> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let attributes = self.attributes(QueueAttributeName::All).await?;
        let [waiting, under_way] =
            names.map(|name| attributes.get(&name).and_then(|text| text.parse().ok()).unwrap_or(0));
        Ok((waiting, under_way))
    }

    async fn attributes(
        &self,
        name: QueueAttributeName,
    ) -> Result<HashMap<QueueAttributeName, String>, Failure> {
        let request = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name);
        Ok(request.send().await?.attributes.unwrap_or_default())
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

fn received(message: Message) -> Option<Received> {
    let attribute = |name| message.attributes().and_then(|attributes| attributes.get(&name));
    let number = |name| attribute(name).and_then(|text| text.parse::<u64>().ok());
    let receives = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    let sent_at_ms = number(MessageSystemAttributeName::SentTimestamp).unwrap_or(0);
    let group = attribute(MessageSystemAttributeName::MessageGroupId).cloned();
    let note = note_of(&message);
    Some(Received {
        id: message.message_id?,
        handle: message.receipt_handle?,
        receives: u32::try_from(receives).unwrap_or(u32::MAX),
        sent_at_ms,
        group,
        note,
        body: message.body.unwrap_or_default(),
    })
}

fn note_of(message: &Message) -> Option<Note> {
    let attributes = message.message_attributes()?;
    let text = |name: &str| attributes.get(name)?.string_value();
    let attempts = text("attempts").and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Note { cause: text("cause")?.to_owned(), attempts })
}
