//! Events from one client to the others.

use std::num::NonZeroU32;

use app_manager::app::App;

use super::session::Session;
use crate::{
    channels::{ClientFrame, Full, Speaker},
    limits::EventRate,
    protocol::{Event, event, message::ClientEvent},
};

/// The code of a client event that came too fast. It is never a reason to close.
const RATE_LIMITED: u16 = 4301;

/// A client event that waits for room on its channel, and its client with it.
#[derive(Debug)]
pub(super) struct Waiting {
    full: Full,
    frame: ClientFrame,
}

impl Session {
    /// Hands a client's event to the others on its channel, or tells the client why not. An event that has to wait is
    /// given back.
    pub(super) fn client_event(&mut self, event: &ClientEvent<'_>) -> Option<Waiting> {
        let data = event::as_string(event.data.get());
        let app = self.app.load();
        if let Err((code, message)) = self.check_client_event(&app, event, &data) {
            self.socket.complain(code, &message);
            return None;
        }
        let Ok(at) = self.find(&event.channel) else {
            let channel = &event.channel[..event.channel.floor_char_boundary(200)];
            let reason = format!("connection not subscribed to channel {channel}");
            self.complain(&format!("Cannot broadcast client event ({reason})"));
            return None;
        };
        let name = event::quote(&event.name);
        let forwarded = Event { name: &name, data: &data };
        let channels = &self.sockets.shared.channels;
        let sent = channels.client_event(&app, self.speaker(), &self.subscriptions[at], forwarded);
        sent.err().map(|(full, frame)| Waiting { full, frame })
    }

    /// Waits for room as long as it takes: the client's further messages wait behind this one, and in the end the
    /// client itself does.
    pub(super) async fn send_waiting(&self, mut waiting: Waiting) {
        loop {
            waiting.full.room().await;
            match self.sockets.shared.channels.forward(self.speaker(), waiting.frame) {
                Ok(()) => return,
                Err((full, frame)) => waiting = Waiting { full, frame },
            }
        }
    }

    fn speaker(&self) -> Speaker<'_> {
        Speaker { socket: &self.socket, tally: &self.tally }
    }

    fn check_client_event(
        &mut self,
        app: &App,
        event: &ClientEvent<'_>,
        data: &str,
    ) -> Result<(), (Option<u16>, String)> {
        let limits = &app.limits;
        let refuse = |message: &str| Err((None, message.to_owned()));
        if !app.features.client_messages {
            return refuse(
                "To send client events, you must enable this feature in the Settings page of your dashboard.",
            );
        }
        let channel = &*event.channel;
        if !channel.starts_with("private-") && !channel.starts_with("presence-") {
            return refuse("Client event rejected - only supported on private and presence channels");
        }
        if channel.starts_with("private-encrypted-") {
            return refuse("Client event rejected - not supported on encrypted channels");
        }
        if event.name.chars().count() > limits.max_event_name_length {
            return refuse("Client event rejected - the event name is too long");
        }
        if event::is_longer_than(limits.max_event_payload, data) {
            let max = limits.max_event_payload;
            return refuse(&format!(
                "Client event rejected - the data exceeds the allowed maximum ({max} bytes)"
            ));
        }
        if !self.is_within_rate(app) {
            return Err((Some(RATE_LIMITED), "Client event rate limit exceeded".to_owned()));
        }
        Ok(())
    }

    fn is_within_rate(&mut self, app: &App) -> bool {
        let Some(per_second) = app.limits.max_client_events_per_second.and_then(NonZeroU32::new) else {
            return true;
        };
        // A changed limit begins with a fresh burst.
        let rate = self.client_event_rate.take().filter(|rate| rate.is_of(per_second));
        self.client_event_rate.insert(rate.unwrap_or_else(|| EventRate::per_second(per_second))).allow()
    }
}
