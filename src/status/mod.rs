//! How the daemon stands, for people and programs that look.
//!
//! A [`Status`] is one value; metrics, page and JSON are pure renderings of it, and so is the [`sentence`] that systemd
//! and `secretwatch health` get. It is made when somebody looks, at most once a second, so that it is as new as the last
//! pass and costs nothing while nobody does. What takes a look at many rows, lists and the chart, is asked of the store
//! besides, in slices. [`Server`] is the only part that listens.

mod api;
mod chart;
mod desk;
mod door;
mod metrics;
mod page;
mod server;

use crate::model::{WallTime, count, printable};
use crate::store::{Health, OutboxStanding, Overview, SourceStanding, Staleness};

pub use server::{BadServer, Server};

/// An alert that has waited for less is on its way.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(60);

/// Characters of what is said of the sources, and of what waits: AWS may say anything.
const READING_MAX: usize = 200;

/// How the daemon stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When it began.
    pub began: WallTime,
    /// What it knows.
    pub overview: Overview,
}

impl Status {
    /// How it goes, the worst first.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Overview { health, outboxes, at, .. } = &self.overview;
        let dead: u64 = outboxes.iter().map(|outbox| outbox.dead).sum();
        let given_up = if dead > 0 { format!("; {} given up", count(dead, "alert")) } else { String::new() };
        sentence(health, *at) + &given_up
    }

    /// Why it is not ready: what cannot be relied on.
    #[must_use]
    pub fn objections(&self) -> Vec<String> {
        let says = |source: &SourceStanding| {
            let SourceStanding { account, region, blind_since, trouble, .. } = source;
            let what = if blind_since.is_some() { "is blind" } else { "was not read through lately" };
            let why = trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{account}/{region} {what}{why}")
        };
        self.overview.sources.iter().filter(|source| !source.fresh).map(says).collect()
    }

    /// Whether something is stuck in the outbox of a notifier.
    fn is_stuck(outbox: &OutboxStanding) -> bool {
        outbox.refused > 0 || outbox.dead > 0
    }
}

/// How it goes: whether all is read, what is open, and what waits; the worst first. One line of
/// bounded length, without a full stop.
#[must_use]
pub fn sentence(health: &Health, now: WallTime) -> String {
    let Health { sources, unfresh, blind, incidents, stalest, slowest, .. } = health;
    let all = count(*sources, "source");
    let reading = match stalest {
        Some(Staleness { source, blind: true, read_through, why }) => {
            let since = read_through.map_or("the start".to_owned(), |at| at.second().to_string());
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let of = if *sources == 1 { String::new() } else { format!(" in {blind} of {all}") };
            format!("Blind{of}: {source} has not been read through since {since}{why}")
        }
        Some(Staleness { source, why: Some(why), .. }) => format!("{source} was not read through: {why}"),
        Some(Staleness { source, read_through: None, .. }) => format!("{source} is being read for the first time"),
        Some(_) if *unfresh > 0 => format!("{unfresh} of {all} not read through lately"),
        _ if *sources == 1 => "Watching 1 source, which is fresh".to_owned(),
        _ => format!("Watching {all}, all fresh"),
    };
    let waits = slowest.as_ref().filter(|waiting| now.since(waiting.queued) > ON_ITS_WAY);
    let waits = waits.map(|it| format!("; an alert has waited for {:?} since {}", it.notifier, it.queued.second()));
    let open = if *incidents == 0 { "no incident".to_owned() } else { count(*incidents, "incident") };
    let waits = waits.unwrap_or_default();
    format!("{}{}; {open} open", printable(&reading, READING_MAX), printable(&waits, READING_MAX))
}

/// The same for whoever sees nothing else, and may see it later: with the time at which all had been read through.
#[must_use]
pub fn line(health: &Health, now: WallTime) -> String {
    let read = health.stalest.as_ref().filter(|it| !it.blind && it.why.is_none()).and_then(|it| it.read_through);
    let read = read.map(|at| format!("; read through at {}", at.second())).unwrap_or_default();
    sentence(health, now) + &read
}

#[cfg(test)]
mod tests;
