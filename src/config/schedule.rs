//! Cron expressions, checked with the parser of the scheduler that will run them, and set up as the scheduler does it.
//!
//! The scheduler takes what never happens (30 February, a year that is past) and then never fires, so that the daemon
//! would sit there and watch nothing. Here such a schedule is refused.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};

use super::Cadence;
use crate::model::WallTime;

/// A longer text is no schedule.
const LONGEST_TEXT: usize = 200;

/// What is wrong with `schedule` as one in UTC that must fire after `now`; none: nothing.
pub(super) fn complaint(schedule: &str, now: WallTime) -> Option<String> {
    const FORM: &str = "expected a cron expression with seconds, such as \"0 */5 * * * *\" for every five minutes";
    let fields = schedule.split_whitespace().count();
    if !(6..=7).contains(&fields) || schedule.len() > LONGEST_TEXT {
        return Some(format!(
            "{FORM} (second, minute, hour, day, month, weekday, and perhaps year), found {fields} fields"
        ));
    }
    match parse(schedule) {
        Ok(cron) => {
            occurrences(&cron, now).next().is_none().then(|| "never happens: no such date is to come".to_owned())
        }
        Err(error) => Some(format!("{FORM}: {}", reason(&error))),
    }
}

impl Cadence {
    /// The longest time from one poll to the next, as far as the polls to come after `now` show.
    #[must_use]
    pub fn longest_gap(&self, now: WallTime) -> Duration {
        let schedule = match self {
            Self::Every(interval) => return *interval,
            Self::Cron(schedule) => schedule,
        };
        let polls: Vec<WallTime> = parse(schedule).map(|cron| occurrences(&cron, now).collect()).unwrap_or_default();
        // The first beyond the week still counts: the gap before it is one.
        let week = polls.partition_point(|poll| poll.since(now) <= LOOKED_AHEAD) + 1;
        let polls = &polls[..week.min(polls.len())];
        polls.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
    }

    /// The time from a poll that begins at `now` to the next.
    #[must_use]
    pub fn gap(&self, now: WallTime) -> Duration {
        let next = match self {
            Self::Every(interval) => return *interval,
            Self::Cron(schedule) => parse(schedule).ok().and_then(|cron| occurrences(&cron, now).next()),
        };
        next.map_or(LOOKED_AHEAD, |next| next.since(now))
    }
}

/// How far ahead polls are looked at: nights and weekends show within a week.
const LOOKED_AHEAD: Duration = Duration::from_secs(8 * 86_400);

/// Occurrences that are looked at, at most: more within a week are those of a schedule without long gaps, or nearly so.
const LOOKED_AT: usize = 5_000;

fn parse(schedule: &str) -> Result<Cron, CronError> {
    CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build().parse(schedule)
}

/// The next times after `now` at which it fires.
fn occurrences(cron: &Cron, now: WallTime) -> impl Iterator<Item = WallTime> {
    let from = chrono::DateTime::from_timestamp_millis(now.0).unwrap_or_default();
    let next = |from: &chrono::DateTime<chrono::Utc>| cron.find_next_occurrence(from, false).ok();
    let times = std::iter::successors(next(&from), move |last| next(last));
    times.take(LOOKED_AT).map(|time| WallTime(time.timestamp_millis()))
}

/// What the parser says, in the manner of our own messages.
fn reason(error: &CronError) -> String {
    let text = error.to_string();
    text.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_happens_is_right() {
        for schedule in ["0 * * * * *", "*/10 * * * * *", "0 0 0 29 2 *", "0 0 9 * * MON-FRI", "0 0 0 1 1 * 2030"] {
            assert_eq!(complaint(schedule, "2026-01-01T00:00:00Z".parse().unwrap()), None, "{schedule}");
        }
    }

    #[test]
    fn what_never_happens_is_refused() {
        for schedule in ["0 0 0 30 2 *", "0 0 0 31 4,6,9,11 *", "0 0 0 1 1 * 2020"] {
            let complaint = complaint(schedule, "2026-01-01T00:00:00Z".parse().unwrap());
            assert!(complaint.is_some_and(|text| text.starts_with("never happens")), "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for schedule in
            ["", "* * * * *", "@daily", "0 * * * * * * *", "60 * * * * *", "0 0 0 * * nonsense", "0 0 0 0 * *"]
        {
            assert!(complaint(schedule, WallTime(0)).is_some(), "{schedule}");
        }
    }

    #[test]
    fn the_longest_gap_is_that_of_the_nights_and_weekends() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |n: u64| Duration::from_secs(n * 3600);
        for (cadence, gap) in [
            (Cadence::Every(hours(2)), hours(2)),
            (Cadence::Cron("0 * * * * *".to_owned()), Duration::from_secs(60)),
            (Cadence::Cron("0 0 9,17 * * *".to_owned()), hours(16)),
            (Cadence::Cron("0 * 8-18 * * *".to_owned()), hours(13) + Duration::from_secs(60)),
            (Cadence::Cron("0 0 9 * * MON-FRI".to_owned()), hours(72)),
            (Cadence::Cron("0 0 0 1 1 * 2030".to_owned()), hours(0)),
        ] {
            assert_eq!(cadence.longest_gap(now), gap, "{cadence:?}");
        }
        let half_past = "2026-01-01T08:30:20Z".parse().unwrap();
        assert_eq!(Cadence::Cron("0 * 8-18 * * *".to_owned()).gap(half_past), Duration::from_secs(40));
        assert_eq!(Cadence::Every(hours(2)).gap(half_past), hours(2));
    }

    proptest! {
        #[test]
        fn nonsense_does_not_panic(schedule in "([-0-9*/,?LW#+A-Z@]{1,5} ){5,7}") {
            let _ = complaint(&schedule, WallTime(0));
        }
    }
}
