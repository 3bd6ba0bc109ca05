//! When the next request to one source may go out.
//!
//! AWS allows two LookupEvents requests a second for each account and Region, shared with the console and every other
//! tool. A [`Pace`] takes its share of that evenly spaced: a burst, even one that fits the average, is what pushes the
//! others over the limit. When AWS says that the rate is exceeded anyway, others need their part: the pace halves its
//! rate, waits exponentially longer for each refusal in a row, and then grows back by equal steps (additive increase,
//! multiplicative decrease), which is how several that know nothing of each other come to share a quota.
//!
//! Pure: `now` and the jitter are arguments. The wall clock is good enough, because a clock that jumped back is noticed
//! and can delay a request by no more than the ordinary wait.

use std::time::Duration;

use crate::model::WallTime;

/// The first wait after a throttled request.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest wait after throttled requests.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// AWS's quota; nothing faster is ever of use.
const FASTEST: f64 = 2.0;

/// Slower than this, the daemon would not keep up with an empty trail.
const SLOWEST: f64 = 0.001;

/// What is left of the rate after a refusal.
const DECREASE: f64 = 0.5;

/// The rate that is kept whatever others do, if the full one is not below it.
const KEPT: f64 = 0.1;

/// From nothing to the full rate.
const RECOVERY: Duration = Duration::from_secs(120);

/// The pace of requests to one source.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The operator's share, in requests a second.
    full: f64,
    /// What is taken of it at present.
    rate: f64,
    /// When `rate` was last looked at; it grows from then on.
    grown: Option<WallTime>,
    /// When the last request went out.
    sent: Option<WallTime>,
    /// The running backoff: when it began and how long it is.
    pause: Option<(WallTime, Duration)>,
    /// Throttled requests since the last good one.
    throttled: u32,
}

impl Pace {
    /// At most this many requests a second, one at a time. Values beyond AWS's quota, and nonsense, are brought within
    /// bounds.
    #[must_use]
    pub fn new(requests_per_second: f64) -> Self {
        let rate = if requests_per_second.is_nan() { SLOWEST } else { requests_per_second.clamp(SLOWEST, FASTEST) };
        Self { full: rate, rate, grown: None, sent: None, pause: None, throttled: 0 }
    }

    /// The rate at present: the full one, or less for a while after AWS has refused requests for their rate.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.rate
    }

    /// Requests in a row that AWS has refused for their rate.
    #[must_use]
    pub fn refused_in_a_row(&self) -> u32 {
        self.throttled
    }

    /// Whether nobody may ask more often than this pace does at its full rate.
    #[must_use]
    pub fn is_the_fastest(&self) -> bool {
        self.full >= FASTEST
    }

    /// When the next request may go out: `now` or later.
    ///
    /// Takes `&mut self` because a `now` before the last request shows that the clock was set back: waiting starts anew
    /// from there, rather than until the old time comes round again.
    pub fn next(&mut self, now: WallTime) -> WallTime {
        self.sent = self.sent.map(|sent| sent.min(now));
        self.pause = self.pause.map(|(began, length)| (began.min(now), length));
        let spacing = Duration::from_secs_f64(1.0 / self.rate);
        let spaced = self.sent.map_or(now, |sent| sent.plus(spacing));
        let paused = self.pause.map_or(now, |(began, length)| began.plus(length));
        now.max(spaced).max(paused)
    }

    /// Notes that a request goes out at `now`.
    pub fn sent(&mut self, now: WallTime) {
        self.sent = Some(now);
    }

    /// Notes that AWS refused a request for its rate. The rate halves, and the wait doubles with each refusal in a row, from one second to a
    /// minute, times `jitter`, which is held between a half and one: it keeps several daemons from coming back at once.
    pub fn throttled(&mut self, now: WallTime, jitter: f64) {
        self.rate = (self.rate * DECREASE).max(self.full.min(KEPT));
        self.grown = Some(now);
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.throttled.min(16));
        let jitter = if jitter.is_nan() { 1.0 } else { jitter.clamp(0.5, 1.0) };
        self.pause = Some((now, doubled.min(LONGEST_BACKOFF).mul_f64(jitter)));
        self.throttled = self.throttled.saturating_add(1);
    }

    /// Notes that a request was not refused for its rate, at `now`.
    pub fn ok(&mut self, now: WallTime) {
        self.pause = None;
        self.throttled = 0;
        let waited = self.grown.map_or(Duration::ZERO, |grown| now.since(grown));
        self.rate = (self.rate + self.full * waited.as_secs_f64() / RECOVERY.as_secs_f64()).min(self.full);
        self.grown = (self.rate < self.full).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> WallTime {
        WallTime(1_800_000_000_000 + millis)
    }

    /// How long a request at `now` has to wait, in milliseconds.
    fn wait(pace: &mut Pace, now: i64) -> i64 {
        pace.next(at(now)).0 - at(now).0
    }

    #[test]
    fn requests_are_evenly_spaced_and_idle_time_saves_nothing_up() {
        let mut pace = Pace::new(2.0);
        assert_eq!(wait(&mut pace, 0), 0);
        pace.sent(at(0));
        assert_eq!(wait(&mut pace, 100), 400);
        assert_eq!(wait(&mut pace, 60_000), 0);
        pace.sent(at(60_000));
        assert_eq!(wait(&mut pace, 60_000), 500);
    }

    #[test]
    fn refusals_double_the_wait_up_to_a_minute_and_success_ends_it() {
        let mut pace = Pace::new(1.0);
        for (refusal, expected) in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].into_iter().enumerate()
        {
            pace.throttled(at(0), 1.0);
            assert_eq!(wait(&mut pace, 0), expected, "refusal {refusal}");
        }
        pace.throttled(at(0), 0.0);
        assert_eq!(wait(&mut pace, 0), 30_000);
        pace.ok(at(0));
        assert_eq!(wait(&mut pace, 0), 0);
    }

    #[test]
    fn refusals_halve_the_rate_and_it_grows_back_evenly() {
        let mut pace = Pace::new(2.0);
        let mut rate_after = |refusals: u32, seconds: i64| {
            (0..refusals).for_each(|_| pace.throttled(at(0), 1.0));
            pace.ok(at(seconds * 1000));
            pace.requests_per_second()
        };
        for (refusals, seconds, rate) in [
            (0, 0, 2.0),
            (1, 0, 1.0),
            (0, 30, 1.5),
            (0, 60, 2.0),
            (2, 0, 0.5),
            (9, 0, 0.1),
            (0, 60, 1.1),
            (0, 999, 2.0),
        ] {
            assert_eq!(rate_after(refusals, seconds), rate, "{refusals} refusals, {seconds} s");
        }
    }

    #[test]
    fn two_that_share_a_quota_both_get_a_good_part_of_it() {
        // Whoever comes while no token is left is refused; one begins with all, the other with the least. Requests take
        // a varying time to arrive.
        let mut rng = fastrand::Rng::with_seed(1);
        let mut paces = [Pace::new(2.0), Pace::new(2.0)];
        (0..9).for_each(|_| paces[1].throttled(at(0), 1.0));
        let (mut tokens, mut filled, mut served) = (2.0_f64, 0, [0.0; 2]);
        let mut refused = 0.0;
        for millis in (0..3_600_000).step_by(10) {
            for (pace, served) in paces.iter_mut().zip(&mut served) {
                if wait(pace, millis) > 0 {
                    continue;
                }
                pace.sent(at(millis));
                let arrived = filled.max(millis + rng.i64(0..100));
                tokens = (tokens + 2.0 * (arrived - filled) as f64 / 1000.0).min(2.0);
                filled = arrived;
                if tokens >= 1.0 {
                    tokens -= 1.0;
                    *served += 1.0;
                    pace.ok(at(millis));
                } else {
                    refused += 1.0;
                    pace.throttled(at(millis), 0.5 + rng.f64() / 2.0);
                }
            }
        }
        let [one, other]: [f64; 2] = served;
        assert!(one.min(other) > 0.4 * (one + other), "{served:?}");
        assert!(one + other > 0.85 * 7200.0 && refused < 0.05 * (one + other), "{served:?}, {refused} refused");
    }

    #[test]
    fn a_clock_set_back_does_not_stall_it() {
        let mut pace = Pace::new(1.0);
        pace.sent(at(86_400_000));
        assert_eq!(wait(&mut pace, 0), 1_000);
        assert_eq!(wait(&mut pace, 1_000), 0);
        pace.throttled(at(86_400_000), 1.0);
        assert_eq!(wait(&mut pace, 2_000), 1_000);
        assert_eq!(wait(&mut pace, 3_000), 0);
    }

    #[test]
    fn nonsense_rates_are_brought_within_bounds() {
        for (rate, spacing) in
            [(f64::NAN, 1_000_000), (-1.0, 1_000_000), (0.0, 1_000_000), (f64::INFINITY, 500), (9.0, 500)]
        {
            let mut pace = Pace::new(rate);
            pace.sent(at(0));
            assert_eq!(wait(&mut pace, 0), spacing, "{rate}");
        }
    }

    proptest! {
        #[test]
        fn it_never_waits_longer_than_its_limits_nor_sends_faster_than_its_rate(
            rate in 0.02..2.0f64,
            steps in prop::collection::vec((-100_000..100_000i64, 0..5u8, 0.0..2.0f64), 1..60),
        ) {
            let mut pace = Pace::new(rate);
            let spacing = Duration::from_secs_f64(1.0 / rate).as_millis() as i64;
            let mut now = 0;
            for (jump, what, jitter) in steps {
                now += jump;
                let due = wait(&mut pace, now);
                prop_assert!((0..=spacing.max(60_000)).contains(&due), "{due}");
                now += due;
                prop_assert_eq!(wait(&mut pace, now), 0, "a wait that was kept is enough");
                pace.sent(at(now));
                prop_assert!(wait(&mut pace, now) >= spacing);
                match what {
                    0 => pace.throttled(at(now), jitter),
                    1 => {}
                    _ => pace.ok(at(now)),
                }
            }
        }
    }
}
