//! When to try again, and when to stop trying: pure arithmetic over one attempt's outcome.
//!
//! A notifier that could not be reached is tried again soon, since most outages are short. One that *refused* an alert
//! will most likely refuse it again until a person changes something (a policy, a key, an address), so that is
//! tried slowly, but it is tried: people do change things, and nobody should have to send alerts by hand afterwards.
//! Both end after `retry_for`, with a last attempt when that time is up, in the dead letters.

use std::time::Duration;

use super::Outcome;
use crate::model::WallTime;
use crate::store::{Delivery, Settlement};

/// How long `Retry-After` is obeyed at most: a receiver's slip of the pen must not hold alerts for a year.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// A series of waits that double up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

/// For a notifier that cannot be reached, or says that it is busy.
pub const UNREACHED: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(5 * 60) };

/// For a notifier that refused.
pub const REFUSED: Backoff = Backoff { first: Duration::from_secs(60), most: Duration::from_secs(60 * 60) };

/// For a drain, which has little time.
pub const HURRIED: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(1) };

impl Backoff {
    /// How long to wait after failure number `failures`, which counts from 1.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The same, shortened by up to half, so that many who failed together do not all come back together. `jitter` is
    /// how much of that half, from none of it at 0 to all of it at the top.
    #[must_use]
    pub fn jittered(self, failures: u32, jitter: u16) -> Duration {
        let wait = self.after(failures);
        wait - wait / 2 * u32::from(jitter) / u32::from(u16::MAX)
    }

    /// Whether failure number `failures` is the first, or waits longer than the one before: worth a line in the log.
    #[must_use]
    pub fn is_step(self, failures: u32) -> bool {
        failures <= 1 || self.after(failures) > self.after(failures - 1)
    }
}

/// What to record about an attempt to make `delivery` that ended at `now` with `outcome`. At `fallback` the time of a
/// notifier comes that stands in, and so it is tried again then at the latest.
#[must_use]
pub fn settle(
    delivery: &Delivery,
    outcome: &Outcome,
    now: WallTime,
    (retry_for, fallback): (Duration, Option<WallTime>),
    jitter: u16,
) -> Settlement {
    let attempts = delivery.attempts.saturating_add(1);
    let (wait, parked, error) = match outcome {
        Outcome::Accepted => return Settlement::Accepted { at: now },
        Outcome::Transient { error, retry_after } => {
            (UNREACHED.jittered(attempts, jitter).max(obeyed(*retry_after)), false, error)
        }
        Outcome::Permanent { error } => (REFUSED.jittered(attempts, jitter), true, error),
    };
    let error = error.clone();
    let end = delivery.queued.plus(retry_for);
    if now >= end {
        return Settlement::Dead { at: now, error };
    }
    let at = now.plus(wait).min(end).min(fallback.unwrap_or(end));
    Settlement::Retry { at, attempts, parked, error }
}

/// How much of a receiver's `Retry-After` is obeyed.
#[must_use]
pub fn obeyed(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AlertKind;
    use crate::model::fixture::alert;
    use proptest::prelude::*;

    const QUEUED: WallTime = WallTime(1_000_000);
    const RETRY_FOR: Duration = Duration::from_secs(72 * 3600);

    fn delivery(attempts: u32) -> Delivery {
        let alert = alert(AlertKind::Opened, vec![]);
        Delivery { notifier: "n".to_owned(), seq: 1, alert, attempts, queued: QUEUED, parked: false }
    }

    fn down() -> Outcome {
        Outcome::transient("down")
    }

    fn refused() -> Outcome {
        Outcome::permanent("no")
    }

    /// `attempts` before, the outcome, and what is to happen: `(parked, seconds to wait)`.
    fn waits(attempts: u32, outcome: &Outcome, parked: bool, secs: u64) {
        let settled = settle(&delivery(attempts), outcome, QUEUED, (RETRY_FOR, None), 0);
        let Settlement::Retry { at, attempts: counted, parked: is_parked, .. } = settled else {
            panic!("{settled:?}");
        };
        assert_eq!((at.since(QUEUED).as_secs(), is_parked, counted), (secs, parked, attempts + 1));
    }

    #[test]
    fn who_cannot_be_reached_is_tried_soon_and_who_refuses_slowly() {
        for (attempts, secs) in [(0, 1), (1, 2), (2, 4), (7, 128), (8, 256), (9, 300), (4_000_000_000, 300)] {
            waits(attempts, &down(), false, secs);
        }
        for (attempts, secs) in [(0, 60), (1, 120), (5, 1920), (6, 3600), (4_000_000_000, 3600)] {
            waits(attempts, &refused(), true, secs);
        }
    }

    #[test]
    fn a_pause_that_is_asked_for_is_made_but_not_for_longer_than_an_hour() {
        for (attempts, asked, secs) in [(0, 0, 1), (0, 30, 30), (9, 30, 300), (0, 3600, 3600), (0, u64::MAX, 3600)] {
            waits(attempts, &down().after(Some(Duration::from_secs(asked))), false, secs);
        }
    }

    #[test]
    fn an_alert_is_given_up_when_its_time_is_over_and_tried_a_last_time_then() {
        let end = QUEUED.plus(RETRY_FOR);
        let shortly_before = end.minus(Duration::from_millis(1));
        for outcome in [down(), down().after(Some(RETRY_FOR)), refused()] {
            let last = settle(&delivery(9), &outcome, shortly_before, (RETRY_FOR, None), 0);
            assert!(matches!(last, Settlement::Retry { at, .. } if at == end), "{last:?}");
            assert!(
                matches!(settle(&delivery(9), &outcome, end, (RETRY_FOR, None), 0), Settlement::Dead { at, .. } if at == end)
            );
        }
        assert_eq!(
            settle(&delivery(9), &Outcome::Accepted, end, (RETRY_FOR, None), 0),
            Settlement::Accepted { at: end }
        );
    }

    #[test]
    fn it_is_tried_again_when_a_fallbacks_time_comes() {
        for (outcome, secs, expected) in [(refused(), 20, 20), (refused(), 90, 60), (down(), 20, 1)] {
            let fallback = Some(QUEUED.plus(Duration::from_secs(secs)));
            let settled = settle(&delivery(0), &outcome, QUEUED, (RETRY_FOR, fallback), 0);
            let Settlement::Retry { at, .. } = settled else { panic!("{settled:?}") };
            assert_eq!(at.since(QUEUED).as_secs(), expected);
        }
    }

    #[test]
    fn a_step_is_a_longer_wait_than_before() {
        let steps = |backoff: Backoff| (0..20).filter(|n| backoff.is_step(*n)).collect::<Vec<_>>();
        assert_eq!(steps(UNREACHED), (0..=10).collect::<Vec<_>>());
        assert_eq!(steps(REFUSED), (0..=7).collect::<Vec<_>>());
        assert_eq!(steps(HURRIED), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn jitter_takes_up_to_half(failures: u32, jitter: u16) {
            for backoff in [UNREACHED, REFUSED, HURRIED] {
                let (whole, wait) = (backoff.after(failures), backoff.jittered(failures, jitter));
                prop_assert!(whole / 2 <= wait && wait <= whole, "{whole:?} {wait:?}");
            }
        }

        #[test]
        fn no_time_is_too_odd(attempts: u32, now: i64, queued: i64, retry_for: u64, asked: u64, jitter: u16) {
            let delivery = Delivery { queued: WallTime(queued), ..delivery(attempts) };
            let outcome = down().after(Some(Duration::from_secs(asked)));
            match settle(&delivery, &outcome, WallTime(now), (Duration::from_millis(retry_for), None), jitter) {
                Settlement::Retry { at, .. } => prop_assert!(at > WallTime(now)),
                Settlement::Dead { at, .. } => prop_assert_eq!(at, WallTime(now)),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
