//! What the ledger has done since the process began, in counts. Nothing depends on them, and they end with it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::ledger::Ledger;
use super::overview::behind_seconds;
use crate::model::{Alert, AlertKind, Outcome, WallTime};
use crate::trail::{Histogram, SourceId};

/// Passes that are remembered for each source.
const PASSES: usize = 60;

/// What one pass over a source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// When it ended.
    pub ended: WallTime,
    /// How many requests it made.
    pub requests: u32,
    /// The age, at its end, of the oldest event time that had not been read.
    pub behind_seconds: u32,
}

/// The requests of a pass, and what they brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many there were.
    pub requests: u64,
    /// Of these, the ones that AWS refused for being too many.
    pub throttled: u64,
    /// Whether one has failed otherwise.
    pub failed: bool,
    /// Records that came.
    pub records: u64,
}

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
    /// The last passes over each source, the oldest first.
    pub passes: BTreeMap<SourceId, VecDeque<Pass>>,
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
    /// Counts a pass over `source` that ended at `now`.
    pub fn count_pass(&mut self, source: &SourceId, asked: Asked, now: WallTime) {
        let Asked { requests, throttled, failed, records } = asked;
        let failed = u64::from(failed).min(requests.saturating_sub(throttled));
        let ok = requests.saturating_sub(throttled).saturating_sub(failed);
        for (result, count) in [("ok", ok), ("throttled", throttled), ("failed", failed)] {
            *self.tally.lookups.entry((source.clone(), result)).or_default() += count;
        }
        self.tally.records += records;
        let Some(row) = self.sources.get(source) else { return };
        let brief = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let behind_seconds = brief(behind_seconds(row, now));
        let passes = self.tally.passes.entry(source.clone()).or_default();
        if passes.len() >= PASSES {
            passes.pop_front();
        }
        passes.push_back(Pass { ended: now, requests: brief(requests), behind_seconds });
    }
}
