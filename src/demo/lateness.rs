//! How long after it happened an event shows up in the Event history.
//!
//! One real trail was measured: half of the records came within 3.4 minutes, 99 of 100 within 8.4, the last at 9.9. A
//! log-normal distribution through the first two figures, cut off at the third, looks like that. AWS promises nothing
//! for Event history, so this is a plausible account, not a bound to rely on.

use std::time::Duration;

/// A distribution of delays, or none at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lateness {
    median: Duration,
    p99: Duration,
    max: Duration,
}

/// How many standard deviations above the mean the 99th percentile of a normal distribution lies.
const Z99: f64 = 2.326_347_9;

/// Draws beyond the maximum are drawn again, this often; then the maximum stands. One in 250 is beyond, so a second
/// round is rare and the last one is never seen.
const DRAWS: usize = 8;

impl Lateness {
    /// As measured.
    #[must_use]
    pub fn observed() -> Self {
        Self { median: Duration::from_secs(204), p99: Duration::from_secs(504), max: Duration::from_secs(594) }
    }

    /// Every event is visible in the second it happened.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed(Duration::ZERO)
    }

    /// Every event is late by the same.
    #[must_use]
    pub fn fixed(by: Duration) -> Self {
        Self { median: by, p99: by, max: by }
    }

    /// The same shape, `factor` times as long; what is no positive number means none.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |by: Duration| Duration::try_from_secs_f64(by.as_secs_f64() * factor).unwrap_or_default();
        Self { median: scale(self.median), p99: scale(self.p99), max: scale(self.max) }
    }

    /// The longest delay that is ever drawn.
    #[must_use]
    pub fn max(self) -> Duration {
        self.max
    }

    /// One event's delay.
    #[must_use]
    pub fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        if self.median.is_zero() {
            return Duration::ZERO;
        }
        let sigma = (self.p99.as_secs_f64() / self.median.as_secs_f64()).ln() / Z99;
        std::iter::repeat_with(|| self.median.as_secs_f64() * (sigma * standard_normal(rng)).exp())
            .take(DRAWS)
            .filter_map(|secs| Duration::try_from_secs_f64(secs).ok())
            .find(|delay| *delay <= self.max)
            .unwrap_or(self.max)
    }
}

/// Box and Muller's transform; the logarithm's argument is never zero.
fn standard_normal(rng: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_measured_percentiles() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut delays: Vec<_> = (0..20_000).map(|_| Lateness::observed().draw(&mut rng).as_secs_f64()).collect();
        delays.sort_by(f64::total_cmp);
        let percentile = |share: usize| delays[delays.len() * share / 100] / 60.0;
        assert!((3.3..3.5).contains(&percentile(50)), "{}", percentile(50));
        assert!((7.9..8.7).contains(&percentile(99)), "{}", percentile(99));
        assert!(delays[delays.len() - 1] <= 9.9 * 60.0);
    }

    #[test]
    fn scales_and_constants() {
        let mut rng = fastrand::Rng::with_seed(7);
        let second = Duration::from_secs(1);
        for (lateness, longest) in [
            (Lateness::none(), Duration::ZERO),
            (Lateness::fixed(second), second),
            (Lateness::observed().scaled(1.0 / 60.0), Duration::from_millis(9_900)),
            (Lateness::observed().scaled(-1.0), Duration::ZERO),
            (Lateness::observed().scaled(f64::NAN), Duration::ZERO),
        ] {
            assert_eq!(lateness.max(), longest);
            assert!((0..1_000).all(|_| lateness.draw(&mut rng) <= longest));
        }
    }
}
