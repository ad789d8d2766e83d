//! Which metrics there are.

mod cluster;

use std::fmt;

use app_manager::app::AppId;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
};

use super::{Sources, process};
use crate::{
    cluster::QueueFigures,
    log,
    tally::{AppTally, Distribution},
};

/// Stands for the apps that are not counted apart.
const OTHER_APPS: &str = "other";

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(&mut encoder);
        self.connections(&mut page)?;
        self.messages(&mut page)?;
        self.requests(&mut page)?;
        self.apps(&mut page)?;
        self.slow_readers(&mut page)?;
        self.webhooks(&mut page)?;
        if let Some(cluster) = &self.cluster {
            cluster::encode(cluster, &self.tally, &mut page)?;
        }
        page.counter("panics", "Tasks that ended by a fault of the server", log::panics())?;
        if let Some(tasks) = process::tasks() {
            let help = "Tasks that run at this moment: one for each connection, and those of the node";
            page.gauge("tasks", help, tasks as u64)?;
        }
        match process::resident_bytes() {
            Some(bytes) => {
                page.gauge("process_resident_memory_bytes", "Memory that the process occupies", bytes)
            }
            None => Ok(()),
        }
    }
}

impl Sources {
    fn connections(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let apps = self.tally.apps.all();
        let by_app = |read: fn(&AppTally) -> u64| {
            apps.iter().map(move |(app, tally)| ([("app_id", label(app.as_ref()))], read(tally)))
        };
        let (begun, ended) = ("Connections that began, by app", "Connections that ended, by app");
        page.counters("connections", begun, by_app(|app| app.connections.total()))?;
        page.counters("disconnections", ended, by_app(|app| app.disconnections.total()))?;
        page.gauges("active_connections", "Connections of this moment, by app", by_app(AppTally::active))?;
        let channels = self.channels.kinds().all().flat_map(|(kind, [without, with])| {
            [("false", without), ("true", with)]
                .map(|(cache, count)| ([("kind", kind.name()), ("cache", cache)], count as u64))
        });
        page.gauges("channels", "Occupied channels, by kind and by whether they have a cache", channels)
    }

    fn messages(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let tally = &self.tally;
        let (received, sent) = ("Messages read from clients", "Messages written or queued for clients");
        page.counter("ws_messages_received", received, tally.received.total())?;
        page.counter("ws_messages_sent", sent, tally.sent.total())?;
        let apps = tally.apps.all();
        let events = apps.iter().flat_map(|(app, tally)| {
            [("api", &tally.api_events), ("client", &tally.client_events)]
                .map(|(kind, count)| ([("app_id", label(app.as_ref())), ("type", kind)], count.total()))
        });
        page.counters("events", "Events published, once a channel, by app and by who sent them", events)?;
        let errors: Vec<_> = tally.errors.all().collect();
        let errors = errors.iter().map(|(code, count)| ([("code", code.as_str())], *count));
        page.counters("errors", "Errors that clients were told and connections closed, by code", errors)?;
        let help = "From an event's coming to the end of the sweep that delivered it";
        page.histogram("fan_out_duration_seconds", help, &tally.fan_out_times.distribution())
    }

    fn requests(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let requests = self.tally.requests.all().map(|(endpoint, outcome, count)| {
            ([("endpoint", endpoint.name()), ("status", outcome.status())], count)
        });
        page.counters("api_messages", "Requests of the HTTP API, by endpoint and class of status", requests)?;
        let help = "How long answers of the HTTP API took";
        page.histogram("api_message_duration_seconds", help, &self.tally.request_times.distribution())?;
        let help = "From an API request's event being accepted to its being written or queued";
        page.histogram("publish_duration_seconds", help, &self.tally.publish_times.distribution())
    }

    /// With a list of apps, all but their number is nought.
    fn apps(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let figures = self.apps.figures();
        page.gauge("apps_known", "Apps that this node knows", figures.known as u64)?;
        page.counter(
            "app_cache_hits",
            "Questions for apps that were answered out of what is known",
            figures.hits,
        )?;
        page.counter("app_lookups", "Requests to the store of apps", figures.lookups)?;
        let help = "Requests to the store of apps without an answer, or without one that is an app";
        page.counter("app_lookup_errors", help, figures.errors)?;
        let help = "Questions for apps that were answered with what was known before the store went away";
        page.counter("app_cache_stale", help, figures.stale)?;
        let help = "Questions for apps that were refused because too many were for apps that there are not";
        page.counter("app_lookups_refused", help, figures.refused)
    }

    fn slow_readers(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let behind = self.sockets.behind();
        let (sockets, bytes) =
            ("Connections that read more slowly than events come", "Bytes that wait for them");
        page.gauge("sockets_behind", sockets, behind.sockets as u64)?;
        page.gauge("backlog_bytes", bytes, behind.bytes as u64)?;
        page.counter(
            "slow_consumers_cut",
            "Connections cut off because they read too slowly",
            self.tally.cut.total(),
        )
    }

    fn webhooks(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let jobs = self.webhooks.deliveries();
        page.counter("webhook_attempts", "Attempts to deliver a webhook that ended", jobs.attempts)?;
        page.counter("webhooks_delivered", "Webhooks that an endpoint took", jobs.delivered)?;
        page.counter("webhook_retries", "Failed attempts after which another was planned", jobs.retried)?;
        page.counter("webhooks_dead", "Webhooks that were given up", jobs.dead)?;
        page.gauge("webhooks_queued", "Webhooks that are not delivered yet", jobs.queued)?;
        page.gauge("webhook_endpoints", "Endpoints that have a lane", jobs.endpoints as u64)?;
        let lost = self.webhooks.lost();
        page.counter("webhook_events_dropped", "Events for webhooks that were lost to full queues", lost)?;
        self.shared_queue(page)
    }

    /// The queue in Redis or in the cloud. With a queue in the process, all of this is nought.
    fn shared_queue(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let queue = self.webhooks.shared_queue();
        let depth = queue.map_or(0, QueueFigures::depth);
        page.gauge("webhook_queue_depth", "Webhooks in the queue in Redis, of all nodes", depth)?;
        let dead_letters = queue.map_or(0, QueueFigures::dead_letters);
        page.gauge("webhook_dead_letters", "Dead letters of webhooks in Redis, of all nodes", dead_letters)?;
        let shards = queue.map_or(0, QueueFigures::shards);
        page.gauge("webhook_queue_shards", "Shards of that queue that this node works off", shards)?;
        let (leaving, outages) = (self.webhooks.leaving(), self.webhooks.queue_outages());
        let help = "Webhooks of this node that the queue in Redis or in the cloud has not taken yet";
        page.gauge("webhook_queue_leaving", help, leaving)?;
        page.counter("webhook_queue_reconnects", "Times that this node lost that queue", outages)
    }
}

/// What names an app on the page.
fn label(app: Option<&AppId>) -> &str {
    app.map_or(OTHER_APPS, AppId::as_str)
}

/// The page as it is written.
struct Page<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Page<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue + Copy) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, durations: &Distribution) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(durations.seconds, durations.count(), &durations.buckets, None)
    }
}
