//! Why a source cannot be read through, in the terms of whoever has to mend it.
//!
//! A [`Trouble`] is what a pass met with, as a small value with figures: its text is one sentence for an alert, its
//! [`word`](Trouble::word) is for programs, and its [`advice`](Trouble::advice) is the way out. Whoever reads that was
//! perhaps woken by it, so it names keys, permissions and places to look at, and offers nothing that cannot help.
//!
//! What AWS said stands in it as a text, cut and cleaned by whoever makes the value. Sorting AWS's errors is not done
//! here: that is the business of those who know them.

use std::fmt;
use std::time::Duration;

use crate::model::duration_in_words;

/// Events a second that nobody can read more of: two requests, fifty events each.
const MOST_PER_SECOND: f64 = 100.0;

/// Why a source cannot be read through.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// AWS does not let this identity look; what it said.
    Denied(String),
    /// There is no identity, or AWS does not know it; what was said.
    NoCredentials(String),
    /// AWS lets nobody look up so fast.
    Throttled {
        /// Throttled requests since the last good one.
        in_a_row: u32,
    },
    /// No answer, or none that makes sense; what was met with.
    Unreachable(String),
    /// AWS takes the question for wrong; what it said.
    Refused(String),
    /// More happens than is read.
    Behind {
        /// Events that happen each second.
        seen_per_second: f64,
        /// Events that can be read each second; each has to be read more than once.
        read_per_second: f64,
        /// The age of the oldest second that was not read.
        behind: Duration,
        /// Reads of secrets are looked up before everything else.
        narrowed: bool,
        /// It may ask as often as AWS lets anybody ask.
        at_full_rate: bool,
    },
    /// The local clock is not AWS's.
    Clock {
        /// So many seconds ahead; below zero: behind.
        ahead_secs: i64,
    },
    /// The time ran out that the whole run was given.
    OutOfTime,
    /// Something else.
    Other(String),
}

impl Trouble {
    /// The word for it, as in JSON, metrics and logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::NoCredentials(_) => "no_credentials",
            Self::Throttled { .. } => "throttled",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Behind { .. } => "behind",
            Self::Clock { .. } => "clock",
            Self::OutOfTime => "out_of_time",
            Self::Other(_) => "other",
        }
    }

    /// The way out, in whole sentences; none where nobody knows it beforehand.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Denied(_) => {
                "Allow cloudtrail:LookupEvents on resource \"*\" to the identity of secretwatch, or to the role_arn of \
                 this account, and look for a boundary or a service control policy that denies it. deploy/iam-policy.json \
                 is the whole policy."
            }
            Self::NoCredentials(_) => {
                "Give secretwatch credentials that are valid: an instance profile or task role, or AWS_PROFILE. Where \
                 the account has a role_arn, that role must trust the identity of secretwatch (sts:AssumeRole, with \
                 external_id if the role asks for one)."
            }
            Self::Throttled { .. } => {
                "Others use up the two lookups a second that AWS allows for this account and Region. To see who: look \
                 for the event LookupEvents in CloudTrail. Let them ask less, or lower requests_per_second so that \
                 there is room for all."
            }
            Self::Unreachable(_) => {
                "Look at the way from this host to CloudTrail's endpoint in this Region: name resolution, firewall, \
                 proxy, VPC endpoint, AWS_ENDPOINT_URL. If all of it is well, look at health.aws.amazon.com."
            }
            Self::Refused(_) => {
                "Look whether event_sources and AWS_ENDPOINT_URL are right. If they are, this is a fault of \
                 secretwatch: report it together with what CloudTrail said."
            }
            Self::Behind { seen_per_second, narrowed, at_full_rate, .. } => {
                return Some(read_more(*seen_per_second, *narrowed, *at_full_rate));
            }
            Self::Clock { .. } => {
                "Let the clock of this host be set by chrony or systemd-timesyncd; timedatectl shows whether it is. AWS \
                 refuses requests that are signed more than five minutes off."
            }
            Self::OutOfTime => {
                "Give the run more time with --max-time, or run it more often; each goes on where the last one ended. \
                 A higher requests_per_second, up to 2.0, reads more in the same time."
            }
            Self::Other(_) => return None,
        };
        Some(advice.to_owned())
    }
}

/// The ways out for a source of which more happens than is read.
fn read_more(seen_per_second: f64, narrowed: bool, at_full_rate: bool) -> String {
    let mut advice = String::new();
    if narrowed {
        advice += "Reads of secrets (GetSecretValue) are looked up before everything else and are still told of. ";
    }
    advice += match () {
        () if seen_per_second > MOST_PER_SECOND => {
            "Nobody can look up more than 100 events a second. Narrow event_sources"
        }
        () if at_full_rate => "Narrow event_sources",
        () => "Raise requests_per_second, up to 2.0. If that is not enough: narrow event_sources",
    };
    if !narrowed {
        advice += ", or set narrow_when_behind = true so that reads of secrets are looked up first";
    }
    advice + "; or let a trail deliver this account's events elsewhere and watch them there."
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(said) => write!(f, "AWS does not allow the lookup: {said}"),
            Self::NoCredentials(said) => write!(f, "there are no valid credentials: {said}"),
            Self::Throttled { in_a_row } => {
                let requests = if *in_a_row == 1 { "request" } else { "requests in a row" };
                write!(f, "AWS throttles the lookups, {in_a_row} {requests} so far")
            }
            Self::Unreachable(met) => {
                write!(f, "CloudTrail cannot be reached, or gives no answer that can be read: {met}")
            }
            Self::Refused(said) => write!(f, "CloudTrail refuses the lookup: {said}"),
            Self::Behind { seen_per_second, read_per_second, behind, .. }
                if *seen_per_second * 2.0 < *read_per_second =>
            {
                write!(
                    f,
                    "it is {} behind and catching up: {} events happen each second, and it can read {}",
                    in_words(*behind),
                    rate(*seen_per_second),
                    rate(*read_per_second)
                )
            }
            Self::Behind { seen_per_second, read_per_second, behind, .. } => write!(
                f,
                "it is {} behind: {} events happen each second, and it can read {}, each more than once",
                in_words(*behind),
                rate(*seen_per_second),
                rate(*read_per_second)
            ),
            Self::Clock { ahead_secs } => {
                let side = if *ahead_secs < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "the local clock is {} {side} that of AWS",
                    in_words(Duration::from_secs(ahead_secs.unsigned_abs()))
                )
            }
            Self::OutOfTime => f.write_str("the time that the run may take ran out"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

fn in_words(duration: Duration) -> String {
    duration_in_words(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

/// A rate with as many digits as anybody reads.
fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second < 0.0 {
        return "?".to_owned();
    }
    let digits = usize::from(per_second < 9.95);
    let text = format!("{per_second:.digits$}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(seen_per_second: f64, read_per_second: f64) -> Trouble {
        Trouble::Behind {
            seen_per_second,
            read_per_second,
            behind: Duration::from_secs(7_805),
            narrowed: false,
            at_full_rate: false,
        }
    }

    #[test]
    fn only_what_can_help_is_offered() {
        for (seen, narrowed, at_full_rate, offered, not) in [
            (20.0, false, false, "Raise requests_per_second", "Nobody can"),
            (60.0, false, true, "narrow_when_behind = true", "Raise"),
            (160.0, false, false, "Nobody can look up more than 100", "Raise"),
            (160.0, true, true, "are still told of", "narrow_when_behind"),
        ] {
            let advice = read_more(seen, narrowed, at_full_rate);
            assert!(advice.contains(offered) && !advice.contains(not), "{advice}");
        }
    }

    #[test]
    fn each_says_what_is_wrong_and_what_helps() {
        let said = || "AccessDeniedException: no".to_owned();
        for (trouble, word, sentence, helps) in [
            (
                Trouble::Denied(said()),
                "denied",
                "AWS does not allow the lookup: AccessDeniedException: no",
                "cloudtrail:LookupEvents",
            ),
            (
                Trouble::NoCredentials(said()),
                "no_credentials",
                "there are no valid credentials: AccessDeniedException: no",
                "sts:AssumeRole",
            ),
            (
                Trouble::Throttled { in_a_row: 1 },
                "throttled",
                "AWS throttles the lookups, 1 request so far",
                "requests_per_second",
            ),
            (
                Trouble::Throttled { in_a_row: 7 },
                "throttled",
                "AWS throttles the lookups, 7 requests in a row so far",
                "requests_per_second",
            ),
            (
                Trouble::Unreachable("connection refused".to_owned()),
                "unreachable",
                "CloudTrail cannot be reached, or gives no answer that can be read: connection refused",
                "firewall",
            ),
            (
                Trouble::Refused("InvalidTimeRangeException".to_owned()),
                "refused",
                "CloudTrail refuses the lookup: InvalidTimeRangeException",
                "event_sources",
            ),
            (
                behind(61.4, 25.0),
                "behind",
                "it is 2 hours 10 minutes behind: 61 events happen each second, and it can read 25, each more than once",
                "Raise requests_per_second, up to 2.0",
            ),
            (
                behind(140.0, 99.96),
                "behind",
                "it is 2 hours 10 minutes behind: 140 events happen each second, and it can read 100, each more than once",
                "narrow_when_behind = true",
            ),
            (
                behind(3.26, 0.0),
                "behind",
                "it is 2 hours 10 minutes behind: 3.3 events happen each second, and it can read 0, each more than once",
                "event_sources",
            ),
            (
                Trouble::Clock { ahead_secs: 600 },
                "clock",
                "the local clock is 10 minutes ahead of that of AWS",
                "chrony",
            ),
            (
                Trouble::Clock { ahead_secs: -90 },
                "clock",
                "the local clock is 1 minute 30 seconds behind that of AWS",
                "chrony",
            ),
            (Trouble::OutOfTime, "out_of_time", "the time that the run may take ran out", "--max-time"),
        ] {
            assert_eq!((trouble.word(), trouble.to_string().as_str()), (word, sentence));
            let advice = trouble.advice().unwrap_or_default();
            assert!(advice.contains(helps) && advice.ends_with('.'), "{trouble:?}: {advice}");
            // A mail shows no more of a paragraph.
            assert!(advice.chars().count() <= 400, "{word}: {}", advice.chars().count());
        }
        let other = Trouble::Other("pages without end".to_owned());
        assert_eq!((other.to_string().as_str(), other.word(), other.advice()), ("pages without end", "other", None));
    }

    #[test]
    fn what_cannot_help_is_not_offered() {
        let advice = behind(101.0, 50.0).advice().unwrap();
        assert!(!advice.contains("requests_per_second"), "{advice}");
    }

    #[test]
    fn nonsense_is_said_without_panicking() {
        for (seen, read, said) in [(f64::NAN, -1.0, "? events"), (f64::INFINITY, f64::MAX, "? events")] {
            let sentence = behind(seen, read).to_string();
            assert!(sentence.contains(said), "{sentence}");
        }
        for ahead_secs in [i64::MIN, i64::MAX, 0] {
            assert!(!Trouble::Clock { ahead_secs }.to_string().is_empty());
        }
    }
}
