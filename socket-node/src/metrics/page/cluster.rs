//! What a node that shares a Redis with others has to tell of that: how it hears and is heard, and how it stands in the
//! census of all.
//!
//! A node that is the whole server has none of these: zeros would speak of nodes and of a lease that there are not. With
//! a cluster all of them are there from the start, so that a rate begins with the first event; only the age of a lease
//! has to wait for a lease.

use std::fmt;

use super::Page;
use crate::{
    cluster::{Bus, Cluster, RedisCensus},
    tally::Tally,
};

pub(super) fn encode(cluster: &Cluster, tally: &Tally, page: &mut Page<'_, '_>) -> fmt::Result {
    bus(&cluster.bus, page)?;
    let help = "Events of clients that other nodes did not hear, because the outbox was full";
    page.counter("client_events_unheard", help, tally.unheard.total())?;
    census(&cluster.census, page)?;
    journal(&cluster.census, page)
}

fn bus(bus: &Bus, page: &mut Page<'_, '_>) -> fmt::Result {
    let figures = bus.figures();
    let help = "Connections to Redis that were opened because one before was lost";
    page.counter("bus_reconnects", help, figures.reconnects)?;
    let help = "Messages that may not have reached every node";
    page.counter("bus_messages_unconfirmed", help, figures.unconfirmed)?;
    let help = "Messages heard that this version does not understand, and ignored";
    page.counter("bus_messages_unknown", help, figures.unknown)?;
    page.counter("bus_messages_repeated", "Messages heard for a second time, and dropped", figures.repeats)?;
    let help = "Events of other nodes that this one did not hear although it has subscribers of them";
    page.counter("bus_messages_missed", help, figures.missed)?;
    let (messages, bytes) = ("Messages that other nodes are to hear and Redis has not taken", "Their bytes");
    page.gauge("bus_outbox_messages", messages, figures.outbox_messages as u64)?;
    page.gauge("bus_outbox_bytes", bytes, figures.outbox_bytes as u64)?;
    page.gauge("bus_topics", "Topics of channels that this node listens to", figures.topics as u64)?;
    let help = "Nodes that were listening when Redis was last asked, this one among them";
    page.gauge("bus_nodes", help, u64::from(figures.nodes))?;
    let help = "From a message being put into the outbox to Redis having taken it";
    page.histogram("bus_publish_duration_seconds", help, &figures.lag)
}

fn census(census: &RedisCensus, page: &mut Page<'_, '_>) -> fmt::Result {
    let figures = census.figures();
    let help = "How long Redis took for changes of who is where, by pipeline";
    page.histogram("census_script_duration_seconds", help, &figures.script_time.distribution())?;
    if let Some(age) = figures.lease_age() {
        let help = "Time since this node's lease was renewed; others give it up after ten seconds";
        page.gauge("census_lease_age_seconds", help, age.as_secs_f64())?;
    }
    let help = "Entries that this node has: occupied channels, members, signed-in users, counted apps";
    page.gauge("census_entries", help, census.held() as u64)?;
    let help = "How often this node has entered everything that it has, the first time among them";
    page.counter("census_entered", help, figures.entered.total())?;
    let help = "How often this node's lease was gone although Redis was there";
    page.counter("census_leases_lost", help, figures.leases_lost.total())?;
    page.counter("census_sweeps", "Sweeps for nodes that are gone", figures.sweeps.total())?;
    let help = "Leases of others that this node found over, one for each of 16 shards";
    page.counter("census_leases_swept", help, figures.leases_swept.total())
}

/// These are about all nodes, and so each of them says the same.
fn journal(census: &RedisCensus, page: &mut Page<'_, '_>) -> fmt::Result {
    let figures = census.figures();
    let help =
        "Events for webhooks that wait in Redis for a node, as of the last sweep; the same on all nodes";
    page.gauge("journal_events", help, figures.journal_depth())?;
    let help = "Events for webhooks that were cut from a journal that was full; the same on all nodes";
    page.counter("journal_events_cut", help, figures.journal_cut())
}
