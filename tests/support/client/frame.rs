//! What the server says, taken apart.

use serde_json::Value;

/// One event as it came from the server.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The name of the event.
    pub(crate) event: String,
    /// The channel, where the frame names one.
    pub(crate) channel: Option<String>,
    /// The text in `data`; of an error, whose data is an object, the JSON of that object.
    pub(crate) data: String,
    /// The whole frame as it was on the wire.
    pub(crate) text: String,
}

impl Frame {
    pub(super) fn parse(text: &str) -> Self {
        let json: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in frame {text}"));
        let data = match &json["data"] {
            Value::String(data) => data.clone(),
            other => other.to_string(),
        };
        let event = json["event"].as_str().unwrap_or_else(|| panic!("no event in frame {text}"));
        Self {
            event: event.into(),
            channel: json["channel"].as_str().map(Into::into),
            data,
            text: text.into(),
        }
    }

    /// What `data` says.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("{error} in the data of {}", self.text))
    }

    /// The whole frame.
    pub(crate) fn whole(&self) -> Value {
        serde_json::from_str(&self.text).expect("it was parsed once already")
    }
}

/// A subscription that the server refused, as both of its frames tell it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The kind of failure, in the words of the client libraries.
    pub(crate) kind: String,
    /// The HTTP-like status.
    pub(crate) status: u64,
    /// What is wrong.
    pub(crate) message: String,
}
