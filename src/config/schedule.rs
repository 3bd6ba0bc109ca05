//! Cron expressions, checked with the parser of the scheduler that will run them, and set up as the scheduler does it.
//!
//! The scheduler takes what never happens (30 February, a year that is past) and then never fires, so that the daemon
//! would sit there and watch nothing. Here such a schedule is refused.

use croner::parser::{CronParser, Seconds};

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
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
    let cron = match parser.parse(schedule) {
        Ok(cron) => cron,
        Err(error) => return Some(format!("{FORM}: {}", reason(&error))),
    };
    let from = chrono::DateTime::from_timestamp_millis(now.0).unwrap_or_default();
    cron.find_next_occurrence(&from, false).is_err().then(|| "never happens: no such date is to come".to_owned())
}

/// What the parser says, in the manner of our own messages.
fn reason(error: &croner::errors::CronError) -> String {
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

    proptest! {
        #[test]
        fn nonsense_does_not_panic(schedule in "([-0-9*/,?LW#+A-Z@]{1,5} ){5,7}") {
            let _ = complaint(&schedule, WallTime(0));
        }
    }
}
