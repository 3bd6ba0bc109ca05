//! What to read next: a pure function from what has been read to the spans that one poll should read.
//!
//! Budget goes first to the newest, where the next alert will come from; then to the oldest seconds that are not
//! settled, so that a backlog shrinks from the end that retention eats; then to rechecks, which nobody waits for.
//! Nothing here remembers anything: a plan that was only half performed is made good by the next one, because
//! [`Coverage`] then still shows the gap.
//!
//! The newest reading always goes back to the first unsettled second next to the lateness horizon, so that an event is
//! found at the first poll after it became visible. Absent is the choice of shallower readings for sources so busy that
//! this does not fit the budget: there a poll simply takes longer.

use std::time::Duration;

use super::Coverage;
use super::coverage::whole_secs;
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

/// The operator's part in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// An event may appear this long after it happened.
    pub lateness: Duration,
    /// The age at which every second is read once more; zero: never.
    pub recheck: Duration,
    /// Nothing older is read.
    pub retention: Duration,
}

/// What one poll may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests. A plan has at most as many readings, each of which needs one or more; the newest is always among them.
    pub requests: u32,
}

impl Budget {
    /// For a pass that is to read everything through.
    pub const UNLIMITED: Self = Self { requests: u32::MAX };
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
    /// The newest seconds and all that may still gain events.
    Fresh,
    /// Seconds that an outage, a first run or a broken-off reading left behind.
    Backlog,
    /// Settled seconds, once more.
    Recheck,
}

impl Purpose {
    /// The word for it, for logs and `explain`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Backlog => "backlog",
            Self::Recheck => "recheck",
        }
    }
}

/// What a poll that begins at `now` should read, in this order.
///
/// Everything planned lies between `now` and the later of the retention's floor and the start of watching. A reading
/// with purpose [`Backlog`](Purpose::Backlog) or [`Recheck`](Purpose::Recheck) may be broken off after any page when
/// the next poll is due. After a clock may have been set back, [`Coverage::discard_after`] comes first.
#[must_use]
pub fn plan(coverage: &Coverage, now: WallTime, settings: &PlanSettings, budget: Budget) -> Vec<Planned> {
    let Some(watched) = Span::new(floor(now, settings).max(coverage.since()), now.second()) else {
        return Vec::new();
    };
    let mut gaps = coverage.unsettled(watched);
    let fresh = gaps.pop().map(|gap| cut_fresh(gap, now, settings));
    let (fresh, rest) = fresh.unzip();
    gaps.extend(rest.flatten());

    let readings = fresh
        .into_iter()
        .map(|span| Planned { span, purpose: Purpose::Fresh })
        .chain(gaps.into_iter().flat_map(chunks).map(|span| Planned { span, purpose: Purpose::Backlog }))
        .chain(due_rechecks(coverage, watched, now, settings));
    readings.take(usize::try_from(budget.requests.max(1)).unwrap_or(usize::MAX)).collect()
}

/// Watched seconds that were never read and are now older than `retention`: they will not be read any more.
///
/// Report them, then [`Coverage::drop_before`] the [`floor`], so that they are reported once.
#[must_use]
pub fn lost(coverage: &Coverage, now: WallTime, settings: &PlanSettings) -> Vec<Span> {
    let too_old = Span::new(coverage.since(), floor(now, settings).minus(1));
    too_old.map(|span| coverage.unread(span)).unwrap_or_default()
}

/// The oldest second that `retention` allows to be read at `now`.
#[must_use]
pub fn floor(now: WallTime, settings: &PlanSettings) -> EventTime {
    now.second().minus(whole_secs(settings.retention))
}

/// Splits the gap that ends now into what the newest reading takes and what is backlog.
fn cut_fresh(gap: Span, now: WallTime, settings: &PlanSettings) -> (Span, Option<Span>) {
    let reach = now.second().minus(whole_secs(settings.lateness).saturating_add(AGED_OUT));
    let from = gap.from.max(reach).min(gap.to);
    (Span { from, to: gap.to }, Span::new(gap.from, from.minus(1)))
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
        PlanSettings { lateness: secs(LATENESS), recheck: secs(DAY), retention: secs(30 * DAY) }
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
        let planned = plan(coverage, at(now), &settings(), budget);
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
        assert_eq!(check(&coverage, 3 * DAY, Budget { requests: 2 }), [newest, oldest]);
        assert_eq!(check(&coverage, 3 * DAY, Budget { requests: 0 }), [newest]);
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
        let settings = PlanSettings { lateness: Duration::MAX, recheck: Duration::MAX, retention: Duration::MAX };
        for now in [i64::MIN, 0, ZERO * 1000, i64::MAX] {
            let coverage = Coverage::new(EventTime(0), settings.lateness, settings.recheck);
            let _ = plan(&coverage, WallTime(now), &settings, Budget { requests: 10 });
            let _ = lost(&coverage, WallTime(now), &settings);
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_second_is_read_when_settled_and_again_at_recheck(
            polls in prop::collection::vec((1..4000i64, 0..4u8, 1..4u32), 1..60),
            lateness in 1..2000i64,
            recheck in 2000..8000i64,
            backfill in 0..20_000i64,
        ) {
            let settings = PlanSettings { lateness: secs(lateness), recheck: secs(recheck), retention: secs(15_000) };
            let mut coverage = Coverage::new(EventTime(ZERO), settings.lateness, settings.recheck);
            let settle: Vec<_> = (0..40).map(|_| (60, 0, 1000)).collect();
            let wait = (recheck + recheck / 12 + 120, 0, 1000);
            let total: i64 = polls.iter().chain(&settle).map(|poll| poll.0).sum::<i64>() + backfill + wait.0;
            let mut naive = Seconds(vec![None; usize::try_from(total + 1).unwrap()]);
            let mut now = backfill;
            let mut floor = 0;
            let mut settled_at = 0;
            for (pause, fate, requests) in polls.into_iter().chain(settle).chain([wait]) {
                settled_at = if pause == wait.0 { now } else { settled_at };
                now += pause;
                floor = floor.max(now - 15_000);
                for planned in plan(&coverage, at(now), &settings, Budget { requests }) {
                    let whole = planned.span;
                    prop_assert!(whole.from.0 >= ZERO + floor && whole.to.0 <= ZERO + now);
                    let ages = (whole.from.0..=whole.to.0).map(|second| naive.age(EventTime(second)));
                    match planned.purpose {
                        Purpose::Recheck => prop_assert!(whole.to.0 <= ZERO + now - recheck),
                        _ => prop_assert!(ages.flatten().all(|age| age < lateness)),
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
        }
    }
}
