//! The ways by which an alert can reach somebody: the notifier's own, then those of the notifiers that stand in for it.
//!
//! Which ways there are, the configuration says ([`Way::all`]). What is known of how they go at present is a
//! [`Course`]: pure arithmetic over what attempts came to, kept by a running dispatcher and forgotten with the process.
//! A restart therefore asks a notifier that is down once more; nothing else hangs on it.
//!
//! A fallback's time comes when the alert has waited for `fallback_after`, or when the way before it has failed for that
//! long without taking anything, whichever is earlier. So in a long outage new alerts need not wait again, and an alert
//! that is refused while others are taken is not left to itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::retry::{self, HURRIED, UNREACHED};
use super::{Outcome, Sender};
use crate::config;
use crate::model::WallTime;
use crate::store::Delivery;

/// One way.
#[derive(Clone, Debug)]
pub struct Way {
    /// Whose it is.
    pub notifier: String,
    /// Who hands over.
    pub sender: Arc<Sender>,
    /// How long the way before this one has to fail first; the first has none before it.
    pub after: Duration,
}

impl Way {
    /// The ways of the notifier `name`, its own first. A fallback may have one itself; that none of them leads back, the
    /// configuration's check has seen to.
    #[must_use]
    pub fn all(
        notifiers: &BTreeMap<String, config::Notifier>,
        senders: &BTreeMap<String, Arc<Sender>>,
        name: &str,
    ) -> Vec<Self> {
        let mut ways: Vec<Self> = Vec::new();
        let (mut next, mut after) = (Some(name), Duration::ZERO);
        while let Some(name) = next
            && let (Some(notifier), Some(sender)) = (notifiers.get(name), senders.get(name))
            && !ways.iter().any(|way| way.notifier == name)
        {
            ways.push(Self { notifier: name.to_owned(), sender: Arc::clone(sender), after });
            let fallback = notifier.fallback.as_ref();
            (next, after) =
                (fallback.map(|fallback| fallback.to.as_str()), fallback.map_or(after, |fallback| fallback.after));
        }
        ways
    }
}

/// How the ways of one notifier go at present.
#[derive(Debug)]
pub(super) struct Course {
    /// `after` of each way.
    after: Vec<Duration>,
    reaches: Vec<Reach>,
    /// There is little time: ways rest for a moment only.
    hurried: bool,
}

/// How one way goes.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// Transient failures in a row, whichever alerts they hit.
    failures: u32,
    /// Since when nothing has got through.
    failing: Option<Instant>,
    /// It is left alone until then.
    rests: Option<Instant>,
}

impl Course {
    pub(super) fn new(ways: &[Way], hurried: bool) -> Self {
        let after = ways.iter().map(|way| way.after).collect::<Vec<_>>();
        Self { reaches: vec![Reach::default(); after.len()], after, hurried }
    }

    /// Takes note of what an attempt by the way at `place` came to. `jitter` shortens the rest that it gets.
    pub(super) fn note(&mut self, place: usize, outcome: &Outcome, jitter: u16, now: Instant) {
        let hurried = self.hurried;
        let Some(reach) = self.reaches.get_mut(place) else { return };
        *reach = match outcome {
            Outcome::Accepted => Reach::default(),
            // It was reached, and refuses one alert; whether it takes others does not show.
            Outcome::Permanent { .. } => Reach { failures: 0, rests: None, ..*reach },
            Outcome::Transient { retry_after, .. } => {
                let failures = reach.failures.saturating_add(1);
                let pause = if hurried { HURRIED.after(failures) } else { UNREACHED.jittered(failures, jitter) };
                let rests = Some(now + pause.max(retry::obeyed(*retry_after)));
                Reach { failures, failing: reach.failing.or(Some(now)), rests }
            }
        };
    }

    /// Transient failures in a row of the way at `place`.
    pub(super) fn failures(&self, place: usize) -> u32 {
        self.reaches.get(place).map_or(0, |reach| reach.failures)
    }

    /// Whether the way at `place` may be tried for `delivery`.
    pub(super) fn is_open(&self, place: usize, delivery: &Delivery, clock: WallTime, now: Instant) -> bool {
        self.opens(place, delivery, clock, now) <= now
    }

    /// When the first way opens for `delivery`.
    pub(super) fn first_opens(&self, delivery: &Delivery, clock: WallTime, now: Instant) -> Instant {
        let all = (0..self.reaches.len()).map(|place| self.opens(place, delivery, clock, now));
        all.min().unwrap_or(now)
    }

    /// When the next fallback can be tried that cannot be at present: its time has not come, or it rests. None if there
    /// is no such one.
    pub(super) fn next_fallback(&self, delivery: &Delivery, clock: WallTime, now: Instant) -> Option<WallTime> {
        let opens = (1..self.after.len()).map(|place| self.opens(place, delivery, clock, now));
        // Later by the clock's grain: rounded down it would be now, again and again.
        opens.filter(|at| *at > now).min().map(|at| clock.plus(at - now + Duration::from_millis(1)))
    }

    fn opens(&self, place: usize, delivery: &Delivery, clock: WallTime, now: Instant) -> Instant {
        let rests = self.reaches.get(place).and_then(|reach| reach.rests).unwrap_or(now);
        self.due(place, delivery, clock, now).max(rests)
    }

    /// When the time of the way at `place` comes, or came.
    fn due(&self, place: usize, delivery: &Delivery, clock: WallTime, now: Instant) -> Instant {
        if place == 0 {
            return now;
        }
        let by_age = now + delivery.queued.plus(self.patience(place)).since(clock);
        let failing = self.reaches.iter().zip(self.after.iter().skip(1)).take(place);
        let by_outage = failing.map(|(reach, after)| reach.failing.map(|since| since + *after));
        // None of the ways before it gets anything through.
        let by_outage = by_outage.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
        by_outage.map_or(by_age, |at| at.min(by_age))
    }

    /// How long an alert waits for the way at `place`.
    fn patience(&self, place: usize) -> Duration {
        self.after.iter().take(place + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AlertKind;
    use crate::model::fixture::alert;

    const QUEUED: WallTime = WallTime(1_779_907_554_000);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn course() -> Course {
        let after = vec![Duration::ZERO, secs(60), secs(100)];
        Course { reaches: vec![Reach::default(); after.len()], after, hurried: false }
    }

    fn delivery() -> Delivery {
        let alert = alert(AlertKind::Opened, vec![]);
        Delivery { notifier: "n".to_owned(), seq: 1, alert, attempts: 0, queued: QUEUED, parked: false }
    }

    /// Which ways are open so many seconds after the alert was queued.
    #[track_caller]
    fn open(course: &Course, age: u64, now: Instant, expected: &[usize]) {
        let clock = QUEUED.plus(secs(age));
        let found: Vec<usize> = (0..3).filter(|place| course.is_open(*place, &delivery(), clock, now)).collect();
        assert_eq!(found, expected, "at {age}");
    }

    fn down() -> Outcome {
        Outcome::transient("down")
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_has_waited_opens_one_way_after_the_other() {
        let now = Instant::now();
        for (age, expected) in [(0, &[0][..]), (59, &[0]), (60, &[0, 1]), (159, &[0, 1]), (160, &[0, 1, 2])] {
            open(&course(), age, now, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_a_new_alert_does_not_wait_again() {
        let (mut course, start) = (course(), Instant::now());
        course.note(0, &down(), 0, start);
        open(&course, 0, start, &[]);
        // The first is asked again after a rest, and fails on.
        let at = start + secs(59);
        course.note(0, &down(), 0, at);
        open(&course, 0, at, &[]);
        open(&course, 0, at + secs(1), &[1]);
        open(&course, 0, at + secs(2), &[0, 1]);
        course.note(1, &down(), 0, at + secs(1));
        open(&course, 0, at + secs(102), &[0, 1, 2]);
        // What it takes ends the outage.
        course.note(0, &Outcome::Accepted, 0, at + secs(103));
        open(&course, 0, at + secs(103), &[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_no_outage_but_waits_for_its_own_time() {
        let (mut course, now) = (course(), Instant::now());
        course.note(0, &Outcome::permanent("no"), 0, now);
        open(&course, 59, now + secs(1_000), &[0]);
        open(&course, 60, now + secs(1_000), &[0, 1]);
        let due = |course: &Course, age| {
            let next = course.next_fallback(&delivery(), QUEUED.plus(secs(age)), now);
            next.map(|at| at.since(QUEUED).as_secs())
        };
        let all = |course: &Course| [0, 60, 159, 160].map(|age| due(course, age));
        assert_eq!(all(&course), [Some(60), Some(160), Some(160), None]);
        // One that was not reached is asked again after its own rest, not after that of the refusal.
        course.note(1, &down().after(Some(secs(30))), 0, now);
        assert_eq!(all(&course), [Some(60), Some(90), Some(160), Some(190)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_first_way_opens() {
        let (mut course, now) = (course(), Instant::now());
        let first =
            |course: &Course, age| (course.first_opens(&delivery(), QUEUED.plus(secs(age)), now) - now).as_secs();
        assert_eq!(first(&course, 0), 0);
        course.note(0, &down().after(Some(secs(600))), 0, now);
        assert_eq!((first(&course, 0), first(&course, 20), first(&course, 90)), (60, 40, 0));
        course.note(1, &down().after(Some(secs(30))), 0, now);
        assert_eq!((first(&course, 20), first(&course, 90)), (40, 30));
    }
}
