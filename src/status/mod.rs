//! How the daemon stands, for people and programs that look.
//!
//! A [`Status`] is one value; metrics, page and JSON are pure renderings of it. It is made when somebody looks, at most
//! once a second, so that it is as new as the last pass and costs nothing while nobody does. Lists of accesses and alerts
//! are asked of the store as well. [`Server`] is the only part that listens.

mod metrics;
mod page;
mod server;

use crate::model::{WallTime, count};
use crate::store::{OutboxStanding, Overview, SourceStanding};

pub use server::{BadServer, Server};

/// How the daemon stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When it began.
    pub began: WallTime,
    /// What it knows.
    pub overview: Overview,
}

impl Status {
    /// How it goes, in a sentence or two, the worst first.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Overview { sources, incidents, outboxes, .. } = &self.overview;
        let blind = sources.iter().filter(|source| source.blind_since.is_some()).count() as u64;
        let stale = sources.iter().filter(|source| !source.fresh).count() as u64;
        let all = count(sources.len() as u64, "source");
        let reading = match (blind, stale) {
            (0, 0) if sources.len() == 1 => "Watching 1 source, which is fresh".to_owned(),
            (0, 0) => format!("Watching {all}, all fresh"),
            (0, stale) => format!("Watching {all}, of which {stale} not read through lately"),
            (blind, _) => format!("Blind: {blind} of {all} cannot be read through"),
        };
        let open = match incidents.len() as u64 {
            0 => "no incident is open".to_owned(),
            1 => "1 incident is open".to_owned(),
            many => format!("{many} incidents are open"),
        };
        let waiting: u64 = outboxes.iter().map(|outbox| outbox.waiting).sum();
        let dead: u64 = outboxes.iter().map(|outbox| outbox.dead).sum();
        let mut stuck = String::new();
        if waiting > 0 {
            stuck += &format!("; {} to be delivered", count(waiting, "alert"));
        }
        if dead > 0 {
            stuck += &format!("; {} given up", count(dead, "alert"));
        }
        format!("{reading}; {open}{stuck}.")
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

#[cfg(test)]
mod tests;
