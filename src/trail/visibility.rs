//! How late events become visible, as measured.
//!
//! AWS promises nothing about that for the Event history, so `lateness` is the operator's guess, and it differs between
//! Regions and years. [`Visibility`] measures it for one source: how long after an event happened we first saw it, as
//! counts by [`BUCKETS`]. It forgets slowly, by halving all counts whenever there are many, so that it follows change;
//! and it [suggests](Visibility::suggest) a wider `lateness` where the one in force is too short for one event in a
//! thousand. The counts alone are a [`Histogram`], which never forgets: that is what a metric must do.
//!
//! Absent on purpose: which events count. An event that lay in a gap and was read up later says how late we were, not
//! AWS; whoever feeds this leaves such events out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The buckets' upper bounds in seconds, inclusive; beyond the last there is one more. Each is a duration that a person
/// would write, for they are shown to people. They are closest together around the minutes that AWS mostly takes.
pub const BUCKETS: [u64; 20] =
    [1, 5, 15, 30, 60, 120, 180, 240, 300, 420, 600, 900, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 172_800];

/// All of them and what lies beyond.
const ALL: usize = BUCKETS.len() + 1;

/// Counts are halved when there are so many. Half of it still has ten events in the last thousandth.
const FORGETS_AT: u64 = 20_000;

/// Fewer events say nothing about one in a thousand.
const ENOUGH: u64 = 1_000;

/// The share of events that `lateness` should be long enough for.
const NEARLY_ALL: f64 = 0.999;

/// What a single delay adds to the sum at most: the Event history knows nothing older, so more is a clock's fault.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);

/// Delays counted by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; ALL],
    sum_millis: u64,
}

impl Histogram {
    /// Counts one delay.
    pub fn note(&mut self, delay: Duration) {
        let bucket = BUCKETS.partition_point(|bound| Duration::from_secs(*bound) < delay);
        let millis = u64::try_from(delay.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum_millis = self.sum_millis.saturating_add(millis);
    }

    /// How many delays were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// All delays together, each held to 90 days.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_millis)
    }

    /// Each bucket's upper bound in seconds, and how many delays were at most that, ascending; what lies beyond the last
    /// is the rest of [`count`](Self::count).
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let running = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        BUCKETS.into_iter().zip(running)
    }

    /// The upper bound of the bucket that holds this quantile, by the nearest rank; [`Duration::MAX`] beyond the last
    /// bucket, none without any delay.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let share = if quantile.is_nan() { 1.0 } else { quantile.clamp(0.0, 1.0) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank that is off by a few of 2^53 is in the same bucket"
        )]
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count);
        let within = self.cumulative().find(|(_, running)| *running >= rank);
        Some(within.map_or(Duration::MAX, |(bound, _)| Duration::from_secs(bound)))
    }

    fn halve(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
        self.sum_millis /= 2;
    }
}

/// How late the events of one source lately became visible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Visibility {
    lately: Histogram,
}

impl Visibility {
    /// Notes that an event was first seen this long after it happened.
    pub fn note(&mut self, delay: Duration) {
        self.lately.note(delay);
        self.forget();
    }

    /// The counts; older ones weigh less.
    #[must_use]
    pub fn lately(&self) -> &Histogram {
        &self.lately
    }

    /// See [`Histogram::quantile`].
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.lately.quantile(quantile)
    }

    /// A `lateness` that nearly all events keep to, if there have been enough of them and `lateness` is shorter. None
    /// where the last of them are later than any bucket: no `lateness` mends that, and `recheck` finds them.
    #[must_use]
    pub fn suggest(&self, lateness: Duration) -> Option<Duration> {
        if self.lately.count() < ENOUGH {
            return None;
        }
        self.quantile(NEARLY_ALL).filter(|wider| *wider > lateness && *wider < Duration::MAX)
    }

    fn forget(&mut self) {
        while self.lately.count() >= FORGETS_AT {
            self.lately.halve();
        }
    }
}

/// How it is kept. Buckets that are not ours are those of another version, and measuring begins anew.
#[derive(Serialize, Deserialize)]
struct Stored {
    counts: Vec<u64>,
    sum_millis: u64,
}

impl From<Stored> for Visibility {
    fn from(Stored { counts, sum_millis }: Stored) -> Self {
        let Ok(counts) = <[u64; ALL]>::try_from(counts) else { return Self::default() };
        let mut stored = Self { lately: Histogram { counts, sum_millis } };
        stored.forget();
        stored
    }
}

impl From<Visibility> for Stored {
    fn from(Visibility { lately: Histogram { counts, sum_millis } }: Visibility) -> Self {
        Self { counts: counts.to_vec(), sum_millis }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const MIN: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn seen(delays: &[(u32, Duration)]) -> Visibility {
        let mut visibility = Visibility::default();
        for (times, delay) in delays {
            (0..*times).for_each(|_| visibility.note(*delay));
        }
        visibility
    }

    fn stored(visibility: &Visibility) -> String {
        serde_json::to_string(visibility).unwrap()
    }

    #[test]
    fn every_bound_is_what_a_person_would_write() {
        assert!(BUCKETS.is_sorted());
        for bound in BUCKETS {
            let written = humantime::format_duration(Duration::from_secs(bound)).to_string();
            assert!(!written.contains(' ') && written.len() <= 5, "{written}");
        }
    }

    #[test]
    fn a_quantile_is_the_upper_bound_of_its_bucket() {
        for (delays, quantile, expected) in [
            (&[][..], 0.5, None),
            (&[(1, Duration::ZERO)], 0.5, Some(SEC)),
            (&[(1, SEC)], 0.999, Some(SEC)),
            (&[(1, SEC + Duration::from_millis(1))], 0.0, Some(SEC * 5)),
            (&[(1, MIN * 5)], 0.5, Some(MIN * 5)),
            (&[(1, MIN * 5 + SEC)], 0.5, Some(MIN * 7)),
            (&[(999, MIN), (1, HOUR)], 0.999, Some(MIN)),
            (&[(998, MIN), (2, HOUR)], 0.999, Some(HOUR)),
            (&[(998, MIN), (2, HOUR)], 0.5, Some(MIN)),
            (&[(1, HOUR * 48)], 1.0, Some(HOUR * 48)),
            (&[(1, HOUR * 49)], 1.0, Some(Duration::MAX)),
            (&[(9, MIN), (1, HOUR)], f64::NAN, Some(HOUR)),
            (&[(9, MIN), (1, HOUR)], -3.0, Some(MIN)),
            (&[(9, MIN), (1, HOUR)], 3.0, Some(HOUR)),
        ] {
            assert_eq!(seen(delays).quantile(quantile), expected, "{delays:?} {quantile}");
        }
    }

    #[test]
    fn a_wider_lateness_is_suggested_where_enough_events_are_later() {
        for (delays, lateness, expected) in [
            (&[][..], MIN, None),
            // As one real trail had it: nothing to suggest.
            (&[(500, MIN * 3), (495, MIN * 8), (5, MIN * 10)], MIN * 15, None),
            (&[(999, MIN * 3), (1, HOUR)], MIN * 15, None),
            (&[(998, MIN * 3), (2, MIN * 25)], MIN * 15, Some(MIN * 30)),
            (&[(998, MIN * 3), (2, MIN * 25)], MIN * 30, None),
            (&[(997, MIN * 3), (2, MIN * 25)], MIN * 15, None),
            (&[(1000, MIN * 3)], Duration::ZERO, Some(MIN * 3)),
            (&[(1000, MIN * 3)], MIN * 2 + SEC * 30, Some(MIN * 3)),
            (&[(998, MIN * 3), (2, HOUR * 20)], MIN * 15, Some(HOUR * 24)),
            (&[(998, MIN * 3), (2, HOUR * 72)], MIN * 15, None),
            (&[(1000, MIN)], Duration::MAX, None),
        ] {
            assert_eq!(seen(delays).suggest(lateness), expected, "{delays:?} {lateness:?}");
        }
    }

    #[test]
    fn it_follows_change() {
        let quick = (3 * u32::try_from(FORGETS_AT).unwrap(), MIN * 3);
        let slow = |times| seen(&[quick, (times, MIN * 25)]);
        assert_eq!(slow(0).suggest(MIN * 15), None);
        assert_eq!(slow(50).suggest(MIN * 15), Some(MIN * 30), "soon when it gets worse");
        let again = |times| seen(&[quick, (1_000, MIN * 25), (times, MIN * 3)]);
        assert_eq!(again(20_000).suggest(MIN * 15), Some(MIN * 30));
        assert_eq!(again(80_000).suggest(MIN * 15), None, "and later when it gets better");
    }

    #[test]
    fn a_metric_adds_up() {
        let mut counted = Histogram::default();
        for delay in [SEC, SEC * 3, MIN * 4, HOUR * 100, Duration::MAX] {
            counted.note(delay);
        }
        let cumulative: Vec<(u64, u64)> = counted.cumulative().collect();
        assert_eq!(cumulative.len(), BUCKETS.len());
        assert_eq!((cumulative[0], cumulative[1], cumulative[7]), ((1, 1), (5, 2), (240, 3)));
        assert_eq!((cumulative[19], counted.count()), ((172_800, 3), 5));
        assert_eq!(counted.sum(), SEC * 4 + MIN * 4 + HOUR * 100 + LONGEST);
    }

    #[test]
    fn what_is_stored_may_be_anything() {
        let ours = stored(&seen(&[(3, MIN)]));
        assert_eq!(serde_json::from_str::<Visibility>(&ours).unwrap(), seen(&[(3, MIN)]));
        let list = |number: &str, times: usize| vec![number; times].join(",");
        for (counts, is_new) in [
            (list("1", 0), true),
            (list("1", ALL - 1), true),
            (list("1", ALL + 1), true),
            (list("1", ALL), false),
            (list("18446744073709551615", ALL), false),
        ] {
            let text = format!("{{\"counts\":[{counts}],\"sum_millis\":18446744073709551615,\"more\":0}}");
            let mut read: Visibility = serde_json::from_str(&text).unwrap();
            assert_eq!(read == Visibility::default(), is_new, "{text}");
            read.note(MIN);
            assert!(read.lately.count() < FORGETS_AT, "{text}");
        }
    }

    proptest! {
        /// Against sorting the delays and looking.
        #[test]
        fn it_agrees_with_sorting(
            delays in prop::collection::vec(prop_oneof![0..1_000_u64, 0..1_000_000_u64, 0..400_000_000_u64], 1..300),
            thousandths in 0..=1000_usize,
        ) {
            let mut sorted = delays.clone();
            sorted.sort_unstable();
            let rank = (sorted.len() * thousandths).div_ceil(1000).max(1);
            let at_rank = Duration::from_millis(sorted[rank - 1]);
            let bound = BUCKETS.into_iter().map(Duration::from_secs).find(|bound| at_rank <= *bound);
            let mut visibility = Visibility::default();
            delays.iter().for_each(|millis| visibility.note(Duration::from_millis(*millis)));
            // A product that is a whole number by thousandths may lie a hair above it in floating point.
            let quantile = thousandths as f64 / 1000.0 - 1e-9;
            prop_assert_eq!(visibility.quantile(quantile), Some(bound.unwrap_or(Duration::MAX)));
            prop_assert_eq!(visibility.lately().count(), delays.len() as u64);
            prop_assert_eq!(visibility.lately().sum(), Duration::from_millis(delays.iter().sum()));
        }

        /// However much it has seen, it stays small, and comes back as it was.
        #[test]
        fn it_stays_small(runs in prop::collection::vec((0..12_000_u32, 0..u64::MAX), 0..6)) {
            let runs: Vec<_> = runs.into_iter().map(|(times, millis)| (times, Duration::from_millis(millis))).collect();
            let visibility = seen(&runs);
            let text = stored(&visibility);
            prop_assert!(text.len() < 400, "{}", text);
            prop_assert!(visibility.lately().count() < FORGETS_AT);
            prop_assert_eq!(serde_json::from_str::<Visibility>(&text).unwrap(), visibility);
        }
    }
}
