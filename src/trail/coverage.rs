//! Which seconds of one source have been read, and how old they were when that happened.
//!
//! An event may show up minutes after it happened, so having read a second once says little. A second is *fresh* when
//! it was read too early to be sure, *settled* when it was read at least `lateness` after it had happened, and
//! *rechecked* when it was read once more at the age `recheck`. [`Coverage`] keeps fresh seconds with the time of their
//! reading and the other two as plain sets, because for those the exact time no longer matters: that is what keeps it
//! small enough to be written with every page, however long the daemon runs.
//!
//! Every doubt is resolved towards reading again: a clock that jumped back, a larger `lateness`, too many fragments.
//! Reading twice costs requests, since duplicates are dropped by id; believing wrongly costs alerts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spans::{SpanSet, minus};
use crate::model::{EventTime, Span, WallTime};

/// Fresh readings that are kept apart. Where the horizon holds more, those that differ least are joined, as if both had
/// been made at the time of the earlier.
const MAX_FRESH: usize = 64;

/// Fragments kept in each set. Only damage or sabotage gets there; the shortest is forgotten, which means read again.
const MAX_FRAGMENTS: usize = 128;

/// What has been read of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    since: EventTime,
    lateness_secs: i64,
    recheck_secs: i64,
    fresh: Vec<Fresh>,
    settled: SpanSet,
    rechecked: SpanSet,
}

/// Seconds that were read, but too early to be sure that nothing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// Which seconds.
    pub span: Span,
    /// When the reading that saw them began, at the latest. Seconds after it were read after they had happened; nothing
    /// more is known of when.
    pub at: WallTime,
}

impl Coverage {
    /// Nothing read yet, watching from `since` on. A `recheck` of zero means never.
    #[must_use]
    pub fn new(since: EventTime, lateness: Duration, recheck: Duration) -> Self {
        let lateness_secs = lateness_secs(lateness);
        Self {
            since,
            lateness_secs,
            recheck_secs: recheck_secs(recheck, lateness_secs),
            fresh: Vec::new(),
            settled: SpanSet::default(),
            rechecked: SpanSet::default(),
        }
    }

    /// Where watching begins. Seconds before it are nobody's concern and count as settled.
    #[must_use]
    pub fn since(&self) -> EventTime {
        self.since
    }

    /// Readings whose seconds are not settled yet, by event time.
    #[must_use]
    pub fn fresh(&self) -> &[Fresh] {
        &self.fresh
    }

    /// Notes that every event of `span` that was visible at `at` has been committed.
    ///
    /// A reading cannot see the future: `span` is cut to end with the second of `at`.
    pub fn read(&mut self, span: Span, at: WallTime) {
        let Some(span) = Span::new(span.from.max(self.since), span.to.min(at.second())) else { return };
        let settles_to = at.second().minus(self.lateness_secs);
        if let Some(old) = Span::new(span.from, span.to.min(settles_to)) {
            self.settled.insert(old);
            self.forget_fresh(old);
        }
        if self.recheck_secs > 0
            && let Some(old) = Span::new(span.from, span.to.min(at.second().minus(self.recheck_secs)))
        {
            self.rechecked.insert(old);
        }
        if let Some(young) = Span::new(span.from.max(settles_to.plus(1)), span.to) {
            self.refresh(young, at);
        }
        self.bound();
    }

    /// Notes that `span` has not been read after all.
    pub fn forget(&mut self, span: Span) {
        self.forget_fresh(span);
        self.settled.remove(span);
        self.rechecked.remove(span);
    }

    /// Drops what cannot have been read yet at `now`, so that a clock that was ahead leaves no false trust behind.
    pub fn discard_after(&mut self, now: WallTime) {
        self.fresh.retain(|fresh| fresh.at <= now && fresh.span.from <= now.second());
        for fresh in &mut self.fresh {
            fresh.span.to = fresh.span.to.min(now.second());
        }
        self.settled.drop_after(now.second().minus(self.lateness_secs));
        self.rechecked.drop_after(now.second().minus(self.recheck_secs));
    }

    /// Takes over the operator's present `lateness` and `recheck`.
    ///
    /// Where one grew, seconds younger than its new value were read too early by the new measure and are unread again.
    /// Older ones stay: nothing tells any more how old they were, and reading months again would help nobody.
    pub fn adopt(&mut self, lateness: Duration, recheck: Duration, now: WallTime) {
        let lateness_secs = lateness_secs(lateness);
        let recheck_secs = recheck_secs(recheck, lateness_secs);
        if lateness_secs > self.lateness_secs {
            self.settled.drop_after(now.second().minus(lateness_secs));
        }
        if recheck_secs > self.recheck_secs {
            self.rechecked.drop_after(now.second().minus(recheck_secs));
        }
        self.lateness_secs = lateness_secs;
        self.recheck_secs = recheck_secs;
    }

    /// Stops watching seconds before `floor`. Ask [`lost`](super::lost) first what was never read of them.
    pub fn drop_before(&mut self, floor: EventTime) {
        self.since = self.since.max(floor);
        self.settled.drop_before(floor);
        self.rechecked.drop_before(floor);
        self.fresh.retain(|fresh| fresh.span.to >= floor);
        for fresh in &mut self.fresh {
            fresh.span.from = fresh.span.from.max(floor);
        }
    }

    /// Whether every second of `span` that is watched has been read at least `lateness` after it happened.
    #[must_use]
    pub fn settled(&self, span: Span) -> bool {
        self.watched(span).is_none_or(|span| self.settled.covers(span))
    }

    /// What of `span` is not settled, ascending.
    #[must_use]
    pub fn unsettled(&self, span: Span) -> Vec<Span> {
        self.watched(span).map(|span| self.settled.gaps(span)).unwrap_or_default()
    }

    /// What of `span` has not been read at all, ascending.
    #[must_use]
    pub fn unread(&self, span: Span) -> Vec<Span> {
        let fresh: SpanSet = self.fresh.iter().map(|fresh| fresh.span).collect();
        self.unsettled(span).into_iter().flat_map(|gap| fresh.gaps(gap)).collect()
    }

    /// What of `span` is settled but has not been read at the age `recheck`, ascending; nothing if rechecks are off.
    #[must_use]
    pub fn unchecked(&self, span: Span) -> Vec<Span> {
        if self.recheck_secs == 0 {
            return Vec::new();
        }
        let gaps = self.watched(span).map(|span| self.rechecked.gaps(span)).unwrap_or_default();
        let unsettled: SpanSet = self.unsettled(span).into();
        gaps.into_iter().flat_map(|gap| unsettled.gaps(gap)).collect()
    }

    /// The first second up to `now` that has not been read. It says how far behind the source is.
    #[must_use]
    pub fn oldest_unread(&self, now: WallTime) -> Option<EventTime> {
        let watched = Span::new(self.since, now.second())?;
        self.unread(watched).first().map(|gap| gap.from)
    }

    fn watched(&self, span: Span) -> Option<Span> {
        Span::new(span.from.max(self.since), span.to)
    }

    fn forget_fresh(&mut self, span: Span) {
        let rest = |fresh: Fresh| minus(fresh.span, span).map(move |span| Fresh { span, ..fresh });
        self.fresh = self.fresh.drain(..).flat_map(rest).collect();
    }

    /// Lays a reading over the fresh ones. Seconds that were read later, or are settled, gain nothing from it.
    fn refresh(&mut self, span: Span, at: WallTime) {
        let later: SpanSet = self.fresh.iter().filter(|fresh| fresh.at >= at).map(|fresh| fresh.span).collect();
        for gap in self.settled.gaps(span) {
            for news in later.gaps(gap) {
                self.forget_fresh(news);
                self.fresh.push(Fresh { span: news, at });
            }
        }
        self.fresh.sort_unstable_by_key(|fresh| fresh.span.from);
        self.fresh.dedup_by(|next, held| {
            let joins = held.at == next.at && held.span.to.plus(1) == next.span.from;
            if joins {
                held.span.to = next.span.to;
            }
            joins
        });
    }

    /// Keeps what is stored small, at the price of reading something again.
    fn bound(&mut self) {
        while self.fresh.len() > MAX_FRESH {
            self.join_most_alike();
        }
        for set in [&mut self.settled, &mut self.rechecked] {
            while set.len() > MAX_FRAGMENTS {
                let Some(shortest) = set.iter().min_by_key(|span| span.seconds()) else { break };
                set.remove(shortest);
            }
        }
    }

    /// Joins two neighbouring readings as if both had been made at the earlier time, so that what was read later is read
    /// again sooner than need be: the two whose times differ least by the measure of how old their seconds were. Where
    /// no two touch, the oldest goes.
    fn join_most_alike(&mut self) {
        let alike = self.fresh.windows(2).enumerate().filter_map(|(place, pair)| {
            let [older, newer] = pair else { return None };
            let age = older.at.max(newer.at).second().0.saturating_sub(older.span.from.0);
            let apart = older.at.0.abs_diff(newer.at.0) as f64 / (age + 1) as f64;
            (older.span.to.plus(1) == newer.span.from).then_some((apart, place))
        });
        let Some((_, place)) = alike.min_by(|one, other| one.0.total_cmp(&other.0)) else {
            self.fresh.remove(0);
            return;
        };
        let newer = self.fresh.remove(place + 1);
        let older = &mut self.fresh[place];
        older.span.to = newer.span.to;
        older.at = older.at.min(newer.at);
    }
}

/// At least one second: the second that is going on when a reading begins is not over yet.
fn lateness_secs(lateness: Duration) -> i64 {
    whole_secs(lateness).max(1)
}

/// Zero for never; a recheck before a second is settled would be none.
fn recheck_secs(recheck: Duration, lateness_secs: i64) -> i64 {
    if recheck.is_zero() { 0 } else { whole_secs(recheck).max(lateness_secs) }
}

/// Rounded up, since both ages are promised as minimums.
pub(super) fn whole_secs(duration: Duration) -> i64 {
    let secs = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    // A bound far beyond any sensible setting, so that sums with times cannot leave the number range.
    i64::try_from(secs).unwrap_or(i64::MAX).min(i64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const LATENESS: i64 = 10;
    const RECHECK: i64 = 40;

    fn span(from: i64, to: i64) -> Span {
        Span { from: EventTime(from), to: EventTime(to) }
    }

    fn secs(secs: i64) -> Duration {
        Duration::from_secs(secs.unsigned_abs())
    }

    fn at(secs: i64) -> WallTime {
        EventTime(secs).wall()
    }

    fn coverage() -> Coverage {
        Coverage::new(EventTime(0), secs(LATENESS), secs(RECHECK))
    }

    #[test]
    fn a_reading_settles_what_is_old_and_keeps_the_rest_fresh() {
        let mut coverage = coverage();
        coverage.read(span(0, 200), at(100));
        assert!(coverage.settled(span(0, 90)) && !coverage.settled(span(0, 91)));
        assert_eq!(coverage.unchecked(span(0, 90)), [span(61, 90)]);
        assert_eq!(coverage.fresh(), [Fresh { span: span(91, 100), at: at(100) }]);
        assert_eq!(coverage.oldest_unread(at(130)), Some(EventTime(101)));
        assert_eq!(coverage.unread(span(0, 130)), [span(101, 130)]);
    }

    #[test]
    fn seconds_before_watching_count_as_settled() {
        let mut coverage = Coverage::new(EventTime(50), secs(LATENESS), secs(0));
        assert!(coverage.settled(span(0, 49)) && !coverage.settled(span(0, 50)));
        coverage.read(span(0, 60), at(100));
        assert!(coverage.settled(span(0, 60)) && coverage.unchecked(span(0, 60)).is_empty());
        coverage.drop_before(EventTime(80));
        assert_eq!(coverage.unread(span(0, 81)), [span(80, 81)]);
    }

    #[test]
    fn the_second_that_is_going_on_is_never_settled() {
        let mut coverage = Coverage::new(EventTime(0), secs(0), secs(0));
        coverage.read(span(0, 100), at(100));
        assert!(coverage.settled(span(0, 99)) && !coverage.settled(span(100, 100)));
    }

    #[test]
    fn an_earlier_reading_that_ends_later_changes_nothing() {
        let mut coverage = coverage();
        coverage.read(span(91, 100), at(100));
        let before = coverage.clone();
        coverage.read(span(91, 95), at(97));
        assert_eq!(coverage, before);
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_trust_behind() {
        let mut coverage = coverage();
        coverage.read(span(0, 1000), at(1000));
        coverage.discard_after(at(100));
        assert_eq!(coverage.fresh(), []);
        assert_eq!(coverage.oldest_unread(at(100)), Some(EventTime(91)));
        assert_eq!(coverage.unchecked(span(0, 90)), [span(61, 90)]);
    }

    #[test]
    fn a_larger_lateness_unsettles_young_seconds_only() {
        let mut coverage = coverage();
        coverage.read(span(0, 100), at(100));
        coverage.adopt(secs(30), secs(50), at(100));
        assert!(coverage.settled(span(0, 70)) && !coverage.settled(span(71, 71)));
        assert_eq!(coverage.unchecked(span(0, 70)), [span(51, 70)]);
        coverage.adopt(secs(5), secs(0), at(100));
        assert!(coverage.settled(span(0, 70)) && coverage.unchecked(span(0, 70)).is_empty());
    }

    #[test]
    fn fragments_are_bounded_and_what_is_stored_stays_small() {
        let mut coverage = coverage();
        for second in 0..10_000 {
            coverage.read(span(second * 2, second * 2), at(100_000));
            coverage.read(span(99_991 + second % 10, 99_991 + second % 10), WallTime(100_000_000 + second));
        }
        assert!(serde_json::to_string(&coverage).unwrap().len() < 32_768);
    }

    #[test]
    fn an_ordinary_month_is_a_few_hundred_bytes() {
        let mut coverage = Coverage::new(EventTime(0), secs(900), secs(86_400));
        for minute in 1..43_200 {
            let now = minute * 60;
            coverage.read(span(now - 960, now), at(now));
        }
        let text = serde_json::to_string(&coverage).unwrap();
        assert!(text.len() < 400, "{text}");
        assert_eq!(serde_json::from_str::<Coverage>(&text).unwrap(), coverage);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Read(i64, i64, i64),
        Forget(i64, i64),
        Discard(i64),
        Drop(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (-5..100i64, 0..40i64, 0..120i64).prop_map(|(from, length, at)| Step::Read(from, length, at)),
            1 => (0..100i64, 0..20i64).prop_map(|(from, length)| Step::Forget(from, length)),
            1 => (20..120i64).prop_map(Step::Discard),
            1 => (0..50i64).prop_map(Step::Drop),
        ]
    }

    /// What is known of one second: the latest reading before it settled, and the two flags.
    #[derive(Clone, Copy, Default)]
    struct Known {
        fresh: Option<i64>,
        settled: bool,
        rechecked: bool,
    }

    fn act(naive: &mut BTreeMap<i64, Known>, step: &Step) {
        match *step {
            Step::Read(from, length, at) => {
                for (second, known) in naive.range_mut(from..=(from + length).min(at).max(from)) {
                    if *second > at {
                        continue;
                    }
                    known.rechecked |= second + RECHECK <= at;
                    if second + LATENESS <= at {
                        known.settled = true;
                        known.fresh = None;
                    } else if !known.settled {
                        known.fresh = known.fresh.max(Some(at));
                    }
                }
            }
            Step::Forget(from, length) => {
                naive.range_mut(from..=from + length).for_each(|(_, known)| *known = Known::default());
            }
            Step::Discard(now) => {
                for (second, known) in naive {
                    known.fresh = known.fresh.filter(|at| *at <= now);
                    known.settled &= second + LATENESS <= now;
                    known.rechecked &= second + RECHECK <= now;
                }
            }
            Step::Drop(floor) => naive.retain(|second, _| *second >= floor),
        }
    }

    fn act_on(coverage: &mut Coverage, step: &Step) {
        match *step {
            Step::Read(from, length, now) => coverage.read(span(from, from + length), at(now)),
            Step::Forget(from, length) => coverage.forget(span(from, from + length)),
            Step::Discard(now) => coverage.discard_after(at(now)),
            Step::Drop(floor) => coverage.drop_before(EventTime(floor)),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_model_of_single_seconds(steps in prop::collection::vec(step(), 0..30)) {
            let mut coverage = coverage();
            let mut naive: BTreeMap<i64, Known> = (0..200).map(|second| (second, Known::default())).collect();
            for step in &steps {
                act(&mut naive, step);
                act_on(&mut coverage, step);
                let all = span(-10, 199);
                let listed = |spans: Vec<Span>| spans.iter().flat_map(|gap| gap.from.0..=gap.to.0).collect::<Vec<_>>();
                let known = |wanted: fn(&Known) -> bool| -> Vec<i64> {
                    naive.iter().filter(|(_, known)| wanted(known)).map(|(second, _)| *second).collect()
                };
                prop_assert_eq!(listed(coverage.unsettled(all)), known(|known| !known.settled));
                prop_assert_eq!(listed(coverage.unread(all)), known(|known| !known.settled && known.fresh.is_none()));
                prop_assert_eq!(listed(coverage.unchecked(all)), known(|known| known.settled && !known.rechecked));
                for fresh in coverage.fresh() {
                    for second in fresh.span.from.0..=fresh.span.to.0 {
                        prop_assert_eq!(naive[&second].fresh.map(at), Some(fresh.at));
                    }
                }
                let text = serde_json::to_string(&coverage).unwrap();
                prop_assert_eq!(serde_json::from_str::<Coverage>(&text).unwrap(), coverage.clone());
            }
        }
    }
}
