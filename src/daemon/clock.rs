//! The time that readings are dated with: never later than AWS's own.
//!
//! A reading counts as made at a certain time, and seconds are settled by it. If our clock runs ahead, seconds would
//! settle before AWS has finished filling them. So a [`Clock`] learns from the `Date` header of each reply how far the
//! local clock is ahead, and takes that off. A clock that runs behind only reads later, which is safe, but late; so it is
//! known how far, too.

use std::time::Duration;

use crate::model::WallTime;

/// `Date` has whole seconds and a reply takes time; less than this is no skew.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The local clock, held back to AWS's.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    /// What to date a reading with that begins when the local clock shows `local`.
    #[must_use]
    pub(super) fn now(&self, local: WallTime) -> WallTime {
        local.minus(self.ahead)
    }

    /// How far the local clock is behind, as far as one can tell.
    pub(super) fn behind(&self) -> Duration {
        self.behind
    }

    /// Learns from a reply that carried `date`, to a request sent when the local clock showed `local`. Returns how far
    /// the local clock is ahead, if that is news.
    pub(super) fn learn(&mut self, local: WallTime, date: Option<WallTime>) -> Option<Duration> {
        let date = date?;
        let ahead = local.since(date);
        self.behind = date.since(local);
        let ahead = if ahead > TOLERANCE { ahead } else { Duration::ZERO };
        let is_news = ahead.abs_diff(self.ahead) > TOLERANCE;
        self.ahead = ahead;
        (is_news && !ahead.is_zero()).then_some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_held_back_and_one_that_is_behind_is_not() {
        let aws = WallTime(1_800_000_000_000);
        let minute = Duration::from_secs(60);
        for (local, news, dated) in [
            (aws, None, aws),
            (aws.plus(Duration::from_millis(1_900)), None, aws.plus(Duration::from_millis(1_900))),
            (aws.plus(minute), Some(minute), aws),
            (aws.minus(minute), None, aws.minus(minute)),
        ] {
            let mut clock = Clock::default();
            assert_eq!(clock.learn(local, Some(aws)), news, "{local}");
            assert_eq!(clock.now(local), dated, "{local}");
            assert_eq!(clock.behind(), aws.since(local), "{local}");
            assert_eq!(clock.learn(local, Some(aws)), None, "said once");
            assert_eq!(clock.learn(local, None), None);
        }
    }
}
