//! Where one target of the `webhooks` array is.

use serde_json::{Map, Value as Json};

use super::Reader;
use crate::{
    app::settings::{
        address::read_webhook_url,
        arn::{read_function, read_region, read_topic_arn},
    },
    webhook::Endpoint,
};

/// The keys of which a target has one, in the words of an error.
const ENDPOINT_KEYS: [&str; 3] = ["url", "sns_topic_arn", "lambda_function"];
const LAMBDA_KEYS: &str = "async and region";

impl Reader<'_> {
    pub(super) fn endpoint(&mut self, entry: &Map<String, Json>) -> Option<Endpoint> {
        let given: Vec<_> = ENDPOINT_KEYS.into_iter().filter(|key| entry.contains_key(*key)).collect();
        if let Some(lambda) = entry.get("lambda")
            && !given.contains(&"lambda_function")
        {
            self.lambda(lambda);
            return self.refuse(".lambda", "applies to lambda_function, which is not set");
        }
        match given[..] {
            [key] => self.endpoint_of(key, entry),
            // Refused by name already.
            [] if entry.contains_key("sqs_queue_url") => None,
            [] => self.refuse("", "names no endpoint; set url, sns_topic_arn or lambda_function"),
            _ => self.refuse("", &format!("names several endpoints: {}", given.join(" and "))),
        }
    }

    fn endpoint_of(&mut self, key: &str, entry: &Map<String, Json>) -> Option<Endpoint> {
        let part = format!(".{key}");
        let lambda = match entry.get("lambda") {
            Some(lambda) => self.lambda(lambda),
            None => Some((false, None)),
        };
        let Some(text) = entry[key].as_str() else {
            return self.refuse(&part, "must be text");
        };
        let read = match key {
            "url" => read_webhook_url(text).map(Endpoint::Url),
            "sns_topic_arn" => read_topic_arn(text).map(Endpoint::SnsTopicArn),
            _ => {
                let (is_async, region) = lambda?;
                read_function(text, region.as_deref(), is_async).map(Endpoint::LambdaFunction)
            }
        };
        match read {
            Ok(endpoint) => Some(endpoint),
            Err(what) => self.refuse(&part, &what),
        }
    }

    /// Whether a function is invoked asynchronously, and its region.
    fn lambda(&mut self, raw: &Json) -> Option<(bool, Option<String>)> {
        let Json::Object(lambda) = raw else {
            return self.refuse(".lambda", "must be an object");
        };
        let (mut is_async, mut region) = (false, None);
        for (key, value) in lambda {
            let part = format!(".lambda.{key}");
            match (key.as_str(), value) {
                ("async", Json::Bool(value)) => is_async = *value,
                ("async", _) => return self.refuse(&part, "must be true or false"),
                ("region", Json::String(text)) => match read_region(text) {
                    Ok(text) => region = Some(text),
                    Err(what) => return self.refuse(&part, &what),
                },
                ("region", _) => return self.refuse(&part, "must be text"),
                ("client_options", _) => {
                    let what =
                        "is not available; credentials are found where every program of AWS finds them";
                    return self.refuse(&part, what);
                }
                _ => return self.refuse(&part, &format!("is unknown; it has {LAMBDA_KEYS}")),
            }
        }
        Some((is_async, region))
    }
}
