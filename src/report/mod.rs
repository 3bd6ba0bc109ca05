//! A [`Report`] as people read it: text for a terminal or a mail, and one HTML file that needs nothing else.
//!
//! Pure. What stands in it is found out elsewhere; texts that come from records are made printable here.

mod html;
mod text;

use crate::model::{Outcomes, Report, count, duration_in_words, group_key_words, printable};

pub use html::html;
pub use text::text;

/// Characters of a name in a line.
const NAME_MAX: usize = 120;

fn name(text: &str) -> String {
    printable(text, NAME_MAX)
}

/// Which time it is about, in words.
fn span(report: &Report) -> String {
    format!("{} to {} ({})", report.from, report.to, duration_in_words(report.seconds()))
}

/// What is known about what is new, where that is less than one would think.
fn of_the_past(report: &Report) -> Option<String> {
    match (report.known_from, &report.new_pairs) {
        (_, None) => Some("Nothing is kept from before that time, so nobody can say what was new in it.".to_owned()),
        (Some(from), Some(_)) => Some(format!("New is what is not among the accesses kept since {from}.")),
        (None, Some(_)) => None,
    }
}

/// What became of the alerts, in a sentence.
fn of_alerts(report: &Report) -> String {
    let kinds: Vec<String> = report.alerts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    let all: u64 = report.alerts.values().sum();
    if all == 0 {
        return "No alert was decided.".to_owned();
    }
    let stand = match report.undelivered {
        0 => "all that were for somebody were accepted".to_owned(),
        some => format!("{some} not accepted yet, or given up"),
    };
    format!("{} ({}); {stand}.", count(all, "alert"), kinds.join(", "))
}

/// Accesses, and what was no success.
fn counted(outcomes: &Outcomes) -> String {
    let trouble = outcomes.trouble();
    let all = count(outcomes.all, "access");
    if trouble.is_empty() { all } else { format!("{all}, {trouble}") }
}

fn group(labels: &std::collections::BTreeMap<String, Option<String>>) -> String {
    let labels = labels
        .iter()
        .map(|(key, label)| format!("{} {}", group_key_words(key), name(label.as_deref().unwrap_or("none"))));
    labels.collect::<Vec<_>>().join(", ")
}

fn seconds(seconds: u64) -> String {
    duration_in_words(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
