//! What to read next: a pure function from what has been read to the spans that one poll should read.
//!
//! Budget goes first to the newest, where the next alert will come from; then to the oldest seconds that are not
//! settled, so that a backlog shrinks from the end that retention eats; then to rechecks, which nobody waits for.
//! Nothing here remembers anything: a plan that was only half performed is made good by the next one, because
//! [`Coverage`] then still shows the gap.
//!
//! How deep the newest readings go is a [`Depth`]: the whole lateness horizon in one reading where the budget allows
//! that, else the seconds that are due by their age. Readings that lie so close together that the gap between them
//! costs less than a request are one reading.

use std::time::Duration;

use super::coverage::whole_secs;
use super::depth::{Ages, Cost, Depth};
use super::lookup::PAGE_EVENTS;
use super::{Coverage, Density, SpanSet};
use crate::model::{EventTime, Span, WallTime};

/// How far beyond the lateness horizon the newest reading goes, in seconds: what aged out of it since the last poll.
/// More than that is a backlog, and must not keep the poll after this one waiting.
const AGED_OUT: i64 = 3600;

/// Longest span of a backlog or recheck reading, in seconds. A reading costs at least one request however empty it is,
/// so this is long; a busy one may be broken off after any page.
const LONGEST: i64 = 86_400;

/// A recheck is put off until its oldest second has been due for this part of the age of rechecks, so that one reading
/// settles many seconds instead of each poll's few.
const RECHECK_PART: i64 = 24;

/// Seconds that a recheck is put off at least.
const RECHECK_PAUSE: i64 = 60;

/// The part of a poll's requests that the newest readings leave to what lies behind, if anything does.
const BEHIND_PART: f64 = 0.1;

/// The operator's part in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// From one poll to the next.
    pub interval: Duration,
    /// An event may appear this long after it happened.
    pub lateness: Duration,
    /// The age at which every second is read once more; zero: never.
    pub recheck: Duration,
    /// Nothing older is read.
    pub retention: Duration,
}

/// What one poll may spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Requests until the next poll. A plan may hold more, since nobody knows what a second holds before it was read: it
    /// is in the order in which the requests are to be spent.
    pub requests: f64,
}

impl Budget {
    /// For a pass that is to read everything through.
    pub const UNLIMITED: Self = Self { requests: f64::INFINITY };
}

/// What a poll should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub readings: Vec<Planned>,
    /// How deep the newest of them go.
    pub depth: Depth,
}

/// One reading to perform, from its newest second back to its oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What to read.
    pub span: Span,
    /// Why.
    pub purpose: Purpose,
}

/// Why a span is read, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The newest seconds and those that may still gain events.
    Fresh,
    /// Seconds that an outage, a first run or a broken-off reading left behind.
    Backlog,
    /// Settled seconds, once more.
    Recheck,
    /// Seconds from before watching began, for those who want to know what is new. No plan holds them.
    Past,
}

impl Purpose {
    /// The word for it, for logs and `explain`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Backlog => "backlog",
            Self::Recheck => "recheck",
            Self::Past => "past",
        }
    }
}

/// What a poll that begins at `now` should read, in this order, where events lie as `density` says.
///
/// Everything planned lies between `now` and the later of the retention's floor and the start of watching. Any reading
/// may be broken off after any page, for instance because the next poll is due. After a clock may have been set back,
/// [`Coverage::discard_after`] comes first.
#[must_use]
pub fn plan(coverage: &Coverage, density: &Density, now: WallTime, settings: &PlanSettings, budget: Budget) -> Plan {
    let Some(watched) = Span::new(floor(now, settings).max(coverage.since()), now.second()) else {
        return Plan { readings: Vec::new(), depth: Depth::Whole };
    };
    let ages = Ages::new(settings.interval, settings.lateness);
    let horizon = Span { from: now.second().minus(ages.lateness).max(watched.from), to: watched.to };
    let last_poll = now.second().minus(ages.interval);
    let last = Span { from: last_poll.minus(ages.interval - 1).min(last_poll), to: last_poll };
    let cost = Cost {
        whole: density.requests(horizon),
        newest: density.requests_shown(last),
        later: (density.per_second() * ages.interval as f64 / f64::from(PAGE_EVENTS)).ceil().max(1.0),
    };
    let depth = Depth::choose(&cost, &ages, !settings.recheck.is_zero(), budget.requests);
    let newest = match depth {
        Depth::Whole => Newest::whole(coverage, watched, &ages),
        Depth::Ratio(ratio) => Newest::due(coverage, density, watched, now, &ages, ratio),
    };
    let below = Span::new(watched.from, newest.reach.minus(1));
    let behind = below.map(|below| coverage.unsettled(below)).unwrap_or_default();
    let (fresh, behind) = newest.share(density, behind.into(), budget);
    // What the newest readings only crossed, to be one reading, is settled already.
    let behind = behind.iter().flat_map(|span| coverage.unsettled(span));
    let rechecks = due_rechecks(coverage, watched, now, settings);

    let as_planned = |purpose| move |span| Planned { span, purpose };
    let mut readings: Vec<Planned> = fresh.into_iter().map(as_planned(Purpose::Fresh)).collect();
    readings.extend(behind.flat_map(chunks).map(as_planned(Purpose::Backlog)));
    readings.extend(rechecks);
    Plan { readings, depth }
}

/// Watched seconds that were never settled and are now older than `retention`: they will not be read any more.
///
/// Report them, then [`Coverage::drop_before`] the [`floor`], so that they are reported once.
#[must_use]
pub fn lost(coverage: &Coverage, now: WallTime, settings: &PlanSettings) -> Vec<Span> {
    let too_old = Span::new(coverage.since(), floor(now, settings).minus(1));
    too_old.map(|span| coverage.unsettled(span)).unwrap_or_default()
}

/// The oldest second that `retention` allows to be read at `now`.
#[must_use]
pub fn floor(now: WallTime, settings: &PlanSettings) -> EventTime {
    now.second().minus(whole_secs(settings.retention))
}

/// The first second up to `now` that lies behind: it has not been read, or it should have been settled for as long
/// again as `lateness` and has not been. Where there is none, the feed has been read through.
#[must_use]
pub fn behind(coverage: &Coverage, now: WallTime, settings: &PlanSettings) -> Option<EventTime> {
    let patience = 2 * whole_secs(settings.lateness).max(whole_secs(settings.interval));
    let old = Span::new(coverage.since(), now.second().minus(patience));
    let unsettled = old.and_then(|old| coverage.unsettled(old).first().map(|gap| gap.from));
    unsettled.into_iter().chain(coverage.oldest_unread(now)).min()
}

/// The first settled second whose recheck is overdue by the age of rechecks again: there is no quota left for them.
#[must_use]
pub fn overdue_recheck(coverage: &Coverage, now: WallTime, settings: &PlanSettings) -> Option<EventTime> {
    let age = whole_secs(settings.recheck).max(whole_secs(settings.lateness));
    let old = Span::new(coverage.since(), now.second().minus(age.saturating_mul(2)))?;
    coverage.unchecked(old).first().map(|gap| gap.from)
}

/// What the newest readings should read, if the budget were enough for it.
struct Newest {
    /// Ascending.
    spans: Vec<Span>,
    /// What is unsettled before this lies behind.
    reach: EventTime,
}

impl Newest {
    /// All that is not settled yet next to the newest second, back to where it is a backlog.
    fn whole(coverage: &Coverage, watched: Span, ages: &Ages) -> Self {
        let reach = watched.to.minus(ages.lateness.saturating_add(AGED_OUT));
        let gap = coverage.unsettled(watched).pop();
        let reach = gap.map_or(watched.to, |gap| gap.from.max(reach).min(gap.to));
        Self { spans: gap.map(|gap| Span { from: reach, to: gap.to }).into_iter().collect(), reach }
    }

    /// What the horizon holds of unread seconds and of those that are due by their age.
    fn due(coverage: &Coverage, density: &Density, watched: Span, now: WallTime, ages: &Ages, ratio: u32) -> Self {
        // Two polls may pass before what has left the horizon counts as a backlog.
        let reach = watched.to.minus(ages.lateness.saturating_add(ages.interval.saturating_mul(2))).max(watched.from);
        let near = Span { from: reach, to: watched.to };
        let by_age = coverage.fresh().iter().flat_map(|fresh| ages.due(fresh, now, ratio));
        let by_age = by_age.filter_map(|span| Span::new(span.from.max(near.from), span.to.min(near.to)));
        let due: SpanSet = coverage.unread(near).into_iter().chain(by_age).collect();
        let mut spans: Vec<Span> = Vec::new();
        for span in due.iter() {
            match spans.last_mut() {
                Some(held) if density.requests(Span { from: held.to.plus(1), to: span.from.minus(1) }) <= 1.0 => {
                    held.to = span.to;
                }
                _ => spans.push(span),
            }
        }
        Self { spans, reach }
    }

    /// What of it the budget allows, newest first; and what lies `behind`, with the rest, oldest first.
    fn share(&self, density: &Density, mut behind: SpanSet, budget: Budget) -> (Vec<Span>, SpanSet) {
        let mut left = budget.requests * (1.0 - if behind.is_empty() { 0.0 } else { BEHIND_PART });
        let mut fresh: Vec<Span> = Vec::new();
        for span in self.spans.iter().rev() {
            // The newest is read in any case, as far as one request goes.
            let is_affordable = left >= 1.0 || fresh.is_empty();
            let from = if is_affordable { density.reach(*span, left) } else { span.to.plus(1) };
            if let Some(part) = Span::new(from, span.to) {
                left -= density.requests(part);
                fresh.push(part);
            }
            if let Some(rest) = Span::new(span.from, from.minus(1)) {
                left = 0.0;
                behind.insert(rest);
            }
        }
        (fresh, behind)
    }
}

/// Settled seconds whose recheck cannot be put off any more.
fn due_rechecks(
    coverage: &Coverage,
    watched: Span,
    now: WallTime,
    settings: &PlanSettings,
) -> impl Iterator<Item = Planned> {
    let age = whole_secs(settings.recheck).max(whole_secs(settings.lateness));
    let pause = (age / RECHECK_PART).max(RECHECK_PAUSE);
    let old = Span::new(watched.from, now.second().minus(age));
    let gaps = old.map(|old| coverage.unchecked(old)).unwrap_or_default();
    gaps.into_iter()
        .filter(move |gap| gap.from <= now.second().minus(age.saturating_add(pause)))
        .flat_map(chunks)
        .map(|span| Planned { span, purpose: Purpose::Recheck })
}

/// `span` in pieces of at most [`LONGEST`], oldest first.
fn chunks(span: Span) -> impl Iterator<Item = Span> {
    let starts =
        std::iter::successors(Some(span.from), move |from| Some(from.plus(LONGEST)).filter(|at| *at <= span.to));
    starts.map(move |from| Span { from, to: from.plus(LONGEST - 1).min(span.to) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const LATENESS: i64 = 900;
    /// A round instant to count from.
    const ZERO: i64 = 1_800_000_000;

    fn secs(secs: i64) -> Duration {
        Duration::from_secs(secs.unsigned_abs())
    }

    fn settings() -> PlanSettings {
        PlanSettings { interval: secs(60), lateness: secs(LATENESS), recheck: secs(DAY), retention: secs(30 * DAY) }
    }

    fn span(from: i64, to: i64) -> Span {
        Span { from: EventTime(ZERO + from), to: EventTime(ZERO + to) }
    }

    fn at(secs: i64) -> WallTime {
        EventTime(ZERO + secs).wall()
    }

    fn since(from: i64) -> Coverage {
        Coverage::new(EventTime(ZERO + from), secs(LATENESS), secs(DAY))
    }

    /// Plans at `now` and shows the readings as `(purpose, from, to)`, counted from [`ZERO`].
    fn check(coverage: &Coverage, now: i64, budget: Budget) -> Vec<(&'static str, i64, i64)> {
        let planned = plan(coverage, &Density::default(), at(now), &settings(), budget).readings;
        planned.iter().map(|it| (it.purpose.word(), it.span.from.0 - ZERO, it.span.to.0 - ZERO)).collect()
    }

    #[test]
    fn a_first_run_reads_the_backfill_in_one_go() {
        assert_eq!(check(&since(-HOUR), 0, Budget::UNLIMITED), [("fresh", -HOUR, 0)]);
    }

    #[test]
    fn an_ordinary_poll_reads_the_horizon_and_what_aged_out_of_it() {
        let mut coverage = since(-HOUR);
        coverage.read(span(-HOUR, 0), at(0));
        assert_eq!(check(&coverage, 60, Budget::UNLIMITED), [("fresh", -LATENESS + 1, 60)]);
    }

    #[test]
    fn after_an_outage_the_newest_comes_first_and_then_the_oldest() {
        let mut coverage = since(-HOUR);
        coverage.read(span(-HOUR, 0), at(0));
        let newest = ("fresh", 3 * DAY - LATENESS - HOUR, 3 * DAY);
        let gap = -LATENESS + 1;
        let oldest = ("backlog", gap, gap + DAY - 1);
        assert_eq!(
            check(&coverage, 3 * DAY, Budget::UNLIMITED)[..4],
            [
                newest,
                oldest,
                ("backlog", gap + DAY, gap + 2 * DAY - 1),
                ("backlog", gap + 2 * DAY, 3 * DAY - LATENESS - HOUR - 1)
            ]
        );
    }

    #[test]
    fn rechecks_come_in_chunks() {
        let mut coverage = since(0);
        for poll in (0..DAY).step_by(600) {
            coverage.read(span(0, poll), at(poll));
        }
        let rechecks = |now| check(&coverage, now, Budget::UNLIMITED).iter().filter(|it| it.0 == "recheck").count();
        assert_eq!(rechecks(DAY + HOUR - 1), 0);
        let planned = check(&coverage, DAY + HOUR, Budget::UNLIMITED);
        assert_eq!(planned.last(), Some(&("recheck", 0, HOUR)));
    }

    #[test]
    fn what_is_older_than_retention_is_lost_once() {
        let mut coverage = since(0);
        coverage.read(span(10, 19), at(DAY));
        let now = at(30 * DAY + 25);
        assert_eq!(lost(&coverage, now, &settings()), [span(0, 9), span(20, 24)]);
        coverage.drop_before(floor(now, &settings()));
        assert_eq!(lost(&coverage, now, &settings()), []);
    }

    #[test]
    fn a_clock_before_the_start_of_watching_plans_nothing() {
        assert_eq!(check(&since(0), -1, Budget::UNLIMITED), []);
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let settings = PlanSettings {
            interval: Duration::MAX,
            lateness: Duration::MAX,
            recheck: Duration::MAX,
            retention: Duration::MAX,
        };
        for instant in [i64::MIN, 0, ZERO * 1000, i64::MAX] {
            let coverage = Coverage::new(EventTime(0), settings.lateness, settings.recheck);
            for budget in [Budget::UNLIMITED, Budget { requests: 0.0 }, Budget { requests: f64::NAN }] {
                let density = Density::new(Some(1e300));
                let _ = plan(&coverage, &density, WallTime(instant), &settings, budget);
            }
            let _ = lost(&coverage, WallTime(instant), &settings);
            let _ = behind(&coverage, WallTime(instant), &settings);
        }
    }

    /// What a naive reader knows of each second since [`ZERO`]: the largest age at which it was read.
    struct Seconds(Vec<Option<i64>>);

    impl Seconds {
        fn age(&self, second: EventTime) -> Option<i64> {
            usize::try_from(second.0 - ZERO).ok().and_then(|index| self.0.get(index).copied().flatten())
        }

        fn read(&mut self, span: Span, now: i64) {
            for second in span.from.0 - ZERO..=span.to.0 - ZERO {
                let index = usize::try_from(second).expect("only seconds from ZERO on are watched");
                self.0[index] = self.0[index].max(Some(now - second));
            }
        }
    }

    /// Polls so often, after such pauses, with such fates and budgets, and then until all has to be settled.
    fn every_second_is_read(
        polls: Vec<(i64, u8, u32)>,
        per_second: f64,
        lateness: i64,
        recheck: i64,
        backfill: i64,
    ) -> Result<(), TestCaseError> {
        let retention = secs(15_000);
        let settings = PlanSettings { interval: secs(60), lateness: secs(lateness), recheck: secs(recheck), retention };
        let mut coverage = Coverage::new(EventTime(ZERO), settings.lateness, settings.recheck);
        let settle: Vec<_> = (0..40).map(|_| (60, 0, 1000)).collect();
        let wait = (recheck + recheck / 12 + 120, 0, 1000);
        let total: i64 = polls.iter().chain(&settle).map(|poll| poll.0).sum::<i64>() + backfill + wait.0;
        let density = Density::new(Some(per_second));
        let mut naive = Seconds(vec![None; usize::try_from(total + 1).unwrap()]);
        let mut now = backfill;
        let mut floor = 0;
        let mut settled_at = 0;
        for (pause, fate, requests) in polls.into_iter().chain(settle).chain([wait]) {
            settled_at = if pause == wait.0 { now } else { settled_at };
            now += pause;
            floor = floor.max(now - 15_000);
            let budget = Budget { requests: f64::from(requests) };
            for planned in plan(&coverage, &density, at(now), &settings, budget).readings {
                let whole = planned.span;
                prop_assert!(whole.from.0 >= ZERO + floor && whole.to.0 <= ZERO + now);
                let ages = (whole.from.0..=whole.to.0).map(|second| naive.age(EventTime(second)));
                match planned.purpose {
                    Purpose::Recheck => prop_assert!(whole.to.0 <= ZERO + now - recheck),
                    Purpose::Backlog => prop_assert!(ages.flatten().all(|age| age < lateness)),
                    Purpose::Fresh => {}
                    Purpose::Past => prop_assert!(false, "no plan reaches back before watching began"),
                }
                // Fate decides whether the reading succeeds, is broken off half-way, or fails.
                let done = match fate {
                    0 | 1 => Some(whole),
                    2 => Span::new(EventTime(whole.from.0.midpoint(whole.to.0)), whole.to),
                    _ => None,
                };
                if let Some(done) = done {
                    coverage.read(done, at(now));
                    naive.read(done, now);
                }
            }
        }
        for second in floor..=settled_at - lateness {
            prop_assert!(naive.age(EventTime(ZERO + second)) >= Some(lateness), "second {second} of {now}");
        }
        for second in floor..=now - recheck - (recheck / 24).max(60) {
            prop_assert!(naive.age(EventTime(ZERO + second)) >= Some(recheck), "second {second} of {now}");
        }
        Ok(())
    }

    #[test]
    fn what_newest_readings_crossed_is_no_backlog() {
        let polls = vec![(1, 0, 0), (108, 2, 10), (80, 0, 0)];
        every_second_is_read(polls, 3.737_130_786_567_393, 122, 2000, 15).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]
        #[test]
        fn every_second_is_read_when_settled_and_again_at_recheck(
            polls in prop::collection::vec((1..4000i64, 0..4u8, 0..40u32), 1..60),
            per_second in prop_oneof![Just(0.0), 0.0..0.2f64, 0.2..20.0],
            lateness in 1..2000i64,
            recheck in 2000..8000i64,
            backfill in 0..20_000i64,
        ) {
            every_second_is_read(polls, per_second, lateness, recheck, backfill)?;
        }

        /// The bound of the module `depth`, and what it costs, with every poll on time.
        #[test]
        fn every_event_is_found_by_the_age_that_is_promised(
            interval in 1..90i64,
            intervals in 1..90i64,
            odd in 0..60i64,
            per_second in 0.0..30.0f64,
            requests in 1..100u32,
        ) {
            let lateness = interval * intervals + odd;
            let intervals = lateness / interval;
            let settings = PlanSettings { interval: secs(interval), lateness: secs(lateness), recheck: Duration::ZERO, ..settings() };
            let mut coverage = Coverage::new(EventTime(ZERO), settings.lateness, Duration::ZERO);
            let density = Density::new(Some(per_second));
            let budget = Budget { requests: f64::from(requests) };
            // By second since ZERO: the ages at which it was read. Watched are those that were read from their first poll on.
            let polls = 2 * intervals + 4;
            let watched = polls * interval;
            let mut read_at = vec![Vec::new(); usize::try_from(watched).unwrap()];
            let (mut depth, mut spent) = (Depth::Whole, 0.0);
            for poll in 1..=polls + intervals + 2 {
                let now = poll * interval;
                let plan = plan(&coverage, &density, at(now), &settings, budget);
                depth = plan.depth;
                for planned in plan.readings {
                    // What it costs once it has settled down.
                    if poll > intervals + 2 && poll <= polls + intervals + 2 {
                        spent += density.requests(planned.span);
                    }
                    coverage.read(planned.span, at(now));
                    for second in planned.span.from.0 - ZERO..=(planned.span.to.0 - ZERO).min(watched - 1) {
                        read_at[usize::try_from(second).unwrap()].push(now - second);
                    }
                }
            }
            // The worst lateness is that which just misses a reading: one second more than the age at which it was made.
            let promised = |late: i64| match depth {
                Depth::Whole => late + interval,
                Depth::Ratio(ratio) => (i64::from(ratio) * late + (i64::from(ratio) - 1) * interval).max(interval),
            };
            for (second, ages) in read_at.iter().enumerate() {
                prop_assert!(ages.last().is_some_and(|age| *age >= lateness), "second {second}: {ages:?}");
                let worst = std::iter::once(0).chain(ages.iter().map(|age| age + 1).filter(|late| *late <= lateness));
                for (late, found) in worst.zip(ages) {
                    prop_assert!(
                        *found <= promised(late),
                        "{depth:?}: second {second}, read at {ages:?}: late by {late}, promised by {}", promised(late)
                    );
                }
            }
            let ages = Ages::new(settings.interval, settings.lateness);
            let a_poll = density.requests(span(1, interval));
            let expected = match depth {
                Depth::Whole => density.requests(span(1, lateness + interval)) + 1.0,
                Depth::Ratio(ratio) => a_poll * f64::from(ages.readings(ratio)),
            };
            let mean = spent / f64::from(i32::try_from(polls).unwrap());
            // Readings that coverage had to join are made again somewhat sooner.
            let joined = if intervals >= 60 { 2.0 * a_poll } else { 0.0 };
            prop_assert!(mean <= expected * 1.25 + 1.0 + joined, "{depth:?}: {mean} requests for a poll, {expected} expected");
        }
    }
}
