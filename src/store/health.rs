//! How well the work goes, in the few figures by which somebody can say that all is well.
//!
//! Only the worst of each kind is told: whoever asks wants to know whether something is wrong, and then what to look at
//! first. Sources are in memory and an outbox lies in the order in which it was filled, so the answer costs one look at
//! each source and one row for each notifier, however much is stored.

use std::time::Duration;

use super::StoreError;
use super::keys;
use super::ledger::{Ledger, Troubles};
use super::rows::{self, DeliveryRow, SourceRow};
use crate::detect::Trouble;
use crate::model::WallTime;
use crate::trail::SourceId;

/// The worst of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// How many sources are read.
    pub sources: u64,
    /// How many of them were not read through within [`stale_after`](Self::stale_after), blind ones included.
    pub unfresh: u64,
    /// How many are blind.
    pub blind: u64,
    /// How many incidents are open.
    pub incidents: u64,
    /// The source that has not been read through for longest; a blind one before all others.
    pub stalest: Option<Staleness>,
    /// The delivery that has waited for longest. Dead letters wait for nothing.
    pub slowest: Option<Waiting>,
    /// How long a source may go without being read through.
    pub stale_after: Duration,
}

/// Since when a source has not been read through.
#[derive(Clone, Debug, PartialEq)]
pub struct Staleness {
    /// Which source.
    pub source: SourceId,
    /// When it was last read through, if ever.
    pub read_through: Option<WallTime>,
    /// Whether it counts as blind.
    pub blind: bool,
    /// Why the last pass did not, if it did not.
    pub why: Option<Trouble>,
}

/// Since when a notifier has not accepted something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which notifier.
    pub notifier: String,
    /// When the alert was queued.
    pub queued: WallTime,
}

impl Ledger {
    /// When time was last let pass, which whoever keeps the ledger does every few seconds.
    #[must_use]
    pub fn ticked(&self) -> WallTime {
        self.ticked
    }

    /// Whether `source` was read through within `stale_after`.
    pub(super) fn is_fresh(&self, source: &SourceRow, now: WallTime) -> bool {
        let is_within = |at: WallTime| now.since(at) <= self.settings.stale_after;
        source.blind.is_none() && source.read_through.is_some_and(is_within)
    }

    /// How well the work goes at `now`.
    pub fn health(&self, now: WallTime) -> Result<Health, StoreError> {
        // False comes before true, and none before any time.
        let urgency = |row: &SourceRow| (row.blind.is_none(), row.read_through);
        let stalest = self.sources.iter().min_by_key(|(_, row)| urgency(row)).map(|(source, row)| Staleness {
            source: source.clone(),
            read_through: row.read_through,
            blind: row.blind.is_some(),
            why: self.troubles.get(source).and_then(Troubles::present).cloned(),
        });
        let mut slowest: Option<Waiting> = None;
        for recipient in &self.settings.recipients {
            let Some(row) = self.kv.prefix(&keys::queue(&recipient.name).end()).next() else { continue };
            let (key, value) = row?;
            let DeliveryRow { queued, .. } = rows::decode(&key, &value)?;
            if slowest.as_ref().is_none_or(|slowest| queued < slowest.queued) {
                slowest = Some(Waiting { notifier: recipient.name.clone(), queued });
            }
        }
        let of_them = |is: &dyn Fn(&SourceRow) -> bool| self.sources.values().filter(|row| is(row)).count() as u64;
        Ok(Health {
            sources: self.sources.len() as u64,
            unfresh: of_them(&|row| !self.is_fresh(row, now)),
            blind: of_them(&|row| row.blind.is_some()),
            incidents: self.open.len() as u64,
            stalest,
            slowest,
            stale_after: self.settings.stale_after,
        })
    }
}
