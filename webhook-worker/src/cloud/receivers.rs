//! The topics and functions to which webhooks are delivered, in whichever regions they are.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use app_manager::{
    access::{Access, CONNECT},
    app::settings::region_of,
    webhook::LambdaFunction,
};
use aws_config::{Region, SdkConfig};
use aws_sdk_lambda::{config::timeout::TimeoutConfig, primitives::Blob, types::InvocationType};
use aws_sdk_sns::types::MessageAttributeValue;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::{Cloud, Failure};

/// No function is waited for longer than this, whatever the deadline of an attempt is: it is Lambda's own limit.
const LONGEST_RUN: Duration = Duration::from_secs(900);

/// Ways to all of them. Cheap to clone: all clones share their connections and credentials.
#[derive(Clone)]
pub struct Receivers {
    shared: Arc<Shared>,
}

struct Shared {
    access: Access,
    /// Credentials and connections, from the first region that was needed; other regions share them.
    cloud: OnceCell<Cloud>,
    /// By region; under `None` is the one of the settings, or that the SDK has found. There are as many as the targets
    /// of all apps name.
    clients: Mutex<HashMap<Option<String>, Clients>>,
}

/// The services of a region.
#[derive(Clone)]
pub(crate) struct Clients {
    topics: aws_sdk_sns::Client,
    functions: aws_sdk_lambda::Client,
}

/// A message to a topic.
pub(crate) struct Notification<'a> {
    pub(crate) body: &'a str,
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
    /// What a FIFO topic keeps in order.
    pub(crate) group: String,
    /// By which a FIFO topic recognises what it has been sent already.
    pub(crate) deduplication: String,
}

/// What became of an invocation that Lambda took.
pub(crate) struct Invocation {
    /// With which 2xx.
    pub(crate) status: u16,
    /// What went wrong in the function, by the name that its language gives it.
    pub(crate) error: Option<String>,
}

impl Receivers {
    /// Finds out what it takes only when something is to be delivered.
    pub fn new(access: Access) -> Self {
        let shared = Shared { access, cloud: OnceCell::new(), clients: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The way to a topic.
    pub(crate) async fn to_topic(&self, arn: &str) -> Result<Clients, Failure> {
        self.clients(region_of(arn)).await
    }

    /// The way to a function.
    pub(crate) async fn to_function(&self, function: &LambdaFunction) -> Result<Clients, Failure> {
        self.clients(function.region.as_deref()).await
    }

    async fn clients(&self, region: Option<&str>) -> Result<Clients, Failure> {
        let Shared { access, cloud, clients } = &*self.shared;
        let region = region.or(access.region.as_deref());
        let key = region.map(str::to_owned);
        if let Some(clients) = clients.lock().get(&key) {
            return Ok(clients.clone());
        }
        let config = match region {
            Some(region) => {
                let access = Access { region: Some(region.to_owned()), ..access.clone() };
                let cloud = cloud.get_or_try_init(|| Cloud::open(&access)).await?;
                cloud.config.to_builder().region(Region::new(region.to_owned())).build()
            }
            None => Cloud::open(access).await?.config,
        };
        Ok(clients.lock().entry(key).or_insert_with(|| Clients::of(&config)).clone())
    }
}

impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receivers").field("access", &self.shared.access).finish_non_exhaustive()
    }
}

impl Clients {
    fn of(config: &SdkConfig) -> Self {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(LONGEST_RUN);
        let functions =
            aws_sdk_lambda::config::Builder::from(config).timeout_config(timeouts.build()).build();
        Self {
            topics: aws_sdk_sns::Client::new(config),
            functions: aws_sdk_lambda::Client::from_conf(functions),
        }
    }

    /// Sends a message to a topic.
    pub(crate) async fn publish(&self, arn: &str, message: Notification<'_>) -> Result<(), Failure> {
        let mut request = self.topics.publish().topic_arn(arn).message(message.body);
        for (name, value) in message.attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
            request = request.message_attributes(name, value);
        }
        if arn.ends_with(".fifo") {
            request = request.message_group_id(message.group).message_deduplication_id(message.deduplication);
        }
        request.send().await?;
        Ok(())
    }

    /// Invokes a function with this JSON, and waits for its end unless that is left to Lambda.
    pub(crate) async fn invoke(
        &self,
        function: &LambdaFunction,
        payload: Vec<u8>,
    ) -> Result<Invocation, Failure> {
        let kind = if function.is_async { InvocationType::Event } else { InvocationType::RequestResponse };
        let request = self.functions.invoke().function_name(&function.name).invocation_type(kind);
        let answer = request.payload(Blob::new(payload)).send().await?;
        let error = answer.function_error().map(|kind| {
            let answer: Option<Json> =
                answer.payload().and_then(|payload| serde_json::from_slice(payload.as_ref()).ok());
            let name = answer.as_ref().and_then(|answer| answer["errorType"].as_str());
            as_name(name.unwrap_or(kind))
        });
        Ok(Invocation { status: u16::try_from(answer.status_code()).unwrap_or(200), error })
    }
}

/// An error's name without what cannot be part of one, because whatever a function says could be put there.
fn as_name(text: &str) -> String {
    let sound = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | ':');
    text.chars().filter(sound).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_region_is_looked_for_only_if_nothing_names_it() {
        let access = Access { region: Some("eu-west-1".into()), endpoint_url: None };
        let receivers = Receivers::new(access);
        for (region, expected) in
            [(Some("ap-south-1"), "ap-south-1"), (None, "eu-west-1"), (Some("us-east-1"), "us-east-1")]
        {
            let clients = receivers.clients(region).await.unwrap();
            let found = [clients.topics.config().region(), clients.functions.config().region()];
            assert_eq!(found.map(|region| region.unwrap().as_ref()), [expected; 2]);
        }
        assert_eq!(receivers.shared.clients.lock().len(), 3);
    }

    #[test]
    fn an_error_of_a_function_is_a_name() {
        assert_eq!(as_name("java.lang.NullPointerException"), "java.lang.NullPointerException");
        assert_eq!(as_name("a\nb {\"c\"}"), "abc");
        assert_eq!(as_name(&"x".repeat(200)).len(), 80);
    }
}
