//! The request quota of one source: a bucket of tokens, refilled by the account's clock.

use crate::model::WallTime;

/// So many requests a second, and as many at once.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    per_second: f64,
    tokens: f64,
    filled: WallTime,
}

impl Quota {
    /// A full bucket.
    pub(super) fn new(per_second: f64, now: WallTime) -> Self {
        Self { per_second, tokens: per_second.max(1.0), filled: now }
    }

    /// Takes a token if there is one. A refused request costs nothing.
    pub(super) fn admits(&mut self, now: WallTime) -> bool {
        let refill = now.since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + refill).min(self.per_second.max(1.0));
        self.filled = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(per_second: f64, millis: &[i64]) -> String {
        let mut quota = Quota::new(per_second, WallTime(0));
        millis.iter().map(|at| if quota.admits(WallTime(*at)) { 'y' } else { 'n' }).collect()
    }

    #[test]
    fn two_a_second() {
        assert_eq!(admitted(2.0, &[0, 0, 0, 499, 500, 501, 1_000]), "yynnyny");
        assert_eq!(admitted(2.0, &[10_000, 10_000, 10_000]), "yyn");
        assert_eq!(admitted(0.5, &[0, 1_000, 2_000, 3_000]), "ynyn");
        assert_eq!(admitted(2.0, &[1_000, 1_000, 0, 0]), "yynn", "a clock that goes back refills nothing");
    }
}
