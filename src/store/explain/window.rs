//! Which window an access came closest in. Pure, and made of what counting itself is made of: a window that crosses
//! here crosses there.

use std::collections::BTreeSet;

use crate::detect::window::{Crossing, crossings};
use crate::detect::{Entry, Rule, Statistic};
use crate::model::{EventTime, Span};

/// Of the windows that hold the second `at`, the fullest. `entries` are complete for one window around `at`.
pub(super) fn closest(rule: &Rule, entries: &[Entry], at: EventTime) -> Option<Crossing> {
    fullest(rule, entries, Span { from: at, to: at.plus(rule.window.saturating_sub(1)) })
}

/// Of the windows that end within `ends`, the one with the largest statistic, and of several the first. For a sequence
/// that is the number of steps it holds. `entries` are complete from one window before on.
pub(in crate::store) fn fullest(rule: &Rule, entries: &[Entry], ends: Span) -> Option<Crossing> {
    let ends = [ends];
    if rule.steps.is_empty() {
        return largest(&Rule { threshold: 1, ..rule.clone() }, entries, &ends);
    }
    let begun = (1..=rule.steps.len()).rev().find_map(|steps| {
        let begun = Rule { steps: rule.steps[..steps].to_vec(), ..rule.clone() };
        crossings(&begun, entries, &ends).into_iter().next()
    });
    begun.or_else(|| {
        let any = Rule { steps: Vec::new(), statistic: Statistic::Sum, threshold: 1, ..rule.clone() };
        largest(&any, entries, &ends).map(|crossing| Crossing { value: 0, ..crossing })
    })
}

fn largest(rule: &Rule, entries: &[Entry], ends: &[Span]) -> Option<Crossing> {
    let better = |best: Crossing, next: Crossing| if next.value > best.value { next } else { best };
    crossings(rule, entries, ends).into_iter().reduce(better)
}

/// The statistic of the step at `place` over `entries`.
pub(super) fn step_value(rule: &Rule, place: usize, entries: &[Entry]) -> u64 {
    let parts = entries.iter().filter(|entry| entry.steps >> place & 1 == 1);
    match rule.steps.get(place).map(|step| step.statistic) {
        Some(Statistic::Distinct(_)) => parts.map(|entry| entry.value).collect::<BTreeSet<_>>().len() as u64,
        _ => parts.count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::detect::{Condition, GroupKey, Step};
    use crate::model::Severity;

    fn rule(threshold: u64, statistic: Statistic, steps: &[u64]) -> Rule {
        let step = |threshold: &u64| Step {
            condition: Condition::default(),
            statistic: Statistic::Sum,
            threshold: *threshold,
        };
        Rule {
            name: "r".to_owned(),
            description: None,
            severity: Severity::Medium,
            runbook: None,
            notify: Vec::new(),
            condition: Condition::default(),
            steps: steps.iter().map(step).collect(),
            first_seen: None,
            statistic,
            threshold,
            window: 10,
            hold: 0,
            update_every: 0,
            group_by: Vec::new(),
        }
    }

    /// Entries at the times in `text`: `5a` is one at 5 with the value a, `5.2` one that is a part of the second step.
    fn entries(text: &str) -> Vec<Entry> {
        let entry = |word: &str| {
            let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
            let (at, rest) = word.split_at(digits);
            let step = rest.strip_prefix('.').map(|step| step.parse::<u8>().unwrap());
            Entry {
                at: EventTime(at.parse().unwrap()),
                id: Arc::from(word),
                value: rest.bytes().next().map_or(0, u64::from),
                steps: step.map_or(0, |step| 1 << (step - 1)),
                reported: false,
            }
        };
        text.split(' ').map(entry).collect()
    }

    fn comes(rule: &Rule, text: &str, at: i64) -> Option<(i64, u64)> {
        closest(rule, &entries(text), EventTime(at)).map(|crossing| (crossing.end.0, crossing.value))
    }

    #[test]
    fn the_closest_window_holds_the_access() {
        let sum = rule(3, Statistic::Sum, &[]);
        let distinct = rule(3, Statistic::Distinct(GroupKey::Secret), &[]);
        let sequence = rule(0, Statistic::Sum, &[2, 1]);
        for (rule, text, at, expected) in [
            (&sum, "5", 5, Some((5, 1))),
            (&sum, "5 9 14", 5, Some((14, 3))),
            (&sum, "5 9 15", 5, Some((9, 2))),
            (&sum, "5 9 15", 15, Some((15, 2))),
            (&sum, "1 2 3 20", 20, Some((20, 1))),
            (&sum, "5 9 14 15", 9, Some((14, 3))),
            (&sum, "5 9 15", 16, None),
            (&distinct, "1a 2a 3a 4b", 1, Some((4, 2))),
            (&distinct, "1a 2b 3c 4c", 2, Some((3, 3))),
            (&sequence, "1.1 2.1 3.2", 1, Some((3, 2))),
            (&sequence, "1.1 2.1 12.2", 1, Some((2, 1))),
            (&sequence, "3.1 4.2", 4, Some((4, 0))),
            (&sequence, "1.2 2.1 3.1", 1, Some((3, 1))),
        ] {
            assert_eq!(comes(rule, text, at), expected, "{text} at {at}");
        }
    }

    #[test]
    fn a_step_counts_its_own() {
        let mut rule = rule(0, Statistic::Sum, &[2, 1]);
        let entries = entries("1.1 2.1 3.2");
        assert_eq!([0, 1, 2].map(|place| step_value(&rule, place, &entries)), [2, 1, 0]);
        rule.steps[0].statistic = Statistic::Distinct(GroupKey::Secret);
        assert_eq!(step_value(&rule, 0, &entries), 1);
    }
}
