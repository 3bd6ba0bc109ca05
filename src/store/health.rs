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
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
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

    /// How well the work goes.
    pub fn health(&self) -> Result<Health, StoreError> {
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
        Ok(Health { stalest, slowest, stale_after: self.settings.stale_after })
    }
}
