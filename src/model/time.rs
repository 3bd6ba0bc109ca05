//! Two kinds of time that must never be mixed up, and the span between two instants of the first.
//!
//! [`EventTime`] is when something happened at AWS: whole seconds, because CloudTrail has no finer ones. [`WallTime`]
//! is when we looked at a clock: milliseconds. Rules count by the first and wait by the second. Neither type knows how
//! to ask a clock, except for [`WallTime::now`], which only the shell may call; where the shell itself may be put into
//! another world, it asks a [`WallClock`] instead.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When an event happened, in whole seconds since 1970, as `eventTime` of a record says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

/// When our clock was looked at, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

/// The instants that can be written with four digits of year in every zone: what both types are held to.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_200;

impl EventTime {
    /// `secs` later; negative goes back.
    #[must_use]
    pub fn plus(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// `secs` earlier.
    #[must_use]
    pub fn minus(self, secs: i64) -> Self {
        Self(self.0.saturating_sub(secs))
    }

    /// The start of this second, on the wall clock.
    #[must_use]
    pub fn wall(self) -> WallTime {
        WallTime(self.0.saturating_mul(1000))
    }
}

impl WallTime {
    /// The local clock. For the shell only: pure code takes `now` as an argument.
    #[must_use]
    pub fn now() -> Self {
        Self(Timestamp::now().as_millisecond())
    }

    /// The second of event time that is going on at this instant.
    #[must_use]
    pub fn second(self) -> EventTime {
        EventTime(self.0.div_euclid(1000))
    }

    /// `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `by` earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Where the shell learns the wall time: the machine's clock, or what somebody else says. Clones are the same clock.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> WallTime + Send + Sync>);

impl WallClock {
    /// The local clock.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(WallTime::now)
    }

    /// One that shows what `shows` says.
    #[must_use]
    pub fn new(shows: impl Fn() -> WallTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(shows))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> WallTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

fn timestamp_secs(secs: i64) -> Timestamp {
    let secs = secs.clamp(*SECONDS.start(), *SECONDS.end());
    Timestamp::from_second(secs).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", timestamp_secs(self.0))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.div_euclid(1000).clamp(*SECONDS.start(), *SECONDS.end());
        let at = Timestamp::from_millisecond(secs * 1000 + self.0.rem_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{at:.3}")
    }
}

/// A text that is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time; expected one like 2026-05-27T18:45:54Z")]
pub struct NoTime(pub String);

impl FromStr for EventTime {
    type Err = NoTime;

    /// RFC 3339, or the form without a zone that CloudTrail Lake and some exports write (`2024-01-01 00:00:00.000`),
    /// which is UTC. Fractions are cut, since the window arithmetic is in whole seconds.
    fn from_str(text: &str) -> Result<Self, NoTime> {
        let at = match text.parse::<Timestamp>() {
            Ok(at) => at,
            Err(_) => text
                .parse::<jiff::civil::DateTime>()
                .and_then(|local| local.to_zoned(jiff::tz::TimeZone::UTC))
                .map_err(|_| NoTime(text.to_owned()))?
                .timestamp(),
        };
        Ok(Self(at.as_millisecond().div_euclid(1000)))
    }
}

impl FromStr for WallTime {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        let at = text.parse::<Timestamp>().map_err(|_| NoTime(text.to_owned()))?;
        Ok(Self(at.as_millisecond()))
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Seconds of event time from `from` to `to`, both included, as LookupEvents bounds are. Never empty: `from <= to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first second.
    pub from: EventTime,
    /// The last second.
    pub to: EventTime,
}

impl Span {
    /// The span from `from` to `to`, or none if that would be empty.
    #[must_use]
    pub fn new(from: EventTime, to: EventTime) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// How many seconds it holds; at least 1.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.to.0 - self.from.0 + 1
    }

    /// Whether `at` lies in it.
    #[must_use]
    pub fn contains(self, at: EventTime) -> bool {
        self.from <= at && at <= self.to
    }

    /// What both spans hold.
    #[must_use]
    pub fn overlap(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_writes_them() {
        for text in ["2026-05-27T18:45:54Z", "1969-12-31T23:59:59Z", "9999-12-30T22:00:00Z"] {
            assert_eq!(text.parse::<EventTime>().unwrap().to_string(), text);
        }
        assert_eq!("2024-01-01 00:00:00.900".parse::<EventTime>().unwrap().to_string(), "2024-01-01T00:00:00Z");
        assert_eq!("2026-05-27T18:45:54.123Z".parse::<WallTime>().unwrap().to_string(), "2026-05-27T18:45:54.123Z");
    }

    #[test]
    fn nonsense_is_refused_and_extremes_do_not_panic() {
        for text in ["", "now", "2026-13-01T00:00:00Z", "1234567890"] {
            assert!(text.parse::<EventTime>().is_err(), "{text}");
        }
        for secs in [i64::MIN, i64::MAX, 0] {
            let _ = EventTime(secs).plus(1).minus(1).to_string();
            let _ = WallTime(secs).to_string();
            let _ = EventTime(secs).wall().second();
        }
    }
}
