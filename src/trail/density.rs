//! How many events each second of a feed holds, as far as its readings have shown.
//!
//! A reading costs its events by the page, so whoever plans readings within a quota has to know how busy the feed is,
//! and where: a burst of ten thousand events in ten seconds costs two hundred requests each time those ten seconds are
//! read again, and the hour around it nothing. So a [`Density`] counts by the second, and takes the mean for seconds
//! that no reading of this process has shown yet.
//!
//! It only steers: what is wrong here costs requests or time, and never an event.

use std::collections::BTreeMap;

use super::lookup::PAGE_EVENTS;
use super::spans::SpanSet;
use crate::model::{EventTime, Span};

/// What was known when the process began counts like so many seconds of reading.
const PRIOR_SECONDS: f64 = 60.0;

/// Events by second of event time. Seconds without any take no room.
#[derive(Clone, Debug, Default)]
pub struct Density {
    counts: BTreeMap<EventTime, u32>,
    /// Of `counts`.
    total: u64,
    /// The seconds that `counts` tells of.
    known: SpanSet,
    /// The mean that an earlier process has left, in events a second.
    prior: Option<f64>,
}

impl Density {
    /// Nothing is known but what an earlier process measured, in events a second.
    #[must_use]
    pub fn new(prior: Option<f64>) -> Self {
        Self { prior: prior.filter(|prior| prior.is_finite() && *prior >= 0.0), ..Self::default() }
    }

    /// Notes that a reading has been through `span` and found events at `times`. What was known of these seconds before
    /// is replaced; times outside the span are left out.
    pub fn learn(&mut self, span: Span, times: impl IntoIterator<Item = EventTime>) {
        self.forget(span);
        self.known.insert(span);
        for at in times.into_iter().filter(|at| span.contains(*at)) {
            *self.counts.entry(at).or_default() += 1;
            self.total += 1;
        }
    }

    /// Lets go of everything before `floor`.
    pub fn drop_before(&mut self, floor: EventTime) {
        let kept = self.counts.split_off(&floor);
        self.total -= self.counts.values().map(|count| u64::from(*count)).sum::<u64>();
        self.counts = kept;
        self.known.drop_before(floor);
    }

    /// The mean of what is known, in events a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let seconds: i64 = self.known.iter().map(Span::seconds).sum();
        let (mut events, mut seconds) = (self.total as f64, seconds as f64);
        if let Some(prior) = self.prior {
            events += prior * PRIOR_SECONDS;
            seconds += PRIOR_SECONDS;
        }
        if seconds > 0.0 { events / seconds } else { 0.0 }
    }

    /// How many events a reading of `span` will bring.
    #[must_use]
    pub fn events(&self, span: Span) -> f64 {
        let counted: u64 = self.counts.range(span.from..=span.to).map(|(_, count)| u64::from(*count)).sum();
        let unknown: i64 = self.known.gaps(span).into_iter().map(Span::seconds).sum();
        counted as f64 + unknown as f64 * self.per_second()
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

    #[test]
    fn what_is_unknown_is_taken_for_the_mean() {
        let mut density = Density::default();
        assert_eq!((density.per_second(), density.requests(span(0, 99))), (0.0, 1.0));
        density.learn(span(0, 9), times((0..10).flat_map(|at| [at; 20])));
        assert_eq!(density.per_second(), 20.0);
        assert_eq!(density.events(span(5, 14)), 200.0);
        assert_eq!(density.requests(span(0, 999)), 400.0);
    }

    #[test]
    fn an_earlier_measurement_fades_as_seconds_are_read() {
        let mut density = Density::new(Some(10.0));
        assert_eq!(density.per_second(), 10.0);
        density.learn(span(0, 539), []);
        assert_eq!(density.per_second(), 1.0);
        for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Density::new(Some(nonsense)).per_second(), 0.0);
        }
    }

    #[test]
    fn a_burst_costs_where_it_is() {
        let mut density = Density::default();
        density.learn(span(0, 999), times([500; 1000]));
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
            steps in prop::collection::vec((0..50i64, 0..20i64, prop::collection::vec(0..70i64, 0..20)), 1..20),
            floor in 0..30i64,
        ) {
            let mut density = Density::default();
            let mut naive: BTreeMap<i64, usize> = BTreeMap::new();
            for (from, length, found) in steps {
                density.learn(span(from, from + length), times(found.clone()));
                for second in from..=from + length {
                    naive.insert(second, found.iter().filter(|at| **at == second).count());
                }
            }
            density.drop_before(EventTime(floor));
            naive.retain(|second, _| *second >= floor);
            let total: usize = naive.values().sum();
            let mean = if naive.is_empty() { 0.0 } else { total as f64 / naive.len() as f64 };
            prop_assert!((density.per_second() - mean).abs() < 1e-9);
            for from in floor..70 {
                let expected: f64 =
                    (from..=70).map(|second| naive.get(&second).map_or(mean, |count| *count as f64)).sum();
                prop_assert!((density.events(span(from, 70)) - expected).abs() < 1e-6);
                let reach = density.reach(span(floor, 70), 1.0 + (from % 3) as f64);
                let cost = |at: EventTime| density.requests(Span { from: at, to: EventTime(70) });
                prop_assert!(reach == EventTime(70) || cost(reach) <= 1.0 + (from % 3) as f64);
                prop_assert!(reach == EventTime(floor) || cost(reach.minus(1)) > 1.0 + (from % 3) as f64);
            }
        }
    }
}
