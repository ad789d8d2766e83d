//! What a change of an app means for those who are connected to it.

use std::time::Duration;

use app_manager::{app::AppId, apps::Apps};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
};
use tracing::info;

use crate::{channels::Channels, connection::Sockets, shutdown::in_waves};

/// Time in which the connections are closed of an app that was switched off or deleted, however many they are.
const SEND_AWAY: Duration = Duration::from_secs(5);

/// Where apps can change: keeps those that are connected to fresh, and does what their changes mean.
pub(super) fn look_out(apps: &Apps, channels: &Channels, sockets: &Sockets, tasks: &mut JoinSet<()>) {
    if let Some(changes) = apps.changes() {
        tasks.spawn(apps.clone().keep_fresh());
        tasks.spawn(heed(changes, apps.clone(), channels.clone(), sockets.clone()));
    }
}

async fn heed(mut changes: Receiver<AppId>, apps: Apps, channels: Channels, sockets: Sockets) {
    loop {
        let changed = match changes.recv().await {
            Ok(id) => vec![id],
            Err(RecvError::Lagged(_)) => apps.held(),
            Err(RecvError::Closed) => return,
        };
        for app in changed.iter().filter_map(|id| apps.known(id.as_str())) {
            channels.app_changed(&app);
        }
        let to_close = sockets.to_close();
        if !to_close.is_empty() {
            let connections = to_close.len();
            info!(connections, "closing {connections} connections of apps that are switched off or deleted");
            in_waves(&to_close, SEND_AWAY, |(socket, close)| socket.close(close)).await;
        }
    }
}
