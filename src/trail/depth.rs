//! How deep the readings of a poll go, and how often a second is read again before it is settled.
//!
//! An event may become visible any time until `lateness` after it happened. Where the quota allows it, each poll reads
//! all of that horizon, and an event is found at the first poll after it became visible. A busy feed would need more
//! requests for that than AWS gives. There a second is read again at ages that grow geometrically: after a reading at
//! age `a`, the next is put off for as long as `age + interval <= ratio × (a + interval)` holds. Whatever became
//! visible at age `d` was not there yet at the last reading at age `a <= d`; so it is found by age
//!
//! > `ratio × d + (ratio - 1) × interval`
//!
//! which with ratio 2 is `2d + interval`, for some `log2(lateness / interval)` readings of each second. A larger ratio
//! takes fewer, down to two: one when the second is new, one when it is settled.
//!
//! Nothing has to be counted or remembered for this: how old a second was when it was last read stands in
//! [`Coverage`](super::Coverage), and what is due follows from it, after a poll that failed just as after a start.

use std::time::Duration;

use super::coverage::{Fresh, whole_secs};
use crate::model::{Span, WallTime};

/// How deep the readings of one poll go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The whole horizon.
    Whole,
    /// Each second at ages that grow by this ratio, at least 2.
    Ratio(u32),
}

/// What readings cost in requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The whole horizon.
    pub whole: f64,
    /// A poll's first reading of its seconds, when not much shows of them yet.
    pub newest: f64,
    /// Each later reading of as many seconds.
    pub later: f64,
}

/// The share of a poll's requests that reading the whole horizon may take.
const WHOLE_SHARE: f64 = 0.5;

/// The share that readings at growing ages may take; the rest is for faults, restarts and what lies behind.
const RATIO_SHARE: f64 = 0.9;

impl Depth {
    /// The deepest that `requests` for each poll allow at this `cost`, with a recheck as one reading more. If they do not
    /// even allow for two readings of each second, it is those two.
    #[must_use]
    pub fn choose(cost: &Cost, ages: &Ages, rechecks: bool, requests: f64) -> Self {
        // One request is the least that any reading takes.
        if cost.whole <= (requests * WHOLE_SHARE).max(1.0) {
            return Self::Whole;
        }
        let later = |ratio| ages.readings(ratio) - 1 + u32::from(rechecks);
        let cost = |ratio| cost.newest + f64::from(later(ratio)) * cost.later;
        let affordable = (2..ages.ratio_of_two()).find(|ratio| cost(*ratio) <= requests * RATIO_SHARE);
        Self::Ratio(affordable.unwrap_or_else(|| ages.ratio_of_two()))
    }

    /// By which age an event is found that became visible at age `d`: this times `d`, and once less the interval. As in
    /// the module's formula; 1 stands for the first poll after that.
    #[must_use]
    pub fn ratio(self) -> u32 {
        match self {
            Self::Whole => 1,
            Self::Ratio(ratio) => ratio,
        }
    }
}

/// The two ages between which seconds are read again, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Between two polls.
    pub interval: i64,
    /// After which nothing more appears.
    pub lateness: i64,
}

impl Ages {
    /// Ages are whole seconds, at least one.
    #[must_use]
    pub fn new(interval: Duration, lateness: Duration) -> Self {
        Self { interval: whole_secs(interval).max(1), lateness: whole_secs(lateness).max(1) }
    }

    /// What of `fresh` is to be read at `now`, because the next poll would be too late for it, ascending: its newest
    /// seconds, and those that can be settled.
    pub fn due(&self, fresh: &Fresh, now: WallTime, ratio: u32) -> impl Iterator<Item = Span> {
        // After a reading at age `a`, the next poll comes at age `a + waited`.
        let waited = now.second().0.saturating_sub(fresh.at.second().0).saturating_add(self.interval);
        // Too late is: a + waited + interval > ratio × (a + interval).
        let slack = waited.saturating_add(self.interval) - i64::from(ratio) * self.interval;
        // So is every age `a` with (ratio - 1) × a < slack.
        let youngest = slack.saturating_sub(1).div_euclid(i64::from(ratio.max(2)) - 1);
        // What one poll brought stays together: in pieces it would cost more requests.
        let youngest = (youngest.div_euclid(self.interval) + 1).saturating_mul(self.interval) - 1;
        let young = Span::new(fresh.span.from.max(fresh.at.second().minus(youngest)), fresh.span.to);
        let young = young.filter(|_| youngest >= 0);
        let old = Span::new(fresh.span.from, fresh.span.to.min(now.second().minus(self.lateness)));
        old.into_iter().chain(young)
    }

    /// How often a second is read until it is settled.
    #[must_use]
    pub fn readings(&self, ratio: u32) -> u32 {
        let settled = self.settled();
        let (mut age, mut readings) = (0, 1);
        while age < settled {
            // In intervals, with the youngest second of a poll: the one that is due first.
            age += ((i64::from(ratio) - 1).saturating_mul(age + 1)).max(1);
            readings += 1;
        }
        readings
    }

    /// The smallest ratio with which every second is read no more than twice.
    fn ratio_of_two(&self) -> u32 {
        u32::try_from(self.settled().saturating_add(1)).unwrap_or(u32::MAX).clamp(2, MAX_RATIO)
    }

    /// After how many intervals all seconds of one poll can be settled together.
    fn settled(&self) -> i64 {
        self.lateness.saturating_add(self.interval - 1).div_euclid(self.interval)
    }
}

/// Beyond this ratio nothing changes for any horizon that retention allows at sensible intervals, and looking for the
/// smallest that fits stays cheap.
const MAX_RATIO: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventTime;

    const MINUTES: Ages = Ages { interval: 60, lateness: 900 };

    /// What is due of a reading of all of the last `length` seconds, `waited` seconds after it, as ages at that reading.
    fn due(ratio: u32, length: i64, waited: i64) -> Vec<(i64, i64)> {
        let at = EventTime(1_000_000);
        let fresh = Fresh { span: Span { from: at.minus(length), to: at }, at: at.wall() };
        let due = MINUTES.due(&fresh, at.plus(waited).wall(), ratio);
        due.map(|span| (at.0 - span.to.0, at.0 - span.from.0)).collect()
    }

    #[test]
    fn the_younger_a_second_was_the_sooner_it_is_due() {
        assert_eq!(due(2, 300, 60), [(0, 59)]);
        assert_eq!(due(2, 300, 120), [(0, 119)]);
        assert_eq!(due(2, 300, 240), [(0, 239)]);
        assert_eq!(due(4, 300, 60), []);
        assert_eq!(due(4, 300, 180), [(0, 59)]);
        assert_eq!(due(17, 300, 600), [(300, 300)], "what can be settled is due, whatever the ratio");
    }

    #[test]
    fn readings_of_a_second_by_ratio() {
        for (ratio, readings) in [(2, 5), (3, 4), (4, 3), (15, 3), (16, 2), (17, 2)] {
            assert_eq!(MINUTES.readings(ratio), readings, "ratio {ratio}");
        }
        assert_eq!(Ages { interval: 60, lateness: 86_400 }.readings(2), 12);
        assert_eq!(Ages { interval: 900, lateness: 60 }.readings(2), 2);
    }

    #[test]
    fn the_depth_is_what_the_quota_allows() {
        let choose = |per_second: f64, requests| {
            let a_poll = (per_second * 60.0 / 50.0).ceil().max(1.0);
            let cost = Cost { whole: (per_second * 900.0 / 50.0).ceil(), newest: a_poll, later: a_poll };
            Depth::choose(&cost, &MINUTES, false, requests)
        };
        for (per_second, requests, depth) in [
            (0.0, 0.1, Depth::Whole),
            (0.05, 1.0, Depth::Whole),
            (0.06, 1.0, Depth::Ratio(16)),
            (1.6, 60.0, Depth::Whole),
            (1.7, 60.0, Depth::Ratio(2)),
            (8.0, 60.0, Depth::Ratio(2)),
            (10.0, 60.0, Depth::Ratio(3)),
            (15.0, 60.0, Depth::Ratio(4)),
            (20.0, 60.0, Depth::Ratio(16)),
            (100.0, 60.0, Depth::Ratio(16)),
            (20.0, f64::INFINITY, Depth::Whole),
        ] {
            assert_eq!(choose(per_second, requests), depth, "{per_second} events/s, {requests} requests");
        }
        let cost = Cost { whole: 270.0, newest: 18.0, later: 18.0 };
        assert_eq!(Depth::choose(&cost, &MINUTES, true, 60.0), Depth::Ratio(16), "room for the recheck");
        // Where events are minutes late, the first of three readings costs next to nothing.
        let cost = Cost { whole: 360.0, newest: 1.0, later: 24.0 };
        assert_eq!(Depth::choose(&cost, &MINUTES, false, 60.0), Depth::Ratio(4));
    }
}
