//! What has been seen before: when a combination of values is news.
//!
//! A combination is news at `t` if it was not seen in the time from `t - memory` to `t - window`: so not only its first
//! access is, but every one for a window's length after it. That is what makes the answer independent of the order of
//! arrival: an access that becomes visible late takes nothing back that its successors within the window were told for.
//! (One that is later than the window is long leaves an alert that would not have been needed; `check` warns of a window
//! shorter than `lateness`.)
//!
//! To answer exactly, not all sightings are needed. [`Sightings`] keeps *runs*: the first and the last of sightings that
//! follow each other at most `memory - window` apart. If a run began by `t - window` and went on to `t - memory` or
//! later, one of its sightings lies between the two, since a gap that spans them would have ended the run.

use crate::model::EventTime;

use super::rule::FirstSeen;

/// When one combination of values was seen, as runs in ascending order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings(Vec<(EventTime, EventTime)>);

impl Sightings {
    /// Runs as [`runs`](Self::runs) gave them.
    #[must_use]
    pub fn from_runs(runs: Vec<(EventTime, EventTime)>) -> Self {
        Self(runs)
    }

    /// The first and the last sighting of each run.
    #[must_use]
    pub fn runs(&self) -> &[(EventTime, EventTime)] {
        &self.0
    }

    /// Notes a sighting at `at`, for a rule with this memory and window.
    pub fn see(&mut self, at: EventTime, first_seen: &FirstSeen, window: i64) {
        let gap = first_seen.memory.saturating_sub(window);
        // The runs that it joins: those that it is no farther from than the gap.
        let begin = self.0.partition_point(|(_, last)| last.plus(gap) < at);
        let end = self.0.partition_point(|(first, _)| *first <= at.plus(gap)).max(begin);
        let joined = self.0[begin..end].iter().fold((at, at), |run, other| (run.0.min(other.0), run.1.max(other.1)));
        self.0.splice(begin..end, [joined]);
    }

    /// Whether the combination is news at `at`.
    #[must_use]
    pub fn is_news(&self, at: EventTime, first_seen: &FirstSeen, window: i64) -> bool {
        let (from, to) = (at.minus(first_seen.memory), at.minus(window));
        !self.0.iter().any(|(first, last)| *first <= to && *last >= from)
    }

    /// The last sighting of all.
    #[must_use]
    pub fn last(&self) -> Option<EventTime> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Drops the runs that ended before `floor`, which no question reaches any more.
    pub fn forget(&mut self, floor: EventTime) {
        self.0.retain(|(_, last)| *last >= floor);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first_seen(memory: i64) -> FirstSeen {
        FirstSeen { of: Vec::new(), memory, learn: 0, seed: 0 }
    }

    #[test]
    fn news_is_told_for_a_window_and_again_after_the_memory() {
        let mut seen = Sightings::default();
        let month = first_seen(1000);
        let is_news = |seen: &Sightings, at| seen.is_news(EventTime(at), &month, 60);
        assert!(is_news(&seen, 0));
        seen.see(EventTime(0), &month, 60);
        assert!(is_news(&seen, 0) && is_news(&seen, 59));
        assert!(!is_news(&seen, 60) && !is_news(&seen, 1000));
        assert!(is_news(&seen, 1001));
    }

    #[test]
    fn a_late_sighting_joins_two_runs() {
        let mut seen = Sightings::default();
        for at in [0, 2000, 1000] {
            seen.see(EventTime(at), &first_seen(1060), 60);
        }
        assert_eq!(seen.runs(), [(EventTime(0), EventTime(2000))]);
        seen.forget(EventTime(2001));
        assert_eq!(seen.last(), None);
    }

    proptest! {
        #[test]
        fn runs_answer_as_all_sightings_would(
            seen in prop::collection::vec(-300i64..300, 0..40),
            asked in prop::collection::vec(-400i64..400, 1..20),
            window in 1i64..50,
            more in 0i64..100,
        ) {
            let rule = first_seen(window + more);
            let mut sightings = Sightings::default();
            for at in &seen {
                sightings.see(EventTime(*at), &rule, window);
            }
            prop_assert!(sightings.runs().windows(2).all(|pair| pair[0].1.0 + more < pair[1].0.0));
            for at in asked {
                let naive = !seen.iter().any(|seen| (at - rule.memory..=at - window).contains(seen));
                prop_assert_eq!(sightings.is_news(EventTime(at), &rule, window), naive, "{} of {:?}", at, seen);
            }
        }
    }
}
