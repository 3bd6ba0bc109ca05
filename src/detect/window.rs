//! Which sliding windows cross a threshold, and which accesses lie in one that does.
//!
//! The window that ends at an access at `t` holds the accesses with `t - window < time <= t`. It crosses when the
//! statistic over it is at least the threshold. Whole seconds: accesses of one second share their window. There is no
//! state here, on purpose: windows are worked out from the accesses each time, so no order of arrival can leave them
//! wrong. The two passes below are linear in the accesses looked at.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Rule, Statistic, sequence};
use crate::model::{EventTime, Span};

/// One counted access, as much of it as counting needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When it happened.
    pub at: EventTime,
    /// Under which id it counts once ([`Access::identity`](crate::model::Access::identity)).
    pub id: Arc<str>,
    /// What it adds to a distinct count; the same for all in a sum.
    pub value: u64,
    /// The steps of a sequence that it is a part of, a bit each.
    pub steps: u8,
    /// Whether an alert has held it already although its window does not show it: a better copy of the record has
    /// moved it here from another group or second. Such an access counts but is never reported again.
    pub reported: bool,
}

/// A window that crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The second at which the window ends.
    pub end: EventTime,
    /// The statistic over it.
    pub value: u64,
}

/// The crossing windows whose ends lie in one of `ends`, by end. `entries` are sorted by time and complete for one
/// window before each of those ends.
#[must_use]
pub fn crossings(rule: &Rule, entries: &[Entry], ends: &[Span]) -> Vec<Crossing> {
    if !rule.steps.is_empty() {
        return sequence::crossings(rule, entries, ends);
    }
    let mut found = Vec::new();
    let mut tally = Tally::new(rule.statistic);
    let (mut oldest, mut next) = (0, 0);
    while next < entries.len() {
        let end = entries[next].at;
        while next < entries.len() && entries[next].at == end {
            tally.add(entries[next].value);
            next += 1;
        }
        while entries[oldest].at <= end.minus(rule.window) {
            tally.remove(entries[oldest].value);
            oldest += 1;
        }
        let value = tally.value();
        if value >= rule.threshold && ends.iter().any(|span| span.contains(end)) {
            found.push(Crossing { end, value });
        }
    }
    found
}

/// For each of `entries`, whether one of the `crossings` windows holds it. Both are sorted by time.
#[must_use]
pub fn covered(rule: &Rule, entries: &[Entry], crossings: &[Crossing]) -> Vec<bool> {
    let mut next = 0;
    entries
        .iter()
        .map(|entry| {
            while next < crossings.len() && crossings[next].end < entry.at {
                next += 1;
            }
            crossings.get(next).is_some_and(|crossing| crossing.end.minus(rule.window) < entry.at)
        })
        .collect()
}

/// The statistic over a window whose edges move.
enum Tally {
    Sum(u64),
    Distinct(HashMap<u64, u64>),
}

impl Tally {
    fn new(statistic: Statistic) -> Self {
        match statistic {
            Statistic::Sum => Self::Sum(0),
            Statistic::Distinct(_) => Self::Distinct(HashMap::new()),
        }
    }

    fn add(&mut self, value: u64) {
        match self {
            Self::Sum(count) => *count += 1,
            Self::Distinct(counts) => *counts.entry(value).or_default() += 1,
        }
    }

    fn remove(&mut self, value: u64) {
        match self {
            Self::Sum(count) => *count -= 1,
            Self::Distinct(counts) => {
                if let Some(count) = counts.get_mut(&value) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&value);
                    }
                }
            }
        }
    }

    fn value(&self) -> u64 {
        match self {
            Self::Sum(count) => *count,
            Self::Distinct(counts) => counts.len() as u64,
        }
    }
}
