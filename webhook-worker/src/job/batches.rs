//! Which events share a request.

use crate::event::WebhookEvent;

/// Events of one request at most. A receiver has a few seconds for all of them, and a failure repeats all of them.
pub const MAX_EVENTS: usize = 50;

/// Bytes that one request's events may take inside a job's JSON.
///
/// Cloud queues take messages of 256 KiB at least. That leaves 16 KiB for the job's other fields: URL, headers,
/// channels' names. A single event that is larger than this still gets a request, alone.
pub const MAX_EVENTS_BYTES: usize = 240 * 1024;

/// Splits events for one target into requests, within [`MAX_EVENTS`] and [`MAX_EVENTS_BYTES`].
///
/// Events of one channel keep their order. One of an encrypted channel is always alone in its request, because
/// some official SDKs fail on it and would lose the others with it.
pub fn batches(events: impl IntoIterator<Item = WebhookEvent>) -> Vec<Vec<WebhookEvent>> {
    let mut batches = Vec::new();
    let mut open = Vec::new();
    let mut open_bytes = 0;
    for event in events {
        if event.is_encrypted() {
            batches.push(vec![event]);
            continue;
        }
        let bytes = bytes_inside_job(&event);
        if open.len() == MAX_EVENTS || (!open.is_empty() && open_bytes + bytes > MAX_EVENTS_BYTES) {
            batches.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        open_bytes += bytes;
        open.push(event);
    }
    if !open.is_empty() {
        batches.push(open);
    }
    batches
}

/// What the event costs in a job: the body is a string there, in which quotes and backslashes count twice.
fn bytes_inside_job(event: &WebhookEvent) -> usize {
    let json = event.to_json();
    let escaped = json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let comma = 1;
    json.len() + escaped + comma
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use app_manager::{
        app::AppId,
        webhook::{Endpoint, WebhookTarget},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::job::Job;

    fn event(channel: &str, data: String) -> WebhookEvent {
        WebhookEvent::ClientEvent {
            channel: channel.into(),
            event: "client-e".into(),
            data,
            socket_id: "1.1".into(),
            user_id: None,
        }
    }

    #[test]
    fn events_of_encrypted_channels_travel_alone() {
        let channels = ["a", "private-encrypted-x", "b", "private-encrypted-x", "private-encrypted-y", "c"];
        let batches = batches(channels.map(|channel| event(channel, String::new())));
        let shape: Vec<Vec<&str>> =
            batches.iter().map(|batch| batch.iter().map(WebhookEvent::channel).collect()).collect();
        assert_eq!(
            shape,
            [
                vec!["private-encrypted-x"],
                vec!["private-encrypted-x"],
                vec!["private-encrypted-y"],
                vec!["a", "b", "c"]
            ]
        );
    }

    #[test]
    fn nothing_makes_no_request() {
        assert_eq!(batches([]), Vec::<Vec<WebhookEvent>>::new());
    }

    #[test]
    fn a_full_batch_is_followed_by_the_next() {
        let events = (0..=MAX_EVENTS).map(|n| event("a", n.to_string()));
        let lengths: Vec<usize> = batches(events).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_EVENTS, 1]);
    }

    #[test]
    fn an_event_too_large_for_company_goes_alone() {
        let huge = event("a", "x".repeat(MAX_EVENTS_BYTES + 1));
        let small = event("a", String::new());
        let lengths: Vec<usize> = batches([small.clone(), huge, small]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 1, 1]);
    }

    #[test]
    fn the_worst_text_still_fits_a_message_of_256_kib() {
        let events = (0..200).map(|_| event("a", "\"\\\u{1}".repeat(3000)));
        for batch in batches(events) {
            let target = WebhookTarget {
                endpoint: Endpoint::Url("https://example.com".into()),
                event_types: Vec::new(),
                channel_name_starts_with: None,
                channel_name_ends_with: None,
                headers: Vec::new(),
            };
            let job = Job::render(&AppId::from("1"), &target, &batch, 0);
            assert!(job.to_json().len() <= 256 * 1024);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn nothing_is_lost_and_channels_keep_their_order(
            sizes in proptest::collection::vec((0..4_usize, 0..20_000_usize), 0..80)
        ) {
            let names = ["a", "b", "private-encrypted-c", "presence-d"];
            let events: Vec<WebhookEvent> = sizes
                .iter()
                .enumerate()
                .map(|(n, (channel, size))| event(names[*channel], format!("{n}:{}", "x".repeat(*size))))
                .collect();
            let by_channel = |events: Vec<WebhookEvent>| {
                let mut map: HashMap<String, Vec<WebhookEvent>> = HashMap::new();
                for event in events {
                    map.entry(event.channel().to_owned()).or_default().push(event);
                }
                map
            };
            let batches = batches(events.clone());
            prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= MAX_EVENTS));
            prop_assert!(batches.iter().all(|batch| batch.len() == 1 || !batch.iter().any(WebhookEvent::is_encrypted)));
            prop_assert_eq!(by_channel(batches.concat()), by_channel(events));
        }
    }
}
