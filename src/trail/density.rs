//! How many events each second of a feed holds, as far as its readings have shown.
//!
//! A reading costs its events by the page, so whoever plans readings within a quota has to know how busy the feed is,
//! and where: a burst of ten thousand events in ten seconds costs two hundred requests each time those ten seconds are
//! read again, and the hour around it nothing. So a [`Density`] counts by the second, and takes the mean for seconds
//! that no reading of this process has shown yet.
//!
//! A second that was read while it was young shows only what had become visible by then, which on a trail that is four
//! minutes late is next to nothing. So the mean is that of *settled* seconds, read when nothing more could appear, and
//! younger ones are taken to hold that much in the end, unless they show more already.
//!
//! It only steers: what is wrong here costs requests or time, and never an event.

use std::collections::BTreeMap;

use super::lookup::PAGE_EVENTS;
use super::spans::SpanSet;
use crate::model::{EventTime, Span};

/// What was known when the process began counts like so many seconds of reading.
const PRIOR_SECONDS: f64 = 60.0;

/// Settled seconds that the mean is taken over, at most. Longer, and a plan would be too hopeful when a source gets busy,
/// and too careful when it has long been quiet again; shorter, and the mean would be an accident.
const LATELY_SECONDS: f64 = 300.0;

/// Events by second of event time. Seconds without any take no room.
#[derive(Clone, Debug, Default)]
pub struct Density {
    counts: BTreeMap<EventTime, u32>,
    /// Of `counts`.
    total: u64,
    /// The seconds that `counts` tells of.
    known: SpanSet,
    /// Those among them in which nothing more will appear.
    settled: SpanSet,
    /// Settled seconds, and among them those that are gone.
    lately: Mean,
}

/// Events and the seconds in which they were; older ones weigh less.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    events: f64,
    seconds: f64,
}

impl Mean {
    fn add(&mut self, events: u64, seconds: i64) {
        self.events += events as f64;
        self.seconds += seconds as f64;
        if self.seconds > LATELY_SECONDS {
            let kept = LATELY_SECONDS / 2.0 / self.seconds;
            *self = Self { events: self.events * kept, seconds: self.seconds * kept };
        }
    }

    fn per_second(self) -> f64 {
        if self.seconds > 0.0 { self.events / self.seconds } else { 0.0 }
    }
}

impl Density {
    /// Nothing is known but what an earlier process measured, in events a second.
    #[must_use]
    pub fn new(prior: Option<f64>) -> Self {
        let prior = prior.filter(|prior| prior.is_finite() && *prior >= 0.0);
        let lately = prior.map(|prior| Mean { events: prior * PRIOR_SECONDS, seconds: PRIOR_SECONDS });
        Self { lately: lately.unwrap_or_default(), ..Self::default() }
    }

    /// Notes that a reading has been through `span` and found events at `times`. What was known of these seconds before
    /// is replaced; times outside the span are left out. Nothing more will appear in seconds up to `settled`.
    pub fn learn(&mut self, span: Span, settled: EventTime, times: impl IntoIterator<Item = EventTime>) {
        self.forget(span);
        self.known.insert(span);
        for at in times.into_iter().filter(|at| span.contains(*at)) {
            *self.counts.entry(at).or_default() += 1;
            self.total += 1;
        }
        if let Some(settled) = Span::new(span.from, span.to.min(settled)) {
            self.settled.insert(settled);
            self.lately.add(self.counted(settled), settled.seconds());
        }
    }

    /// Lets go of everything before `floor`, but for what it adds to the mean.
    pub fn drop_before(&mut self, floor: EventTime) {
        let kept = self.counts.split_off(&floor);
        self.total -= self.counts.values().map(|count| u64::from(*count)).sum::<u64>();
        self.counts = kept;
        self.known.drop_before(floor);
        self.settled.drop_before(floor);
    }

    /// How many events a second holds in the end, in the mean: that of settled seconds, or that of all which are known
    /// where they show more already.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let known = self.known.iter().map(Span::seconds).sum::<i64>() as f64;
        let shown = if known > 0.0 { self.total as f64 / known } else { 0.0 };
        self.lately.per_second().max(shown)
    }

    /// How many events a reading of `span` will bring at most, as far as one can tell.
    #[must_use]
    pub fn events(&self, span: Span) -> f64 {
        let seconds = |spans: &[Span]| spans.iter().map(|span| span.seconds()).sum::<i64>();
        let (young, unknown) = (self.settled.gaps(span), self.known.gaps(span));
        let shown: u64 = young.iter().map(|young| self.counted(*young)).sum();
        let settled = self.counted(span) - shown;
        let mean = self.per_second();
        let young = (seconds(&young) - seconds(&unknown)) as f64 * mean;
        settled as f64 + young.max(shown as f64) + seconds(&unknown) as f64 * mean
    }

    fn counted(&self, span: Span) -> u64 {
        self.counts.range(span.from..=span.to).map(|(_, count)| u64::from(*count)).sum()
    }

    /// How many requests the last reading of `span` took, if all of it was one; for what is unknown, as the mean has it.
    #[must_use]
    pub fn requests_shown(&self, span: Span) -> f64 {
        let unknown: i64 = self.known.gaps(span).into_iter().map(Span::seconds).sum();
        let events = self.counted(span) as f64 + unknown as f64 * self.per_second();
        (events / f64::from(PAGE_EVENTS)).ceil().max(1.0)
    }

    /// How many requests a reading of `span` will take: one at least, however empty it is.
    #[must_use]
    pub fn requests(&self, span: Span) -> f64 {
        (self.events(span) / f64::from(PAGE_EVENTS)).ceil().max(1.0)
    }

    /// How far down from its top `span` can be read with so many requests: the oldest second that is still reached.
    #[must_use]
    pub fn reach(&self, span: Span, requests: f64) -> EventTime {
        if self.requests(span) <= requests {
            return span.from;
        }
        // `over` is too far down, `within` is not; a first request is always made.
        let (mut over, mut within) = (span.from, span.to);
        while over.plus(1) < within {
            let middle = EventTime(over.0.midpoint(within.0));
            if self.requests(Span { from: middle, to: span.to }) <= requests { within = middle } else { over = middle }
        }
        within
    }

    fn forget(&mut self, span: Span) {
        let gone: Vec<EventTime> = self.counts.range(span.from..=span.to).map(|(at, _)| *at).collect();
        for at in gone {
            self.total -= self.counts.remove(&at).map_or(0, u64::from);
        }
        self.known.remove(span);
        self.settled.remove(span);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from: EventTime(from), to: EventTime(to) }
    }

    fn times(list: impl IntoIterator<Item = i64>) -> Vec<EventTime> {
        list.into_iter().map(EventTime).collect()
    }

    /// Nothing more appears in any second of these tests, where nothing else is said.
    const EVER: EventTime = EventTime(i64::MAX);

    #[test]
    fn what_is_unknown_is_taken_for_the_mean() {
        let mut density = Density::default();
        assert_eq!((density.per_second(), density.requests(span(0, 99))), (0.0, 1.0));
        density.learn(span(0, 9), EVER, times((0..10).flat_map(|at| [at; 20])));
        assert_eq!(density.per_second(), 20.0);
        assert_eq!(density.events(span(5, 14)), 200.0);
        assert_eq!(density.requests(span(0, 999)), 400.0);
    }

    #[test]
    fn an_earlier_measurement_fades_as_seconds_settle() {
        let mut density = Density::new(Some(10.0));
        assert_eq!(density.per_second(), 10.0);
        density.learn(span(0, 539), EventTime(-1), []);
        assert_eq!(density.per_second(), 10.0);
        density.learn(span(0, 539), EVER, []);
        assert_eq!(density.per_second(), 1.0);
        for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Density::new(Some(nonsense)).per_second(), 0.0);
        }
    }

    #[test]
    fn young_seconds_will_hold_as_much_as_settled_ones() {
        let mut density = Density::default();
        // Read when nothing after 99 had settled, and only one event of each second showed there.
        density.learn(span(0, 199), EventTime(99), times((0..100).flat_map(|at| [at; 20]).chain(100..200)));
        assert_eq!(density.per_second(), 20.0);
        assert_eq!(density.events(span(0, 199)), 4_000.0);
        density.drop_before(EventTime(100));
        assert_eq!((density.per_second(), density.events(span(100, 199))), (20.0, 2_000.0), "the mean stays");
        assert_eq!((density.requests(span(100, 199)), density.requests_shown(span(100, 199))), (40.0, 2.0));
        assert_eq!(density.requests_shown(span(200, 299)), 40.0, "nothing has shown what these hold");
        density.learn(span(100, 100), EventTime(99), times([100; 3_000]));
        assert_eq!(density.events(span(100, 199)), 3_099.0, "they show more already");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut density = Density::default();
        density.learn(span(0, 899), EVER, times((0..900).flat_map(|at| [at; 20])));
        for hour in 1..=3 {
            density.drop_before(EventTime(hour * 3600));
            density.learn(span(hour * 3600, hour * 3600 + 3599), EVER, []);
        }
        assert!(density.per_second() < 0.1, "{}", density.per_second());
    }

    #[test]
    fn a_burst_costs_where_it_is() {
        let mut density = Density::default();
        density.learn(span(0, 999), EVER, times([500; 1000]));
        assert_eq!(density.requests(span(0, 499)), 1.0);
        assert_eq!(density.requests(span(500, 500)), 20.0);
        assert_eq!(density.reach(span(0, 999), 19.0), EventTime(501));
        assert_eq!(density.reach(span(0, 999), 20.0), EventTime(0));
        assert_eq!(density.reach(span(0, 500), 1.0), EventTime(500), "the newest second is always read");
        density.drop_before(EventTime(501));
        assert_eq!(density.events(span(501, 999)), 0.0);
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_anew(
            steps in prop::collection::vec((0..50i64, 0..20i64, -1..70i64, prop::collection::vec(0..70i64, 0..20)), 1..20),
            floor in 0..30i64,
        ) {
            let mut density = Density::default();
            // By second: how many, and whether they are all.
            let mut naive: BTreeMap<i64, (usize, bool)> = BTreeMap::new();
            for (from, length, settled, found) in steps {
                density.learn(span(from, from + length), EventTime(settled), times(found.clone()));
                for second in from..=from + length {
                    let count = found.iter().filter(|at| **at == second).count();
                    naive.insert(second, (count, second <= settled));
                }
            }
            density.drop_before(EventTime(floor));
            naive.retain(|second, _| *second >= floor);
            let total: usize = naive.values().map(|(count, _)| count).sum();
            let shown = if naive.is_empty() { 0.0 } else { total as f64 / naive.len() as f64 };
            let mean = density.per_second();
            prop_assert!(mean >= shown - 1e-9);
            for from in floor..70 {
                let seconds: Vec<_> = (from..=70).map(|second| naive.get(&second)).collect();
                let sum = |all: bool| seconds.iter().flatten().filter(|it| it.1 == all).map(|it| it.0 as f64).sum::<f64>();
                let young = seconds.iter().flatten().filter(|it| !it.1).count() as f64;
                let unknown = seconds.iter().filter(|it| it.is_none()).count() as f64;
                let expected = sum(true) + sum(false).max(young * mean) + unknown * mean;
                prop_assert!((density.events(span(from, 70)) - expected).abs() < 1e-6);
                let reach = density.reach(span(floor, 70), 1.0 + (from % 3) as f64);
                let cost = |at: EventTime| density.requests(Span { from: at, to: EventTime(70) });
                prop_assert!(reach == EventTime(70) || cost(reach) <= 1.0 + (from % 3) as f64);
                prop_assert!(reach == EventTime(floor) || cost(reach.minus(1)) > 1.0 + (from % 3) as f64);
            }
        }
    }
}
