//! What the ledger has done since the process began, in counts. Nothing depends on them, and they end with it.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use crate::model::{Alert, AlertKind, Outcome, WallTime};
use crate::trail::{Histogram, SourceId};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that AWS has served.
    pub records: u64,
    /// Of these, the ones that were known.
    pub duplicates: u64,
    /// Accesses that were new, by outcome.
    pub accesses: BTreeMap<Outcome, u64>,
    /// Requests to AWS, by source and how they ended.
    pub lookups: BTreeMap<(SourceId, &'static str), u64>,
    /// How long after they happened events were first seen.
    pub visibility: Histogram,
    /// How long after their first access was seen alerts were accepted.
    pub detection: Histogram,
    /// Alerts that were decided, by rule and kind.
    pub alerts: BTreeMap<(String, AlertKind), u64>,
    /// Attempts to deliver, by notifier and how they ended.
    pub deliveries: BTreeMap<(String, &'static str), u64>,
}

impl Tally {
    pub(super) fn alert(&mut self, alert: &Alert) {
        *self.alerts.entry((alert.rule.name.clone(), alert.kind)).or_default() += 1;
    }

    pub(super) fn delivery(&mut self, notifier: &str, result: &'static str) {
        *self.deliveries.entry((notifier.to_owned(), result)).or_default() += 1;
    }

    /// An alert was accepted at `at`.
    pub(super) fn accepted(&mut self, alert: &Alert, at: WallTime) {
        if let Some(first) = alert.accesses.iter().map(|access| access.seen).min() {
            self.detection.note(at.since(first));
        }
    }
}

impl Ledger {
    /// Counts a pass over `source`: its requests, how many of them were throttled, whether one failed otherwise, and how
    /// many records they brought.
    pub fn count_pass(&mut self, source: &SourceId, requests: u64, throttled: u64, failed: bool, records: u64) {
        let failed = u64::from(failed).min(requests.saturating_sub(throttled));
        let ok = requests.saturating_sub(throttled).saturating_sub(failed);
        for (result, count) in [("ok", ok), ("throttled", throttled), ("failed", failed)] {
            *self.tally.lookups.entry((source.clone(), result)).or_default() += count;
        }
        self.tally.records += records;
    }
}
