//! Durations as people write them, both ways.

use std::time::Duration;

/// Far more than any key needs, and little enough that sums in seconds or milliseconds never overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// A longer text is no duration.
const LONGEST_TEXT: usize = 40;

/// More digits in a row are no duration: humantime adds terms up to the very limit of its type, and panics when
/// milliseconds carry over it.
const MOST_DIGITS: usize = 9;

/// What `text` says, as humantime reads it.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let endless = text.len() > LONGEST_TEXT
        || text
            .split(|c: char| !c.is_ascii_digit() && !c.is_whitespace())
            .any(|run| run.chars().filter(char::is_ascii_digit).count() > MOST_DIGITS);
    if endless {
        return None;
    }
    humantime::parse_duration(text).ok()
}

/// The shortest way to write it: `15m`, `1h 30m`, `30d`.
pub(crate) fn brief(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut words = Vec::new();
    for (size, unit) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if rest >= size {
            words.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    match duration.subsec_nanos() {
        0 if words.is_empty() => words.push("0s".to_owned()),
        0 => {}
        nanos if nanos % 1_000_000 == 0 => words.push(format!("{}ms", nanos / 1_000_000)),
        nanos => words.push(format!("{nanos}ns")),
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "90s", "1h 30m", "7d", "1500ms", "1ns", "36500d", "1d 1h 1m 1s 1ms"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&brief(duration)), Some(duration), "{text}");
        }
        assert_eq!(brief(Duration::from_secs(90)), "1m 30s");
        assert_eq!(brief(Duration::from_secs(30 * 86_400)), "30d");
    }

    #[test]
    fn carrying_over_the_limit_does_not_panic() {
        for text in
            ["18446744073709551615s 1000ms", "1844674407 3709551615s 1000ms", "584542046090y 7h 1s 1000ms", "", "s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
