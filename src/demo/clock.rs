//! The account's clock: the only one that decides what has happened, what is visible and what a quota has left.
//!
//! A [`Clock`] shows an instant and runs at a rate; rate zero is a stopped clock that moves only when a test moves it.
//! Clones are the same clock. Whoever waits for an instant with [`Clock::reach`] is woken by the passing of time and by
//! a test's hand alike, so nothing ever needs to sleep and hope.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::WallTime;

/// A clock that is real, shifted, hurried or stopped.
#[derive(Clone, Debug)]
pub struct Clock(Arc<watch::Sender<Face>>);

/// What the clock showed at some instant, and how fast it has gone since.
#[derive(Clone, Copy, Debug)]
struct Face {
    shown: WallTime,
    when: Instant,
    rate: f64,
}

/// Faster than any use, and slow enough that no sum of durations overflows.
const FASTEST: f64 = 1e6;

impl Clock {
    /// The machine's time.
    #[must_use]
    pub fn real() -> Self {
        Self::running(WallTime::now(), 1.0)
    }

    /// Shows `from` now and goes `rate` times as fast as the machine's clock. A rate that is no positive number stops
    /// it.
    #[must_use]
    pub fn running(from: WallTime, rate: f64) -> Self {
        let rate = if rate > 0.0 { rate.min(FASTEST) } else { 0.0 };
        Self(Arc::new(watch::Sender::new(Face { shown: from, when: Instant::now(), rate })))
    }

    /// Shows `at` until it is moved.
    #[must_use]
    pub fn stopped(at: WallTime) -> Self {
        Self::running(at, 0.0)
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> WallTime {
        self.0.borrow().at(Instant::now())
    }

    /// Sets it to `at`; the rate stays.
    pub fn set(&self, at: WallTime) {
        self.0.send_modify(|face| *face = Face { shown: at, when: Instant::now(), rate: face.rate });
    }

    /// Moves it forward by `by`, on top of its own running.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|face| face.shown = face.shown.plus(by));
    }

    /// Returns once it shows `at` or later.
    pub async fn reach(&self, at: WallTime) {
        let mut faces = self.0.subscribe();
        loop {
            let face = *faces.borrow_and_update();
            if face.at(Instant::now()) >= at {
                return;
            }
            // The sender lives in `self`, so `changed` cannot fail while this waits.
            match face.until(at, Instant::now()) {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, faces.changed()).await;
                }
                None => {
                    let _ = faces.changed().await;
                }
            }
        }
    }
}

impl Face {
    fn at(&self, instant: Instant) -> WallTime {
        self.shown.plus(instant.saturating_duration_since(self.when).mul_f64(self.rate))
    }

    /// How long a machine has to wait for `at`; a millisecond at least, and never for a stopped clock.
    fn until(&self, at: WallTime, instant: Instant) -> Option<Duration> {
        let left = at.since(self.at(instant)).as_secs_f64();
        let wait = Duration::try_from_secs_f64(left / self.rate).ok()?;
        Some(wait.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_by_hand_only() {
        let clock = Clock::stopped(WallTime(1_000));
        assert_eq!(clock.now(), WallTime(1_000));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.clone().now(), WallTime(3_000));
        clock.set(WallTime(5));
        assert_eq!(clock.now(), WallTime(5));
    }

    #[test]
    fn odd_rates_stop_the_clock() {
        for rate in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Clock::running(WallTime(7), rate).now(), WallTime(7), "{rate}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_a_hand_and_by_time() {
        let clock = Clock::stopped(WallTime(0));
        let waiter = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.reach(WallTime(60_000)).await })
        };
        clock.advance(Duration::from_secs(30));
        clock.advance(Duration::from_secs(30));
        waiter.await.unwrap();

        let hurried = Clock::running(WallTime(0), 100_000.0);
        hurried.reach(WallTime(600_000)).await;
        assert!(hurried.now() >= WallTime(600_000));
    }
}
