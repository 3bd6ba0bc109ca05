//! What is drawn: the chart, and the small ones in tables. Figures are in units of their own; the style says how large.

use serde::Serialize;

use crate::model::{EventTime, count};
use crate::status::chart::{BARS, Chart, OUTCOMES};
use crate::store::Pass;

/// Width and height of the chart, and of a bar with its gap.
const WIDTH: usize = BARS * STEP;
const HEIGHT: u64 = 200;
const STEP: usize = 20;

/// Width and height of a small one.
const SMALL_WIDTH: u64 = 120;
const SMALL_HEIGHT: u64 = 24;

/// Labels below the chart.
const HOURS: usize = 4;

/// The chart of a page.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Plot {
    width: usize,
    height: u64,
    /// What its upper edge stands for.
    highest: u64,
    bars: Vec<Bar>,
    threshold: Option<Line>,
    /// Times below it, evenly spaced from its beginning to its end.
    hours: Vec<String>,
}

/// One bar, or a place where there is none.
#[derive(Debug, PartialEq, Serialize)]
struct Bar {
    x: usize,
    from: String,
    parts: Vec<Part>,
    counts: Vec<u64>,
    /// What somebody reads who points at it.
    label: String,
    /// Whether an incident began there.
    marked: bool,
}

#[derive(Debug, PartialEq, Serialize)]
struct Part {
    class: &'static str,
    y: u64,
    height: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Line {
    y: u64,
    value: u64,
}

/// An incident in the chart: when it began, and what to say of it.
pub(super) struct Mark {
    pub(super) at: EventTime,
    pub(super) label: String,
}

impl Plot {
    pub(super) fn of(chart: &Chart, marks: &[Mark], threshold: Option<u64>) -> Self {
        let highest = chart.highest().max(threshold.unwrap_or(0)).max(1);
        let bars = chart.bars().enumerate().map(|(place, (from, counts))| {
            let begun = marks.iter().filter(|mark| chart.place(mark.at) == Some(place));
            let begun: Vec<&str> = begun.map(|mark| mark.label.as_str()).collect();
            bar(place, from, counts, &begun, highest)
        });
        let every = Chart::span().as_secs() / HOURS as u64;
        let hours = (0..=HOURS).map(|hour| {
            let at = chart.begin().plus(i64::try_from(hour as u64 * every).unwrap_or(0));
            clock_time(at)
        });
        Self {
            width: WIDTH,
            height: HEIGHT,
            highest,
            bars: bars.collect(),
            threshold: threshold.map(|value| Line { y: HEIGHT - height(value, highest), value }),
            hours: hours.collect(),
        }
    }
}

fn bar(place: usize, from: EventTime, counts: [u64; OUTCOMES.len()], begun: &[&str], highest: u64) -> Bar {
    let (mut below, mut parts) = (0, Vec::new());
    for (outcome, number) in OUTCOMES.iter().zip(counts) {
        let bottom = height(below, highest);
        below += number;
        // However few there are, they are seen.
        let tall = height(below, highest).saturating_sub(bottom).max(3 * u64::from(number > 0));
        if number > 0 {
            parts.push(Part { class: outcome.word(), y: HEIGHT.saturating_sub(bottom + tall), height: tall });
        }
    }
    let ended = OUTCOMES.iter().zip(counts).filter(|(_, number)| *number > 0);
    let ended: Vec<String> = ended.map(|(outcome, number)| format!("{number} {}", outcome.word())).collect();
    let all = match (below, ended.as_slice()) {
        (0, _) => "no accesses".to_owned(),
        (all, [_]) if counts[0] == all => count(all, "access"),
        (all, ended) => format!("{}: {}", count(all, "access"), ended.join(", ")),
    };
    let incidents = if begun.is_empty() { String::new() } else { format!("; incident: {}", begun.join("; ")) };
    let label = format!("{}, half an hour: {all}{incidents}", clock_time(from));
    let x = place * STEP;
    Bar { x, from: from.to_string(), parts, counts: counts.to_vec(), label, marked: !begun.is_empty() }
}

/// How high `number` is where `highest` takes all there is.
fn height(number: u64, highest: u64) -> u64 {
    u64::try_from(u128::from(number) * u128::from(HEIGHT) / u128::from(highest)).unwrap_or(HEIGHT)
}

fn clock_time(at: EventTime) -> String {
    at.to_string().get(11..16).unwrap_or_default().to_owned()
}

/// A line through the last passes, the oldest first: points of a polyline; none of fewer than two passes.
pub(super) fn spark(passes: &[Pass], value: impl Fn(&Pass) -> f64) -> Option<String> {
    let values: Vec<f64> = passes.iter().map(value).collect();
    let highest = values.iter().copied().fold(0.0, f64::max);
    let last = values.len().checked_sub(1).filter(|last| *last > 0)?;
    let scale = |value: f64| if highest > 0.0 { value / highest } else { 0.0 };
    let room = (SMALL_HEIGHT - 2) as f64;
    let points = values.iter().enumerate().map(|(place, value)| {
        let x = SMALL_WIDTH as f64 * place as f64 / last as f64;
        format!("{x:.0},{:.1}", 1.0 + room * (1.0 - scale(*value)))
    });
    Some(points.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::fixture::{START, access};
    use crate::model::{Outcome, WallTime};

    fn chart(of: &[(i64, Outcome)]) -> Chart {
        let mut chart = Chart::until(START.wall());
        for (ago, outcome) in of {
            let mut access = access(0);
            access.time = START.minus(*ago);
            access.outcome = *outcome;
            chart.note(&access);
        }
        chart
    }

    #[test]
    fn a_bar_is_as_high_as_it_has_accesses_and_says_so() {
        let chart = chart(&[
            (0, Outcome::Success),
            (1, Outcome::Success),
            (2, Outcome::Denied),
            (7200, Outcome::Failed),
            (86_400 * 2, Outcome::Success),
        ]);
        let marks = [Mark { at: START, label: "bulk-read".to_owned() }];
        let plot = Plot::of(&chart, &marks, Some(6));
        assert_eq!((plot.highest, plot.bars.len()), (6, BARS));
        let parts = |bar: &Bar| bar.parts.iter().map(|part| (part.class, part.y, part.height)).collect::<Vec<_>>();
        let last = &plot.bars[BARS - 1];
        assert_eq!(parts(last), [("success", 134, 66), ("denied", 100, 34)]);
        assert!(
            last.label.ends_with("half an hour: 3 accesses: 2 success, 1 denied; incident: bulk-read"),
            "{}",
            last.label
        );
        assert!(last.marked && !plot.bars[0].marked);
        assert_eq!(parts(&plot.bars[BARS - 5]), [("failed", 167, 33)]);
        assert!(plot.bars[0].label.ends_with("no accesses"));
        assert_eq!(plot.threshold, Some(Line { y: 0, value: 6 }));
        assert_eq!(plot.hours.len(), HOURS + 1);
    }

    #[test]
    fn one_among_many_is_seen() {
        let mut all = vec![(0, Outcome::Success); 10_000];
        all.push((1, Outcome::Denied));
        let plot = Plot::of(&chart(&all), &[], None);
        assert_eq!(plot.bars[BARS - 1].parts[1].height, 3);
    }

    #[test]
    fn a_small_line_goes_from_edge_to_edge() {
        let pass = |requests| Pass { ended: WallTime(0).plus(Duration::from_secs(1)), requests, behind_seconds: 0 };
        let requests = |pass: &Pass| f64::from(pass.requests);
        assert_eq!(spark(&[pass(1)], requests), None);
        assert_eq!(spark(&[pass(0), pass(0)], requests).as_deref(), Some("0,23.0 120,23.0"));
        assert_eq!(spark(&[pass(0), pass(4), pass(2)], requests).as_deref(), Some("0,23.0 60,1.0 120,12.0"));
    }
}
