//! Accesses of the last day, in bars of half an hour, by how they ended.

use std::time::Duration;

use crate::model::{Access, EventTime, Outcome, WallTime};

/// Seconds of one bar, and how many there are.
const BAR: i64 = 1800;
pub(super) const BARS: usize = 48;

/// The outcomes, from the bottom of a bar to its top.
pub(super) const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Denied, Outcome::Failed];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    /// Where the first bar begins.
    begin: EventTime,
    counts: Vec<[u64; OUTCOMES.len()]>,
    /// From where on everything is counted; none: all of it.
    pub(super) whole_from: Option<EventTime>,
}

impl Chart {
    /// An empty one whose last bar is the one of `now`.
    pub(super) fn until(now: WallTime) -> Self {
        let end = (now.second().0.div_euclid(BAR) + 1) * BAR;
        let length = BAR.saturating_mul(i64::try_from(BARS).unwrap_or(i64::MAX));
        Self { begin: EventTime(end - length), counts: vec![[0; OUTCOMES.len()]; BARS], whole_from: None }
    }

    /// Where it begins.
    pub(super) fn begin(&self) -> EventTime {
        self.begin
    }

    /// How long it is.
    pub(super) fn span() -> Duration {
        Duration::from_secs(BAR.unsigned_abs() * BARS as u64)
    }

    /// The bar of `at`; none: it lies elsewhere.
    pub(super) fn place(&self, at: EventTime) -> Option<usize> {
        usize::try_from((at.0 - self.begin.0).div_euclid(BAR)).ok().filter(|place| *place < BARS)
    }

    pub(super) fn note(&mut self, access: &Access) {
        if let Some(bar) = self.place(access.time)
            && let Some(part) = OUTCOMES.iter().position(|outcome| *outcome == access.outcome)
        {
            self.counts[bar][part] += 1;
        }
    }

    /// Where each bar begins, and how many accesses of each outcome it has; the oldest first.
    pub(super) fn bars(&self) -> impl Iterator<Item = (EventTime, [u64; OUTCOMES.len()])> {
        let begins = (0..).map(|bar| self.begin.plus(bar * BAR));
        begins.zip(self.counts.iter().copied())
    }

    /// How many accesses of each outcome there are.
    pub(super) fn totals(&self) -> [u64; OUTCOMES.len()] {
        let mut totals = [0; OUTCOMES.len()];
        for bar in &self.counts {
            for (total, count) in totals.iter_mut().zip(bar) {
                *total += count;
            }
        }
        totals
    }

    /// How many accesses the highest bar has.
    pub(super) fn highest(&self) -> u64 {
        self.counts.iter().map(|bar| bar.iter().sum()).max().unwrap_or(0)
    }
}
