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
    confirmed: bool,
}

/// That the local clock is wrong, or right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    Ahead(Duration),
    Behind(Duration),
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

    /// Whether AWS has told the time yet. Until then nothing may be given up for its age.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Learns from a reply that carried `date`, to a request that was sent when the local clock showed `sent` and answered
    /// when it showed `received`. Returns how far the local clock is off, if that is news.
    pub(super) fn learn(&mut self, sent: WallTime, received: WallTime, date: Option<WallTime>) -> Option<Skew> {
        let date = date?;
        self.confirmed = true;
        let held = |off: Duration| if off > TOLERANCE { off } else { Duration::ZERO };
        let (ahead, behind) = (held(sent.since(date)), held(date.since(received)));
        let is_news = |now: Duration, before: Duration| !now.is_zero() && now.abs_diff(before) > TOLERANCE;
        let news = match () {
            () if is_news(ahead, self.ahead) => Some(Skew::Ahead(ahead)),
            () if is_news(behind, self.behind) => Some(Skew::Behind(behind)),
            () => None,
        };
        (self.ahead, self.behind) = (ahead, behind);
        news
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
            (aws.plus(minute), Some(Skew::Ahead(minute)), aws),
            (aws.minus(minute), Some(Skew::Behind(minute)), aws.minus(minute)),
        ] {
            let mut clock = Clock::default();
            assert!(!clock.is_confirmed());
            assert_eq!(clock.learn(local, local, Some(aws)), news, "{local}");
            assert_eq!(clock.now(local), dated, "{local}");
            assert_eq!(clock.behind(), aws.since(local), "{local}");
            assert_eq!(clock.learn(local, local, Some(aws)), None, "said once");
            assert_eq!(clock.learn(local, local, None), None);
            assert!(clock.is_confirmed());
        }
        // A slow reply shows no skew.
        assert_eq!(Clock::default().learn(aws.minus(minute), aws, Some(aws)), None);
    }
}
